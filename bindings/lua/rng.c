/* rng.c - dgamnative.rng: the core's counter-based random numbers for Lua. */
#include "base/rng.h"

#include <string.h>

#include "lua/dgl.h"

#define RNG "dgam.rng"

/* A generator for (seed, a, b, ...): the numbers after the seed are mixed into one stream. Arguments from `first` on. */
static dgam_rng generator(lua_State *L, int first) {
  uint64_t seed = (uint64_t)luaL_checkinteger(L, first), stream = 0;
  for (int i = first + 1; i <= lua_gettop(L); i++) stream = dgam_rng_mix(stream, (uint64_t)luaL_checkinteger(L, i));
  dgam_rng r;
  dgam_rng_init(&r, seed, stream);
  return r;
}

static uint64_t check_count(lua_State *L, int idx) {
  lua_Integer n = luaL_checkinteger(L, idx);
  if (n < 1) dgl_error(L, "rng: %I values to draw from, expected 1 or more", (LUAI_UACINT)n);
  return (uint64_t)n;
}

static int rng_new(lua_State *L) {
  dgam_rng r = generator(L, 1);
  memcpy(lua_newuserdatauv(L, sizeof r, 0), &r, sizeof r);
  luaL_setmetatable(L, RNG);
  return 1;
}

static int rng_below(lua_State *L) {
  dgam_rng r = generator(L, 2);
  lua_pushinteger(L, (lua_Integer)dgam_rng_below(&r, check_count(L, 1)));
  return 1;
}

static int rng_permutation(lua_State *L) {
  dgam_rng r = generator(L, 2);
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "expected 0 or more");
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 1; i <= n; i++) { /* Fisher-Yates, inside out */
    lua_Integer j = 1 + (lua_Integer)dgam_rng_below(&r, (uint64_t)i);
    if (j != i) {
      lua_rawgeti(L, -1, j);
      lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, j);
  }
  return 1;
}

static dgam_rng *self(lua_State *L) { return luaL_checkudata(L, 1, RNG); }
static int method_uniform(lua_State *L) { return lua_pushnumber(L, dgam_rng_uniform(self(L))), 1; }
static int method_normal(lua_State *L) { return lua_pushnumber(L, dgam_rng_normal(self(L))), 1; }
static int method_below(lua_State *L) {
  dgam_rng *r = self(L);
  return lua_pushinteger(L, (lua_Integer)dgam_rng_below(r, check_count(L, 2))), 1;
}

DGL_EXPORT int luaopen_dgamnative_rng(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"uniform", method_uniform}, {"normal", method_normal}, {"below", method_below}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"new", rng_new}, {"below", rng_below}, {"permutation", rng_permutation}, {NULL, NULL}};
  luaL_newmetatable(L, RNG);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
