/* enhance.c - dgamnative.enhance: enhancers of dark clips, and their options from Lua. dgam.enhance documents it. */
#include "light/enhance.h"

#include "lua/augment_options.h"
#include "lua/dgl.h"

/* The list at field `name` into values; returns its length, of which values has at most DGAM_ENHANCE_VALUES. */
static size_t numbers(lua_State *L, int idx, const char *name, double *values) {
  if (lua_getfield(L, idx, name) != LUA_TTABLE)
    dgl_error(L, "enhance: %s is %s, expected a list of numbers", name, luaL_tolstring(L, -1, NULL));
  size_t n = (size_t)lua_rawlen(L, -1);
  for (size_t i = 0; i < n && i < DGAM_ENHANCE_VALUES; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TNUMBER)
      dgl_error(L, "enhance: %s[%d] is %s, expected a number", name, (int)i + 1, luaL_tolstring(L, -1, NULL));
    values[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return n;
}

static void set_option(lua_State *L, int idx, const dgam_option *o, dgam_enhance *e) {
  double values[DGAM_ENHANCE_VALUES] = {0};
  size_t n = 1;
  switch (o->kind) {
    case DGAM_FLAG: values[0] = dgl_optfield_boolean(L, idx, o->name, 0); break;
    case DGAM_WHOLE: values[0] = (double)dgl_optfield_integer(L, idx, o->name, 0); break;
    case DGAM_NUMBER: values[0] = dgl_optfield_number(L, idx, o->name, 0); break;
    case DGAM_PAIR: dgl_optfield_pair(L, idx, o->name, o->words, values), n = 2; break;
    case DGAM_LIST: n = numbers(L, idx, o->name, values); break;
  }
  dgl_check(L, dgam_enhance_set(e, o->name, values, n));
}

dgam_enhance dgl_enhance_options(lua_State *L, int idx) {
  luaL_checktype(L, idx, LUA_TTABLE);
  const char *known[DGAM_ENHANCE_OPTIONS + 2] = {"name"}, *name = dgl_optfield_string(L, idx, "name", "");
  dgam_enhance e = dgam_enhance_defaults(name);
  if (!e.method) dgl_error(L, "enhance: there is no method '%s'", name);
  const dgam_option *options = e.method->options;
  for (int i = 0; options[i].name; i++) known[i + 1] = options[i].name;
  dgl_checkfields(L, idx, known);
  for (int i = 0; options[i].name; i++) {
    if (lua_getfield(L, idx, options[i].name) != LUA_TNIL) set_option(L, idx, &options[i], &e);
    lua_pop(L, 1);
  }
  return e;
}

/* apply(clip uint8 [N,3,T,H,W] or [T,3,H,W], { name =, its options }) -> another one */
static int enhance_apply(lua_State *L) {
  static const char *const shapes = "[N,3,T,H,W] or [T,3,H,W]";
  dgl_view in, out;
  dgl_checktensor(L, 1, DGL_U8, -1, "enhance: clip", &in);
  if (in.ndim != 4 && in.ndim != 5) dgl_error(L, "enhance: clip has %d dimensions, expected %s", in.ndim, shapes);
  const int64_t *s = in.sizes;
  if (s[1] != 3) dgl_error(L, "enhance: clip has %I channels, expected 3 channels in %s", (LUAI_UACINT)s[1], shapes);
  dgam_enhance e = dgl_enhance_options(L, 2);
  size_t t = in.ndim == 5 ? (size_t)s[2] : 1; /* [T,3,H,W] is [T,3,1,H,W] */
  dgam_clip clip = dgam_clip_ncthw(in.data, (size_t)s[0], t, (size_t)s[in.ndim - 2], (size_t)s[in.ndim - 1]);
  dgl_newtensor(L, DGL_U8, in.ndim, s, &out);
  dgam_arena arena;
  dgl_check(L, dgam_arena_init(&arena, dgam_enhance_scratch(&e, &clip)));
  dgam_status status = dgam_enhance_clip(&e, &clip, out.data, &arena);
  dgam_arena_free(&arena);
  dgl_check(L, status);
  return 1;
}

/* methods: list of { name =, options = names }, in the core's order */
static void push_methods(lua_State *L) {
  lua_newtable(L);
  const dgam_enhancer *m;
  for (size_t i = 0; (m = dgam_enhancer_at(i)); i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, m->name);
    lua_setfield(L, -2, "name");
    lua_newtable(L);
    for (int k = 0; m->options[k].name; k++) lua_pushstring(L, m->options[k].name), lua_rawseti(L, -2, k + 1);
    lua_setfield(L, -2, "options");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

DGL_EXPORT int luaopen_dgamnative_enhance(lua_State *L);
int luaopen_dgamnative_enhance(lua_State *L) {
  static const luaL_Reg functions[] = {{"apply", enhance_apply}, {NULL, NULL}};
  luaL_newlib(L, functions);
  push_methods(L);
  lua_setfield(L, -2, "methods");
  return 1;
}
