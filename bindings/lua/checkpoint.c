/* checkpoint.c - dgamnative.checkpoint: the readers of .pth and .safetensors and the writer of .safetensors, for
 * lua/dgam/train/checkpoint.lua.
 *
 *   open_pth(path, skip_unknown) open_safetensors(path) -> reader
 *   #r, r:info(i) -> name, dtype, shape     r:read(i) -> tensor     r:plain() -> what is not a tensor     r:close()
 *   write_safetensors(path, names, tensors, metadata)      lists of the same length; text -> text
 */
#include <stdlib.h>
#include <string.h>

#include "lua/dgl.h"
#include "store/pth.h"
#include "store/safetensors.h"

#define READER "dgam.checkpoint"

enum { MAX_DEPTH = 64, MAX_STEPS = 1 << 18 };

typedef struct reader {
  dgam_pth *pth; /* one of the two; both NULL: closed */
  dgam_safetensors *safe;
} reader;

static reader *new_reader(lua_State *L) {
  reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (reader){0};
  luaL_setmetatable(L, READER);
  return r;
}

static reader *check_reader(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, READER);
  if (!r->pth && !r->safe) dgl_error(L, "the checkpoint is closed");
  return r;
}

static int open_pth(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int flags = lua_toboolean(L, 2) ? DGAM_PTH_SKIP_UNKNOWN : 0;
  dgl_check_file(L, dgam_pth_open(path, flags, &new_reader(L)->pth));
  return 1;
}

static int open_safetensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  dgl_check_file(L, dgam_safetensors_open(path, &new_reader(L)->safe));
  return 1;
}

static int reader_close(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, READER);
  dgam_pth_close(r->pth);
  dgam_safetensors_close(r->safe);
  *r = (reader){0};
  return 0;
}

static size_t count_of(const reader *r) {
  return r->pth ? dgam_pth_count(r->pth) : dgam_safetensors_count(r->safe);
}

static int reader_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)count_of(check_reader(L)));
  return 1;
}

static const dgam_tensor_info *check_info(lua_State *L, const reader *r, size_t *i) {
  lua_Integer at = luaL_checkinteger(L, 2);
  luaL_argcheck(L, at >= 1 && (size_t)at <= count_of(r), 2, "no such tensor");
  *i = (size_t)at - 1;
  return r->pth ? dgam_pth_info(r->pth, *i) : dgam_safetensors_info(r->safe, *i);
}

static int reader_info(lua_State *L) {
  size_t i;
  const dgam_tensor_info *t = check_info(L, check_reader(L), &i);
  lua_pushstring(L, t->name);
  lua_pushstring(L, dgam_dtype_name(t->dtype));
  lua_createtable(L, t->ndim, 0);
  for (int d = 0; d < t->ndim; d++) {
    lua_pushinteger(L, (lua_Integer)t->shape[d]);
    lua_rawseti(L, -2, d + 1);
  }
  return 3;
}

static int reader_read(lua_State *L) {
  reader *r = check_reader(L);
  size_t i;
  const dgam_tensor_info *t = check_info(L, r, &i);
  int64_t sizes[DGAM_MAXDIM] = {0};
  for (int d = 0; d < t->ndim; d++) sizes[d] = (int64_t)t->shape[d];
  dgl_view v;
  dgl_newtensor(L, (dgl_dtype)t->dtype, t->ndim, sizes, &v);
  size_t bytes = v.count * dgam_dtype_size(t->dtype);
  dgl_check_file(L,
                 r->pth ? dgam_pth_read(r->pth, i, v.data, bytes) : dgam_safetensors_read(r->safe, i, v.data, bytes));
  return 1;
}

/* --- what is beside the tensors --- */

/* Pushes a value, nil for what has no plain form (tensors among them). *steps counts down. */
static void push_plain(lua_State *L, const dgam_pickle_value *v, int depth, int *steps) {
  if (depth == MAX_DEPTH || --*steps < 0)
    dgl_error(L, "the checkpoint holds more nested values than a checkpoint should");
  luaL_checkstack(L, 6, "nested values");
  switch (v->kind) {
    case DGAM_PICKLE_BOOL:
      lua_pushboolean(L, v->u.i != 0);
      return;
    case DGAM_PICKLE_INT:
      lua_pushinteger(L, v->u.i);
      return;
    case DGAM_PICKLE_FLOAT:
      lua_pushnumber(L, v->u.f);
      return;
    case DGAM_PICKLE_STRING:
    case DGAM_PICKLE_BYTES:
      lua_pushlstring(L, v->u.text.s, v->u.text.n);
      return;
    case DGAM_PICKLE_TUPLE:
    case DGAM_PICKLE_LIST:
      lua_newtable(L);
      for (size_t i = 0, to = 1; i < v->u.seq.n; i++) {
        push_plain(L, v->u.seq.items[i], depth + 1, steps);
        if (lua_isnil(L, -1))
          lua_pop(L, 1); /* a list has no holes */
        else
          lua_rawseti(L, -2, (lua_Integer)to++);
      }
      return;
    case DGAM_PICKLE_DICT:
      lua_newtable(L);
      for (size_t i = 0; i + 1 < v->u.seq.n; i += 2) {
        const dgam_pickle_value *key = v->u.seq.items[i];
        if (key->kind != DGAM_PICKLE_STRING && key->kind != DGAM_PICKLE_INT) continue;
        push_plain(L, key, depth + 1, steps);
        push_plain(L, v->u.seq.items[i + 1], depth + 1, steps);
        lua_rawset(L, -3);
      }
      return;
    default:
      lua_pushnil(L);
  }
}

static int reader_plain(lua_State *L) {
  const reader *r = check_reader(L);
  if (r->pth) {
    int steps = MAX_STEPS;
    push_plain(L, dgam_pth_root(r->pth), 0, &steps);
    return 1;
  }
  lua_newtable(L);
  for (size_t i = 0; i < dgam_safetensors_metadata_count(r->safe); i++) {
    dgam_text_pair pair = dgam_safetensors_metadata(r->safe, i);
    lua_pushstring(L, pair.value);
    lua_setfield(L, -2, pair.key);
  }
  return 1;
}

/* --- writing --- */

static const char *check_text(lua_State *L, int idx, const char *what) {
  if (lua_type(L, idx) != LUA_TSTRING) dgl_error(L, "%s is a %s, expected text", what, luaL_typename(L, idx));
  size_t n;
  const char *s = lua_tolstring(L, idx, &n);
  if (strlen(s) != n) dgl_error(L, "%s has a zero byte in it", what);
  return s;
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const dgam_text_pair *)a)->key, ((const dgam_text_pair *)b)->key);
}

static int write_safetensors(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  size_t n = (size_t)lua_rawlen(L, 2), npairs = 0;
  luaL_argcheck(L, lua_rawlen(L, 3) == n, 3, "as many tensors as names expected");
  dgam_tensor_info *infos = lua_newuserdatauv(L, n * sizeof *infos + 1, 0);
  const void **data = lua_newuserdatauv(L, n * sizeof *data + 1, 0);
  for (size_t i = 0; i < n; i++) {
    dgl_view v;
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    lua_rawgeti(L, 3, (lua_Integer)i + 1);
    const char *name = check_text(L, -2, "the name of a tensor");
    dgl_checktensor(L, -1, DGL_ANY, -1, name, &v);
    infos[i] = (dgam_tensor_info){.name = name, .dtype = (dgam_dtype)v.dtype, .ndim = v.ndim, .count = v.count};
    for (int d = 0; d < v.ndim; d++) infos[i].shape[d] = (size_t)v.sizes[d];
    data[i] = v.data;
    lua_pop(L, 2); /* the lists keep both */
  }
  for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1)) npairs++;
  dgam_text_pair *pairs = lua_newuserdatauv(L, npairs * sizeof *pairs + 1, 0);
  size_t k = 0;
  for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1), k++) {
    pairs[k].key = check_text(L, -2, "a name in the metadata");
    pairs[k].value = check_text(L, -1, pairs[k].key);
  }
  qsort(pairs, npairs, sizeof *pairs, by_key); /* the order of a Lua table is not the same every time */
  dgl_check_file(L, dgam_safetensors_write(path, n, infos, data, npairs, pairs));
  return 0;
}

static const luaL_Reg methods[] = {
    {"info", reader_info}, {"read", reader_read}, {"plain", reader_plain}, {"close", reader_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"open_pth", open_pth},
                                     {"open_safetensors", open_safetensors},
                                     {"write_safetensors", write_safetensors},
                                     {NULL, NULL}};

DGL_EXPORT int luaopen_dgamnative_checkpoint(lua_State *L);
int luaopen_dgamnative_checkpoint(lua_State *L) {
  luaL_newmetatable(L, READER);
  lua_pushcfunction(L, reader_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, reader_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, reader_len);
  lua_setfield(L, -2, "__len");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
