/* lease.c - dgamnative.lease: one process at a time makes a thing that several are asked for (core/store/lease.h).
 *
 *   take(path [, unchanged]) -> a lease, or nil and who has it: { host =, pid =, since = seconds since 1970, touched =,
 *     elsewhere = whether only `touched` tells that it lives, own = whether it is this process }
 *   lease:drop() removes it; so do <close> and the collector.
 */
#include <string.h>
#include <unistd.h>

#include "lua/dgl.h"
#include "store/lease.h"

#define LEASE "dgam.lease"

static int lease_drop(lua_State *L) {
  dgam_lease **l = luaL_checkudata(L, 1, LEASE);
  dgam_lease_drop(*l);
  *l = NULL;
  return 0;
}

static int lease_take(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer unchanged = luaL_optinteger(L, 2, -1);
  dgam_lease **l = lua_newuserdata(L, sizeof *l);
  *l = NULL;
  luaL_setmetatable(L, LEASE);
  dgam_lease_owner owner;
  dgl_check_file(L, dgam_lease_take(l, path, unchanged, &owner));
  if (*l) return 1;
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  luaL_pushfail(L);
  lua_createtable(L, 0, 6);
  lua_pushstring(L, owner.host);
  lua_setfield(L, -2, "host");
  lua_pushinteger(L, owner.pid);
  lua_setfield(L, -2, "pid");
  lua_pushinteger(L, owner.since);
  lua_setfield(L, -2, "since");
  lua_pushinteger(L, owner.touched);
  lua_setfield(L, -2, "touched");
  lua_pushboolean(L, owner.elsewhere);
  lua_setfield(L, -2, "elsewhere");
  lua_pushboolean(L, owner.pid == (long)getpid() && strcmp(owner.host, host) == 0);
  lua_setfield(L, -2, "own");
  return 2;
}

DGL_EXPORT int luaopen_dgamnative_lease(lua_State *L) {
  static const luaL_Reg methods[] = {{"drop", lease_drop}, {"__gc", lease_drop}, {"__close", lease_drop}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"take", lease_take}, {NULL, NULL}};
  luaL_newmetatable(L, LEASE);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
