/* sys.c - dgamnative.sys: the machine and the libraries below, for `dgamlua doctor`, benchmarks and tests.
 *
 *   versions() -> { onednn =, onednn_isa =, ffmpeg =, hdf5 = }
 *   cpu_level() -> name of the level that kernels use ("plain", "avx2", "avx512", "avx512-bf16")
 *   cpu_limit(name) -> old name; lowers the level for this process, "avx512-bf16" gives back all the machine has
 *   threads([n]) -> threads the core uses; n sets them, 0 the default again
 *   stream(p, g, m, v, way [, passes = 1]) -> bytes read and written by passes over four float32 tensors of one length,
 *     in place (bindings/bench/stream.h); way is 1 to STREAM_WAYS
 *   terminal_width() -> columns of the terminal that standard error is, nil if it is none or does not say
 *   children_peak() -> the largest peak of resident memory of any process that this one started and waited for, MB
 *   where() -> "FILE:LINE: " of the script's call that led here, past the library's own frames; "" if there is none
 *   semantics() -> { nn = 1, light = 1, ... }: what each family of kernels computes, as a number (core/base/semantics.h)
 *   openblas(path) -> name of the kernels chosen and the build's configuration, if the library at path, already
 *     loaded in this process, is OpenBLAS; else nil
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/semantics.h"
#include "bench/stream.h"
#include "lua/dgl.h"
#include "lua/versions.h"

static int sys_terminal_width(lua_State *L) {
  struct winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  lua_pushinteger(L, size.ws_col);
  return 1;
}

static int sys_versions(lua_State *L) {
  dgl_versions v;
  dgl_versions_get(&v);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, v.onednn);
  lua_setfield(L, -2, "onednn");
  lua_pushstring(L, v.onednn_isa);
  lua_setfield(L, -2, "onednn_isa");
  lua_pushstring(L, v.ffmpeg);
  lua_setfield(L, -2, "ffmpeg");
  lua_pushstring(L, v.hdf5);
  lua_setfield(L, -2, "hdf5");
  return 1;
}

static int sys_cpu_level(lua_State *L) { return lua_pushstring(L, dgam_cpu_name(dgam_cpu_level())), 1; }

static int sys_cpu_limit(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (int level = DGAM_CPU_PLAIN; level <= DGAM_CPU_AVX512BF; level++)
    if (strcmp(name, dgam_cpu_name((dgam_cpu)level)) == 0)
      return lua_pushstring(L, dgam_cpu_name(dgam_cpu_limit((dgam_cpu)level))), 1;
  return dgl_error(L, "cpu_limit: '%s' is no level; expected plain, avx2, avx512 or avx512-bf16", name);
}

static int sys_threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= 4096, 1, "expected 1 to 4096 threads, or 0 for the default");
    dgam_set_threads((int)n);
  }
  return lua_pushinteger(L, dgam_threads()), 1;
}

static int sys_stream(lua_State *L) {
  dgl_view t[4];
  static const char *const what[] = {"p", "g", "m", "v"};
  for (int i = 0; i < 4; i++) {
    dgl_checktensor(L, i + 1, DGL_F32, 1, what[i], &t[i]);
    if (t[i].count != t[0].count)
      return dgl_error(L, "stream: %s has %d elements, expected %d as p has", what[i], (int)t[i].count, (int)t[0].count);
  }
  lua_Integer way = luaL_checkinteger(L, 5);
  luaL_argcheck(L, way >= 1 && way <= DGAM_STREAM_WAYS, 5, "expected a way from 1 to STREAM_WAYS");
  lua_Integer passes = luaL_optinteger(L, 6, 1);
  luaL_argcheck(L, passes >= 1 && passes <= 1 << 20, 6, "expected 1 to 2^20 passes");
  dgl_check(L, dgam_stream(t[0].count, t[0].data, t[1].data, t[2].data, t[3].data, (dgam_stream_way)(way - 1),
                           (size_t)passes));
  return lua_pushinteger(L, (lua_Integer)t[0].count * DGAM_STREAM_BYTES * passes), 1;
}

static int sys_children_peak(lua_State *L) {
  struct rusage r;
  getrusage(RUSAGE_CHILDREN, &r);
  return lua_pushnumber(L, (lua_Number)r.ru_maxrss / 1024), 1;
}

static int sys_openblas(lua_State *L) {
  void *library = dlopen(luaL_checkstring(L, 1), RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return luaL_pushfail(L), 1;
  /* Through void **, as POSIX has it: ISO C does not turn an object pointer into a function's. */
  char *(*core)(void), *(*config)(void);
  *(void **)&core = dlsym(library, "openblas_get_corename");
  *(void **)&config = dlsym(library, "openblas_get_config");
  if (core && config) {
    lua_pushstring(L, core());
    lua_pushstring(L, config());
  } else {
    luaL_pushfail(L);
    luaL_pushfail(L);
  }
  dlclose(library); /* only the count that RTLD_NOLOAD added */
  return 2;
}

static int sys_semantics(lua_State *L) {
  lua_newtable(L);
#define FAMILY(name, number) lua_pushinteger(L, number), lua_setfield(L, -2, #name);
  DGAM_SEMANTICS(FAMILY)
#undef FAMILY
  return 1;
}

static int sys_where(lua_State *L) {
  dgl_where(L);
  return 1;
}

DGL_EXPORT int luaopen_dgamnative_sys(lua_State *L) {
  static const luaL_Reg functions[] = {{"versions", sys_versions}, {"cpu_level", sys_cpu_level},
                                       {"cpu_limit", sys_cpu_limit}, {"threads", sys_threads},
                                       {"openblas", sys_openblas},   {"stream", sys_stream},
                                       {"children_peak", sys_children_peak}, {"terminal_width", sys_terminal_width},
                                       {"where", sys_where},         {"semantics", sys_semantics},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_pushinteger(L, DGAM_STREAM_WAYS);
  lua_setfield(L, -2, "STREAM_WAYS");
  return 1;
}
