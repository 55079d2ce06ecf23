/* dgl.c - see dgl.h */
#include "lua/dgl.h"

#include <stdarg.h>
#include <string.h>

static void answer_interrupt(lua_State *L) {
  if (dgam_interrupted()) lua_sethook(L, NULL, 0, 0);
}

/* Whether a chunk's source begins as those of the library do, which the list at index `list` tells. */
static int is_library(lua_State *L, int list, const char *source) {
  int found = 0;
  if (!lua_istable(L, list)) return 0;
  for (lua_Integer i = 1; !found && lua_rawgeti(L, list, i) == LUA_TSTRING; i++) {
    size_t n;
    const char *beginning = lua_tolstring(L, -1, &n);
    found = strncmp(source, beginning, n) == 0;
    lua_pop(L, 1);
  }
  if (!found) lua_pop(L, 1); /* the nil at the end */
  return found;
}

void dgl_where(lua_State *L) {
  luaL_checkstack(L, 4, NULL);
  lua_getfield(L, LUA_REGISTRYINDEX, DGL_LIBRARY);
  int list = lua_gettop(L);
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0 && !is_library(L, list, ar.source)) { /* a C function is at no line */
      lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
      lua_remove(L, list);
      return;
    }
  }
  lua_pop(L, 1);
  lua_pushliteral(L, "");
}

int dgl_error(lua_State *L, const char *format, ...) {
  va_list args;
  va_start(args, format);
  dgl_where(L);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_concat(L, 2);
  return lua_error(L);
}

int dgl_raise(lua_State *L, const char *before, const char *text) {
  answer_interrupt(L);
  return dgl_error(L, "%s%s", before, text);
}

static const char *words(dgam_status s) { return *dgam_error() ? dgam_error() : dgam_status_name(s); }

void dgl_check(lua_State *L, dgam_status s) {
  if (s != DGAM_OK) dgl_raise(L, "", words(s));
}

void dgl_check_file(lua_State *L, dgam_status s) {
  if (s == DGAM_OK) return;
  answer_interrupt(L);
  lua_pushstring(L, words(s));
  lua_error(L);
}

static const dgl_tensor_api *api(lua_State *L, int load) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, DGL_TENSOR_API) == LUA_TNIL && load) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "torch");
    lua_call(L, 1, 0);
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, DGL_TENSOR_API);
  }
  const dgl_tensor_api *a = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return a;
}

const char *dgl_checkname(lua_State *L, int idx, const char *what) {
  size_t n;
  const char *s = luaL_checklstring(L, idx, &n);
  if (strlen(s) != n) dgl_error(L, "%s '%s\\0...' has a zero byte in it, expected one without", what, s);
  return s;
}

int dgl_testtensor(lua_State *L, int idx, dgl_view *out) {
  const dgl_tensor_api *a = api(L, 0); /* no tensor exists before torch is loaded */
  if (!a || !a->test(L, idx)) return 0;
  a->view(L, idx, out);
  return 1;
}

void dgl_checktensor(lua_State *L, int idx, dgl_dtype dtype, int ndim, const char *what, dgl_view *out) {
  if (!dgl_testtensor(L, idx, out)) dgl_error(L, "%s is a %s, expected a tensor", what, luaL_typename(L, idx));
  if (dtype != DGL_ANY && out->dtype != dtype)
    dgl_error(L, "%s has dtype %s, expected %s", what, dgl_dtype_name(out->dtype), dgl_dtype_name(dtype));
  if (ndim >= 0 && out->ndim != ndim) dgl_error(L, "%s has %d dimensions, expected %d", what, out->ndim, ndim);
}

void dgl_newtensor(lua_State *L, dgl_dtype dtype, int ndim, const int64_t *sizes, dgl_view *out) {
  const dgl_tensor_api *a = api(L, 1);
  if (!a) dgl_error(L, "torch was loaded but gave no tensors; is dgamtorch.so from the same build?");
  else a->create(L, dtype, ndim, sizes, out);
}

size_t dgl_dtype_size(dgl_dtype dtype) {
  switch (dtype) {
    case DGL_U8: case DGL_I8: case DGL_BOOL: return 1;
    case DGL_I16: case DGL_F16: case DGL_BF16: return 2;
    case DGL_I32: case DGL_F32: return 4;
    case DGL_I64: case DGL_F64: case DGL_C64: return 8;
    case DGL_C128: return 16;
    default: return 0;
  }
}

const char *dgl_dtype_name(dgl_dtype dtype) {
  switch (dtype) {
    case DGL_U8: return "uint8";
    case DGL_I8: return "int8";
    case DGL_I16: return "int16";
    case DGL_I32: return "int32";
    case DGL_I64: return "int64";
    case DGL_F16: return "float16";
    case DGL_F32: return "float32";
    case DGL_F64: return "float64";
    case DGL_C64: return "complex64";
    case DGL_C128: return "complex128";
    case DGL_BOOL: return "bool";
    case DGL_BF16: return "bfloat16";
    default: return "unknown";
  }
}

/* Pushes the field and returns its type, LUA_TNIL if there is no table. */
static int field(lua_State *L, int idx, const char *name) {
  if (lua_isnoneornil(L, idx)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  luaL_checktype(L, idx, LUA_TTABLE);
  return lua_getfield(L, idx, name);
}

static void wrong_field(lua_State *L, const char *name, const char *expected) {
  dgl_error(L, "option '%s' is %s, expected %s", name, luaL_tolstring(L, -1, NULL), expected);
}

lua_Integer dgl_optfield_integer(lua_State *L, int idx, const char *name, lua_Integer def) {
  if (field(L, idx, name) != LUA_TNIL) {
    int ok;
    def = lua_tointegerx(L, -1, &ok);
    if (!ok || lua_type(L, -1) != LUA_TNUMBER) wrong_field(L, name, "a whole number");
  }
  lua_pop(L, 1);
  return def;
}

lua_Number dgl_optfield_number(lua_State *L, int idx, const char *name, lua_Number def) {
  int type = field(L, idx, name);
  if (type != LUA_TNIL) {
    if (type != LUA_TNUMBER) wrong_field(L, name, "a number");
    def = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return def;
}

int dgl_optfield_boolean(lua_State *L, int idx, const char *name, int def) {
  int type = field(L, idx, name);
  if (type != LUA_TNIL) {
    if (type != LUA_TBOOLEAN) wrong_field(L, name, "true or false");
    def = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return def;
}

const char *dgl_optfield_string(lua_State *L, int idx, const char *name, const char *def) {
  int type = field(L, idx, name);
  if (type != LUA_TNIL) {
    if (type != LUA_TSTRING) wrong_field(L, name, "a string");
    def = lua_tostring(L, -1); /* stays alive: the table still holds it */
  }
  lua_pop(L, 1);
  return def;
}

/* Edit distance for did-you-mean; words longer than 31 count as far. */
static int distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  int row[32];
  if (n > 31 || m > 31) return 99;
  for (size_t j = 0; j <= m; j++) row[j] = (int)j;
  for (size_t i = 1; i <= n; i++) {
    int diagonal = row[0];
    row[0] = (int)i;
    for (size_t j = 1; j <= m; j++) {
      int best = diagonal + (a[i - 1] != b[j - 1]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[m];
}

void dgl_optfield_pair(lua_State *L, int idx, const char *name, const char *expected, double pair[2]) {
  int type = field(L, idx, name);
  if (type != LUA_TNIL) {
    if (type != LUA_TTABLE) wrong_field(L, name, expected);
    if (lua_rawlen(L, -1) > 2) dgl_error(L, "option '%s' has %d values, expected two: %s", name, (int)lua_rawlen(L, -1), expected);
    for (int i = 0; i < 2; i++) {
      if (lua_rawgeti(L, -1, i + 1) != LUA_TNUMBER)
        dgl_error(L, "option '%s[%d]' is %s, expected a number: %s", name, i + 1, luaL_tolstring(L, -1, NULL), expected);
      pair[i] = lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

void dgl_checkfields(lua_State *L, int idx, const char *const *known) {
  if (lua_isnoneornil(L, idx)) return;
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) dgl_error(L, "option %s is not a name", luaL_tolstring(L, -1, NULL));
    const char *key = lua_tostring(L, -1), *nearest = NULL;
    int best = 4;
    const char *const *k = known;
    for (; *k && strcmp(*k, key) != 0; k++) {
      int d = distance(key, *k);
      if (d < best) best = d, nearest = *k;
    }
    if (*k) continue;
    if (nearest) dgl_error(L, "unknown option '%s'; did you mean '%s'?", key, nearest);
    dgl_error(L, "unknown option '%s'; the first known one is '%s'", key, *known);
  }
}
