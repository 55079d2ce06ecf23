/* h5.c - dgamnative.h5: core/store/h5.h as a handle. lua/dgam/kernels/h5.lua makes the module for users out of it; here is only
 * what has to be C. Numbers travel as tensors, or, so that libtorch need not be loaded, as Lua numbers.
 *
 *   open(path) create(path) update(path) -> handle
 *   h:path() h:commit() h:close()
 *   h:stat(name) -> "none" | "group" | "text" | "other", or "numbers"; then dtype (numbers) and shape
 *   h:list(group) h:attrs(object) -> list of names       h:make_group(name)
 *   h:read(name [, dtype [, start, count]]) -> tensor     start from 0
 *   h:numbers(name [, start, count]) -> flat list         integers and bools as they are, all else as floats
 *   h:texts(name) -> list
 *   h:write(name, tensor, deflate)                        h:write_slab(name, tensor, start)
 *   h:write_numbers(name, dtype, list, shape, deflate)    dtype int64, float64 or bool
 *   h:write_texts(name, list, ndim)                       h:make(name, dtype, shape, deflate)
 *   h:attr(object, name) -> value, list or nil            h:set_attr(object, name, value or list)
 */
#include <string.h>

#include "lua/dgl.h"
#include "store/h5.h"

#define HANDLE "dgam.h5"
#define TEXTS  "dgam.h5.texts"
#define VALUE  "dgam.h5.value"

_Static_assert((int)DGL_BF16 == (int)DGAM_BF16 && (int)DGL_BOOL == (int)DGAM_BOOL && (int)DGL_U8 == (int)DGAM_U8 &&
                   (int)DGL_F64 == (int)DGAM_F64 && (int)DGL_MAXDIM == (int)DGAM_MAXDIM,
               "the core's types are the bindings'");

/* --- handles; lists and values of the core live in userdata, so that an error frees them --- */

typedef struct handle {
  dgam_h5 *f; /* NULL: closed */
} handle;

static dgam_h5 *check_file(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, HANDLE);
  if (!h->f) dgl_error(L, "the HDF5 file is closed");
  return h->f;
}

static int open_with(lua_State *L, dgam_status (*opener)(const char *, dgam_h5 **)) {
  const char *path = luaL_checkstring(L, 1);
  handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->f = NULL;
  luaL_setmetatable(L, HANDLE);
  dgl_check_file(L, opener(path, &h->f));
  return 1;
}

static int h5_open(lua_State *L) {
  return open_with(L, dgam_h5_open);
}
static int h5_create(lua_State *L) {
  return open_with(L, dgam_h5_create);
}
static int h5_update(lua_State *L) {
  return open_with(L, dgam_h5_update);
}

static int h5_path(lua_State *L) {
  lua_pushstring(L, dgam_h5_path(check_file(L)));
  return 1;
}

static int h5_close(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, HANDLE);
  dgam_h5_close(h->f);
  h->f = NULL;
  return 0;
}

static int h5_commit(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, HANDLE);
  dgam_h5 *f = check_file(L);
  h->f = NULL; /* gone either way */
  dgl_check_file(L, dgam_h5_commit(f));
  return 0;
}

static dgam_h5_texts *new_texts(lua_State *L) {
  dgam_h5_texts *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (dgam_h5_texts){0};
  luaL_setmetatable(L, TEXTS);
  return t;
}

static int texts_gc(lua_State *L) {
  dgam_h5_free_texts(luaL_checkudata(L, 1, TEXTS));
  return 0;
}

static dgam_h5_value *new_value(lua_State *L) {
  dgam_h5_value *v = lua_newuserdatauv(L, sizeof *v, 0);
  *v = (dgam_h5_value){.kind = DGAM_H5_NOTHING};
  luaL_setmetatable(L, VALUE);
  return v;
}

static int value_gc(lua_State *L) {
  dgam_h5_free_value(luaL_checkudata(L, 1, VALUE));
  return 0;
}

static void push_texts(lua_State *L, const dgam_h5_texts *t) {
  lua_createtable(L, (int)t->count, 0);
  for (size_t i = 0; i < t->count; i++) {
    lua_pushstring(L, t->items[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

/* --- arguments --- */

/* A list of whole numbers >= 0 at idx into out; returns how many. */
static int check_sizes(lua_State *L, int idx, size_t out[DGAM_MAXDIM], const char *what) {
  luaL_checktype(L, idx, LUA_TTABLE);
  size_t n = (size_t)lua_rawlen(L, idx);
  if (n > DGAM_MAXDIM) dgl_error(L, "%s has %d dimensions, at most %d are supported", what, (int)n, DGAM_MAXDIM);
  for (size_t d = 0; d < n; d++) {
    int ok;
    lua_rawgeti(L, idx, (lua_Integer)d + 1);
    lua_Integer i = lua_tointegerx(L, -1, &ok);
    if (!ok || i < 0) dgl_error(L, "%s holds %s, expected whole numbers", what, luaL_tolstring(L, -1, NULL));
    out[d] = (size_t)i;
    lua_pop(L, 1);
  }
  return (int)n;
}

static dgam_dtype check_dtype(lua_State *L, int idx) {
  const char *name = luaL_checkstring(L, idx);
  dgam_dtype dtype = dgam_dtype_named(name);
  if (dtype == DGAM_NODTYPE) dgl_error(L, "'%s' is no element type; expected uint8, float32 ...", name);
  return dtype;
}

/* Start and count at idx and idx + 1 for a dataset of ndim dimensions; 0 if they are not given. */
static int check_slab(lua_State *L, int idx, const char *name, int ndim, size_t *start, size_t *count) {
  if (lua_isnoneornil(L, idx)) return 0;
  int a = check_sizes(L, idx, start, "start"), b = check_sizes(L, idx + 1, count, "count");
  if (a != ndim || b != ndim)
    dgl_error(L, "the slab of '%s' has %d starts and %d counts, expected %d of each", name, a, b, ndim);
  return 1;
}

static size_t product(const size_t *n, int ndim) {
  size_t p = 1;
  for (int d = 0; d < ndim; d++)
    if (__builtin_mul_overflow(p, n[d], &p)) return SIZE_MAX;
  return p;
}

static int to_sizes(const dgl_view *v, size_t out[DGAM_MAXDIM]) {
  for (int d = 0; d < v->ndim; d++) out[d] = (size_t)v->sizes[d];
  return v->ndim;
}

static dgam_h5_options options_at(lua_State *L, int idx) {
  return (dgam_h5_options){.deflate = (int)luaL_optinteger(L, idx, 0)};
}

/* --- what is there --- */

static int h5_stat(lua_State *L) {
  static const char *const kinds[] = {[DGAM_H5_NONE] = "none",
                                      [DGAM_H5_GROUP] = "group",
                                      [DGAM_H5_NUMBERS] = "numbers",
                                      [DGAM_H5_TEXT] = "text",
                                      [DGAM_H5_OTHER] = "other"};
  dgam_h5_info info;
  dgl_check_file(L, dgam_h5_stat(check_file(L), luaL_checkstring(L, 2), &info));
  lua_pushstring(L, kinds[info.kind]);
  if (info.kind != DGAM_H5_NUMBERS && info.kind != DGAM_H5_TEXT) return 1;
  if (info.kind == DGAM_H5_NUMBERS)
    lua_pushstring(L, dgam_dtype_name(info.array.dtype));
  else
    lua_pushnil(L);
  lua_createtable(L, info.array.ndim, 0);
  for (int d = 0; d < info.array.ndim; d++) {
    lua_pushinteger(L, (lua_Integer)info.array.shape[d]);
    lua_rawseti(L, -2, d + 1);
  }
  if (info.kind == DGAM_H5_TEXT) return 3;
  lua_pushnumber(L, (double)info.array.count * (double)dgam_dtype_size(info.array.dtype));
  return 4;
}

static int h5_check_size(lua_State *L) {
  double bytes = luaL_checknumber(L, 3);
  dgl_check_file(
      L, dgam_h5_check_size(check_file(L), luaL_checkstring(L, 2), bytes < 1e18 ? (uint64_t)bytes : UINT64_MAX));
  return 0;
}

static int list_with(lua_State *L, dgam_status (*list)(dgam_h5 *, const char *, dgam_h5_texts *)) {
  dgam_h5 *f = check_file(L);
  const char *name = luaL_optstring(L, 2, "");
  dgam_h5_texts *t = new_texts(L);
  dgl_check_file(L, list(f, name, t));
  push_texts(L, t);
  return 1;
}

static int h5_list(lua_State *L) {
  return list_with(L, dgam_h5_list);
}
static int h5_attrs(lua_State *L) {
  return list_with(L, dgam_h5_list_attrs);
}
static int h5_texts(lua_State *L) {
  return list_with(L, dgam_h5_read_texts);
}

static int h5_make_group(lua_State *L) {
  dgl_check_file(L, dgam_h5_make_group(check_file(L), luaL_checkstring(L, 2)));
  return 0;
}

/* --- reading --- */

/* An error if n elements of a dataset are more than the file can hold: before memory is asked for. */
static void check_size(lua_State *L, dgam_h5 *f, const char *name, const dgam_tensor_info *array, size_t n) {
  lua_pushfstring(L, "'%s'", name);
  dgl_check_file(L, dgam_h5_check_size(f, lua_tostring(L, -1), n * dgam_dtype_size(array->dtype)));
  lua_pop(L, 1);
}

/* The dataset's description; an error if it does not hold numbers (the core's read says which). */
static dgam_tensor_info check_numbers(lua_State *L, dgam_h5 *f, const char *name) {
  dgam_h5_info info;
  dgl_check_file(L, dgam_h5_stat(f, name, &info));
  if (info.kind != DGAM_H5_NUMBERS) {
    dgl_check_file(L, dgam_h5_read(f, name, DGAM_F64, NULL, NULL, NULL, 0));
    dgl_error(L, "'%s' holds no numbers", name);
  }
  return info.array;
}

static int h5_read(lua_State *L) {
  size_t start[DGAM_MAXDIM], count[DGAM_MAXDIM];
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgam_tensor_info array = check_numbers(L, f, name);
  dgam_dtype dtype = lua_isnoneornil(L, 3) ? array.dtype : check_dtype(L, 3);
  int slab = check_slab(L, 4, name, array.ndim, start, count);
  int64_t sizes[DGAM_MAXDIM] = {0};
  for (int d = 0; d < array.ndim; d++) {
    if (slab && count[d] > array.shape[d]) /* before memory is asked for */
      dgl_error(L, "'%s': a slab of %d along dimension %d, which has %d", name, (int)count[d], d + 1,
                 (int)array.shape[d]);
    sizes[d] = (int64_t)(slab ? count[d] : array.shape[d]);
  }
  check_size(L, f, name, &array, slab ? product(count, array.ndim) : array.count);
  dgl_view v;
  dgl_newtensor(L, (dgl_dtype)dtype, array.ndim, sizes, &v);
  dgl_check_file(L, dgam_h5_read(f, name, dtype, slab ? start : NULL, slab ? count : NULL, v.data,
                                 v.count * dgam_dtype_size(dtype)));
  return 1;
}

static int h5_numbers(lua_State *L) {
  size_t start[DGAM_MAXDIM], count[DGAM_MAXDIM];
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgam_tensor_info array = check_numbers(L, f, name);
  int slab = check_slab(L, 3, name, array.ndim, start, count);
  size_t n = slab ? product(count, array.ndim) : array.count;
  int is_bool = array.dtype == DGAM_BOOL, is_int = array.dtype <= DGAM_I64;
  dgam_dtype dtype = is_bool ? DGAM_BOOL : is_int ? DGAM_I64 : DGAM_F64;
  if (slab && n > array.count) dgl_error(L, "the slab of '%s' is larger than the dataset", name);
  check_size(L, f, name, &array, n);
  void *block = lua_newuserdatauv(L, n * dgam_dtype_size(dtype) + 1, 0);
  dgl_check_file(
      L, dgam_h5_read(f, name, dtype, slab ? start : NULL, slab ? count : NULL, block, n * dgam_dtype_size(dtype)));
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    if (is_bool)
      lua_pushboolean(L, ((unsigned char *)block)[i]);
    else if (is_int)
      lua_pushinteger(L, ((int64_t *)block)[i]);
    else
      lua_pushnumber(L, ((double *)block)[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* --- writing --- */

static int h5_write(lua_State *L) {
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgl_view v;
  size_t shape[DGAM_MAXDIM] = {0};
  dgl_checktensor(L, 3, DGL_ANY, -1, name, &v);
  dgam_h5_options options = options_at(L, 4);
  int ndim = to_sizes(&v, shape);
  dgl_check_file(L, dgam_h5_write(f, name, (dgam_dtype)v.dtype, ndim, shape, v.data, &options));
  return 0;
}

static int h5_write_slab(lua_State *L) {
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgl_view v;
  size_t start[DGAM_MAXDIM], count[DGAM_MAXDIM] = {0};
  dgl_checktensor(L, 3, DGL_ANY, -1, name, &v);
  int ndim = check_sizes(L, 4, start, "start");
  dgam_tensor_info array = check_numbers(L, f, name);
  if (to_sizes(&v, count) != array.ndim || ndim != array.ndim)
    dgl_error(L, "'%s' has %d dimensions; a tensor of %d and %d starts do not fit", name, array.ndim, v.ndim, ndim);
  dgl_check_file(L, dgam_h5_write_slab(f, name, (dgam_dtype)v.dtype, start, count, v.data));
  return 0;
}

static int h5_make(lua_State *L) {
  size_t shape[DGAM_MAXDIM] = {0};
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgam_dtype dtype = check_dtype(L, 3);
  int ndim = check_sizes(L, 4, shape, "shape");
  dgam_h5_options options = options_at(L, 5);
  dgl_check_file(L, dgam_h5_write(f, name, dtype, ndim, shape, NULL, &options));
  return 0;
}

/* The list at idx as an array of int64, float64 or bool (one byte each), in a userdata left on the stack. */
static void *check_list(lua_State *L, int idx, dgam_dtype dtype, const char *name, size_t *n) {
  idx = lua_absindex(L, idx);
  luaL_checktype(L, idx, LUA_TTABLE);
  *n = (size_t)lua_rawlen(L, idx);
  void *block = lua_newuserdatauv(L, *n * 8 + 1, 0);
  for (size_t i = 0; i < *n; i++) {
    int ok = 1;
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    if (dtype == DGAM_I64)
      ((int64_t *)block)[i] = lua_tointegerx(L, -1, &ok);
    else if (dtype == DGAM_F64)
      ((double *)block)[i] = lua_tonumberx(L, -1, &ok);
    else
      ((unsigned char *)block)[i] = (unsigned char)lua_toboolean(L, -1), ok = lua_isboolean(L, -1);
    if (!ok) dgl_error(L, "'%s' holds %s, expected %s", name, luaL_tolstring(L, -1, NULL), dgam_dtype_name(dtype));
    lua_pop(L, 1);
  }
  return block;
}

static const char *check_text(lua_State *L, int idx, const char *name) {
  size_t n;
  if (lua_type(L, idx) != LUA_TSTRING) dgl_error(L, "'%s' holds a %s, expected text", name, luaL_typename(L, idx));
  const char *s = lua_tolstring(L, idx, &n);
  if (strlen(s) != n) dgl_error(L, "'%s' holds a text with a zero byte, which HDF5 cannot keep", name);
  return s;
}

/* The list of texts at idx as pointers into it, in a userdata left on the stack. */
static const char **check_texts(lua_State *L, int idx, const char *name, size_t *n) {
  idx = lua_absindex(L, idx);
  luaL_checktype(L, idx, LUA_TTABLE);
  *n = (size_t)lua_rawlen(L, idx);
  const char **texts = lua_newuserdatauv(L, *n * sizeof *texts + 1, 0);
  for (size_t i = 0; i < *n; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    texts[i] = check_text(L, -1, name);
    lua_pop(L, 1); /* the list keeps it */
  }
  return texts;
}

static int h5_write_numbers(lua_State *L) {
  size_t shape[DGAM_MAXDIM] = {0}, n;
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  dgam_dtype dtype = check_dtype(L, 3);
  int ndim = check_sizes(L, 5, shape, "shape");
  dgam_h5_options options = options_at(L, 6);
  luaL_argcheck(L, dtype == DGAM_I64 || dtype == DGAM_F64 || dtype == DGAM_BOOL, 3, "expected int64, float64 or bool");
  const void *block = check_list(L, 4, dtype, name, &n);
  if (product(shape, ndim) != n) dgl_error(L, "'%s' has %d values, which do not fill its shape", name, (int)n);
  dgl_check_file(L, dgam_h5_write(f, name, dtype, ndim, shape, block, &options));
  return 0;
}

static int h5_write_texts(lua_State *L) {
  size_t n;
  dgam_h5 *f = check_file(L);
  const char *name = luaL_checkstring(L, 2);
  const char **texts = check_texts(L, 3, name, &n);
  dgl_check_file(L, dgam_h5_write_texts(f, name, (int)luaL_checkinteger(L, 4), n, texts));
  return 0;
}

/* --- attributes --- */

static void push_element(lua_State *L, const dgam_h5_value *v, size_t i) {
  switch (v->kind) {
    case DGAM_H5_INTS:
      lua_pushinteger(L, v->ints[i]);
      break;
    case DGAM_H5_BOOLS:
      lua_pushboolean(L, v->ints[i] != 0);
      break;
    case DGAM_H5_FLOATS:
      lua_pushnumber(L, v->floats[i]);
      break;
    case DGAM_H5_TEXTS:
      lua_pushstring(L, v->texts.items[i]);
      break;
    default:
      lua_pushnil(L);
  }
}

static int h5_attr(lua_State *L) {
  dgam_h5 *f = check_file(L);
  const char *object = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
  dgam_h5_value *v = new_value(L);
  dgl_check_file(L, dgam_h5_read_attr(f, object, name, v));
  if (v->kind == DGAM_H5_NOTHING || v->ndim == 0) {
    push_element(L, v, 0);
    return 1;
  }
  lua_createtable(L, (int)v->count, 0);
  for (size_t i = 0; i < v->count; i++) {
    push_element(L, v, i);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* The type that all values of the list at idx have; integers become floats if there is a float among them. */
static dgam_dtype list_dtype(lua_State *L, int idx, int *is_text) {
  dgam_dtype dtype = DGAM_NODTYPE;
  *is_text = 0;
  size_t n = (size_t)lua_rawlen(L, idx);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    if (lua_type(L, -1) == LUA_TSTRING)
      *is_text = 1;
    else if (lua_isboolean(L, -1))
      dtype = DGAM_BOOL;
    else if (!lua_isinteger(L, -1))
      dtype = DGAM_F64;
    else if (dtype == DGAM_NODTYPE)
      dtype = DGAM_I64;
    lua_pop(L, 1);
  }
  return dtype == DGAM_NODTYPE ? DGAM_F64 : dtype;
}

static int h5_set_attr(lua_State *L) {
  dgam_h5 *f = check_file(L);
  const char *object = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
  luaL_checkany(L, 4);
  int is_text, ndim = lua_istable(L, 4);
  size_t n;
  if (!ndim) { /* one value: a list of it */
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 4);
    lua_rawseti(L, -2, 1);
    lua_replace(L, 4);
  }
  dgam_dtype dtype = list_dtype(L, 4, &is_text);
  if (is_text) {
    const char **texts = check_texts(L, 4, name, &n);
    dgl_check_file(L, dgam_h5_write_attr_texts(f, object, name, ndim, n, texts));
  } else {
    const void *block = check_list(L, 4, dtype, name, &n);
    dgl_check_file(L, dgam_h5_write_attr(f, object, name, dtype, ndim, n, block));
  }
  return 0;
}

/* --- the module --- */

static const luaL_Reg methods[] = {
    {"path", h5_path},
    {"commit", h5_commit},
    {"close", h5_close},
    {"stat", h5_stat},
    {"check_size", h5_check_size},
    {"list", h5_list},
    {"attrs", h5_attrs},
    {"texts", h5_texts},
    {"make_group", h5_make_group},
    {"read", h5_read},
    {"numbers", h5_numbers},
    {"write", h5_write},
    {"write_slab", h5_write_slab},
    {"make", h5_make},
    {"write_numbers", h5_write_numbers},
    {"attr", h5_attr},
    {"write_texts", h5_write_texts},
    {"set_attr", h5_set_attr},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {{"open", h5_open}, {"create", h5_create}, {"update", h5_update}, {NULL, NULL}};

static void collected(lua_State *L, const char *type, lua_CFunction gc) {
  luaL_newmetatable(L, type);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
}

DGL_EXPORT int luaopen_dgamnative_h5(lua_State *L);
int luaopen_dgamnative_h5(lua_State *L) {
  collected(L, TEXTS, texts_gc);
  collected(L, VALUE, value_gc);
  collected(L, HANDLE, h5_close);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
