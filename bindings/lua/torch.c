/* torch.c - the Lua module dgamtorch: tensors as userdata, every operator as a function.
 *
 * lua/torch/init.lua builds the module `torch` on top: printing, no_grad, conversions with defaults. Here is what has
 * to be C: handles and their collection, the way Lua values become operator arguments, indexing, bytes.
 *
 * Memory: Lua sees 8 bytes behind a handle, so the collector is told about the rest. After an operator allocated 64 MB
 * since the last time, a minor step; when the bytes alive pass twice what was alive after the last full collection
 * (floor 256 MB), a full one; when memory runs out, a full one and one more try.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/status.h"
#include "lua/dgl.h"
#include "torch/shim.h"

#define TENSOR "torch.Tensor"
#define GENERATOR "torch.Generator"

typedef struct handle {
  dgt_tensor *t; /* NULL after :close() */
} handle;

/* --- collection --- */

enum { MB = 1 << 20 };
static uint64_t stepped_total, live_after_full;

static void collect_if_due(lua_State *L) {
  uint64_t live, total;
  dgt_memory(&live, &total);
  if (total - stepped_total < 64 * (uint64_t)MB) return;
  uint64_t limit = 2 * live_after_full > 256 * (uint64_t)MB ? 2 * live_after_full : 256 * (uint64_t)MB;
  if (live > limit) {
    lua_gc(L, LUA_GCCOLLECT);
    dgt_memory(&live, &total);
    live_after_full = live;
  } else {
    lua_gc(L, LUA_GCSTEP, 0);
  }
  dgt_memory(&live, &stepped_total);
}

static int out_of_memory(void) { return strstr(dgt_error(), "out of memory") != NULL; }

/* --- handles --- */

static handle *new_handle(lua_State *L) {
  handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->t = NULL;
  luaL_setmetatable(L, TENSOR);
  return h;
}

/* Pushes a tensor that the caller owns; ownership passes. NULL is the shim's failure. */
static void push_tensor(lua_State *L, dgt_tensor *t) {
  if (!t) dgl_raise(L, "", dgt_error());
  lua_checkstack(L, 8);
  handle *h = new_handle(L); /* out of Lua memory here would leak t once; the process is ending then */
  h->t = t;
}

static dgt_tensor *test_tensor(lua_State *L, int idx) {
  handle *h = luaL_testudata(L, idx, TENSOR);
  if (h && !h->t) dgl_error(L, "the tensor was closed");
  return h ? h->t : NULL;
}

static dgt_tensor *check_tensor(lua_State *L, int idx) {
  dgt_tensor *t = test_tensor(L, idx);
  if (!t) luaL_typeerror(L, idx, "tensor");
  return t;
}

static int tensor_close(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, TENSOR);
  if (h->t) dgt_release(h->t);
  h->t = NULL;
  return 0;
}

static dgt_generator *test_generator(lua_State *L, int idx) {
  dgt_generator **g = luaL_testudata(L, idx, GENERATOR);
  return g ? *g : NULL;
}

/* --- Lua values to operator arguments --- */

enum { MAXDEPTH = 3 };

/* 1, with the key on the stack, if the table at idx (absolute) has one that is not among 1 .. n. */
static int stray_key(lua_State *L, int idx, lua_Integer n) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pop(L, 1);
    lua_Integer i = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    if (i < 1 || i > n) return 1;
  }
  return 0;
}

/* Fills *v from the value at idx (absolute). Blocks for lists are userdata left on the stack, so that an error frees
 * them. 0 if the value has no operator form; then the type name is for the caller to report. A table that is not only a
 * list is an error. */
static int to_value(lua_State *L, int idx, dgt_value *v, int depth) {
  *v = (dgt_value){0};
  switch (lua_type(L, idx)) {
    case LUA_TNIL: v->tag = DGT_NONE; return 1;
    case LUA_TBOOLEAN:
      v->tag = DGT_BOOL;
      v->as.b = lua_toboolean(L, idx);
      return 1;
    case LUA_TNUMBER:
      if (lua_isinteger(L, idx)) {
        v->tag = DGT_INT;
        v->as.i = lua_tointeger(L, idx);
      } else {
        v->tag = DGT_DOUBLE;
        v->as.d = lua_tonumber(L, idx);
      }
      return 1;
    case LUA_TSTRING:
      v->tag = DGT_STRING;
      v->as.s = lua_tolstring(L, idx, &v->n);
      return 1;
    case LUA_TLIGHTUSERDATA: /* torch.none */
      if (lua_touserdata(L, idx)) return 0;
      v->tag = DGT_NONE;
      return 1;
    case LUA_TUSERDATA:
      if ((v->as.t = test_tensor(L, idx))) return v->tag = DGT_TENSOR, 1;
      if ((v->as.g = test_generator(L, idx))) return v->tag = DGT_GENERATOR, 1;
      return 0;
    case LUA_TTABLE: {
      if (depth >= MAXDEPTH) return 0;
      size_t n = (size_t)lua_rawlen(L, idx);
      v->tag = DGT_LIST;
      v->n = n;
      luaL_checkstack(L, 8, "list of tensors");
      v->as.list = lua_newuserdatauv(L, n * sizeof(dgt_value) + 1, 0);
      memset(v->as.list, 0, n * sizeof(dgt_value)); /* DGT_NONE, for items that are nil */
      if (stray_key(L, idx, (lua_Integer)n))
        dgl_error(L, "a list of %d items has '%s' beside them; named arguments stand in a table of their own, the last "
                   "argument", (int)n, luaL_tolstring(L, -1, NULL));
      lua_pushnil(L);
      while (lua_next(L, idx)) {
        int at = lua_gettop(L);
        if (!to_value(L, at, &v->as.list[lua_tointeger(L, at - 1) - 1], depth + 1)) return 0;
        if (lua_gettop(L) == at) { /* the table keeps the item alive */
          lua_pop(L, 1);
        } else { /* a list: its block stays */
          luaL_checkstack(L, 8, "nested list");
          lua_pushvalue(L, at - 1);
        }
      }
      return 1;
    }
    default: return 0;
  }
}

/* A table with a string key and no list part holds named arguments. */
static int is_named(lua_State *L, int idx) {
  if (!lua_istable(L, idx) || lua_rawlen(L, idx) > 0) return 0;
  lua_pushnil(L);
  if (!lua_next(L, idx)) return 0;
  int named = lua_type(L, -2) == LUA_TSTRING;
  lua_pop(L, 2);
  return named;
}

static void push_value(lua_State *L, dgt_value *v) {
  luaL_checkstack(L, 8, "operator results");
  switch (v->tag) {
    case DGT_NONE: lua_pushnil(L); break;
    case DGT_BOOL: lua_pushboolean(L, v->as.b); break;
    case DGT_INT: lua_pushinteger(L, v->as.i); break;
    case DGT_DOUBLE: lua_pushnumber(L, v->as.d); break;
    case DGT_STRING: lua_pushlstring(L, v->as.s, v->n); break;
    case DGT_TENSOR:
      new_handle(L)->t = v->as.t;
      v->tag = DGT_NONE; /* the handle owns it now */
      break;
    case DGT_GENERATOR: break; /* never a result */
    case DGT_LIST:
      lua_createtable(L, (int)v->n, 0);
      for (size_t i = 0; i < v->n; i++) {
        push_value(L, &v->as.list[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      break;
  }
}

/* Calls op on stack values first .. top; as a method, if the first is the tensor whose method it is. */
static int call(lua_State *L, dgt_op *op, int first, int method) {
  int last = lua_gettop(L), nnamed = 0, requires_grad = 0;
  dgt_value args[DGT_MAXARGS];
  dgt_named named[DGT_MAXARGS];
  luaL_checkstack(L, 2 * DGT_MAXARGS + 16, "operator arguments");
  if (last >= first && is_named(L, last)) {
    lua_pushnil(L);
    while (lua_next(L, last)) {
      int at = lua_gettop(L);
      if (nnamed == DGT_MAXARGS || lua_type(L, at - 1) != LUA_TSTRING)
        return dgl_error(L, "named arguments must have names, got a key of type %s", luaL_typename(L, at - 1));
      named[nnamed].name = lua_tostring(L, at - 1);
      if (strcmp(named[nnamed].name, "requires_grad") == 0 && lua_isboolean(L, at)) { /* no operator's, but everyone's habit */
        requires_grad = lua_toboolean(L, at);
        lua_pop(L, 1);
        continue;
      }
      if (!to_value(L, at, &named[nnamed].value, 0))
        return dgl_error(L, "argument '%s' is a %s, which no operator takes", named[nnamed].name, luaL_typename(L, at));
      nnamed++;
      /* A list leaves its block above the value; both stay until the call is over, the key is needed by lua_next. */
      lua_pushvalue(L, at - 1);
    }
    last--;
  }
  int nargs = last - first + 1;
  if (nargs > DGT_MAXARGS) return dgl_error(L, "%d arguments, at most %d", nargs, DGT_MAXARGS);
  for (int i = 0; i < nargs; i++)
    if (!to_value(L, first + i, &args[i], 0))
      return dgl_error(L, "argument %d is a %s, which no operator takes", i + 1, luaL_typename(L, first + i));

  dgt_value results[DGT_MAXRESULTS];
  int n = dgt_call(op, method, args, nargs, named, nnamed, results);
  if (n < 0 && out_of_memory()) {
    lua_gc(L, LUA_GCCOLLECT);
    n = dgt_call(op, method, args, nargs, named, nnamed, results);
  }
  if (n < 0) return dgl_raise(L, "", dgt_error());
  for (int i = 0; i < n; i++) {
    push_value(L, &results[i]);
    dgt_value_free(&results[i]);
  }
  if (requires_grad) {
    dgt_tensor *t = n < 1 ? NULL : test_tensor(L, -n);
    if (!t) return dgl_error(L, "requires_grad is true, but the operator gives no tensor to set it on");
    if (dgt_set_requires_grad(t, 1) < 0) return dgl_raise(L, "", dgt_error());
  }
  collect_if_due(L);
  return n;
}

static int op_call(lua_State *L) { return call(L, lua_touserdata(L, lua_upvalueindex(1)), 1, 0); }
static int method_call(lua_State *L) { return call(L, lua_touserdata(L, lua_upvalueindex(1)), 1, 1); }

/* op("aten::add") -> function, or nil if libtorch has no such operator */
static int lua_op(lua_State *L) {
  dgt_op *op = dgt_find(luaL_checkstring(L, 1));
  if (!op) return 0;
  lua_pushlightuserdata(L, op);
  lua_pushcclosure(L, op_call, 1);
  return 1;
}

static int lua_schemas(lua_State *L) {
  dgt_op *op = dgt_find(luaL_checkstring(L, 1));
  if (!op) return 0;
  lua_pushstring(L, dgt_schemas(op));
  return 1;
}

static void visit_name(void *ctx, const char *name) {
  lua_State *L = ctx;
  lua_pushstring(L, name);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int lua_names(lua_State *L) {
  lua_newtable(L);
  dgt_each_op(visit_name, L);
  return 1;
}

static void visit_place(void *ctx, const char *overload, int is_result, const char *name, const char *what, const char *place) {
  lua_State *L = ctx;
  lua_createtable(L, 0, 5);
  lua_pushstring(L, overload), lua_setfield(L, -2, "overload");
  lua_pushboolean(L, is_result), lua_setfield(L, -2, "result");
  lua_pushstring(L, name), lua_setfield(L, -2, "name");
  lua_pushstring(L, what), lua_setfield(L, -2, "what");
  lua_pushstring(L, place), lua_setfield(L, -2, "place");
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* places("aten::gather") -> list of {overload=, result=, name=, what=, place=}: every argument and result of every form; place is
 * "position" if it counts from 1, "no" if not, nil if no table says which. For tests. */
static int lua_places(lua_State *L) {
  dgt_op *op = dgt_find(luaL_checkstring(L, 1));
  if (!op) return 0;
  luaL_checkstack(L, 8, "places");
  lua_newtable(L);
  if (dgt_each_place(op, visit_place, L) < 0) return dgl_raise(L, "", dgt_error());
  return 1;
}

/* --- arithmetic metamethods: the operator is an upvalue --- */

static int unary_call(lua_State *L) { /* Lua passes the operand twice */
  lua_settop(L, 1);
  return op_call(L);
}

/* --- properties and methods --- */

/* What the shim said about a tensor; below 0 is its failure. */
static int64_t told(lua_State *L, int64_t value) {
  if (value < 0) dgl_raise(L, "", dgt_error());
  return value;
}

static int push_shape(lua_State *L, dgt_tensor *t) {
  int n = (int)told(L, dgt_dim(t));
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, told(L, dgt_size(t, i)));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* {"N", torch.none, "C"}, or nil if no dimension has a name */
static int push_names(lua_State *L, dgt_tensor *t) {
  if (!dgt_has_names(t)) return lua_pushnil(L), 1;
  int n = (int)told(L, dgt_dim(t));
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    const char *name = dgt_dim_name(t, i);
    if (name) lua_pushstring(L, name);
    else lua_pushlightuserdata(L, NULL);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int property(lua_State *L, dgt_tensor *t, const char *key) {
  if (strcmp(key, "names") == 0) return push_names(L, t);
  if (strcmp(key, "shape") == 0) return push_shape(L, t);
  if (strcmp(key, "dtype") == 0) return lua_pushstring(L, dgt_dtype_name(dgt_dtype(t))), 1;
  if (strcmp(key, "device") == 0) return lua_pushstring(L, dgt_device(t)), 1;
  if (strcmp(key, "layout") == 0) return lua_pushstring(L, dgt_layout(t)), 1;
  if (strcmp(key, "ndim") == 0) return lua_pushinteger(L, told(L, dgt_dim(t))), 1;
  if (strcmp(key, "requires_grad") == 0) return lua_pushboolean(L, (int)told(L, dgt_requires_grad(t))), 1;
  if (strcmp(key, "is_leaf") == 0) return lua_pushboolean(L, (int)told(L, dgt_is_leaf(t))), 1;
  if (strcmp(key, "grad") == 0) {
    dgt_tensor *g = dgt_grad(t);
    if (g) push_tensor(L, g);
    else lua_pushnil(L);
    return 1;
  }
  return 0;
}

/* Calls op on the nargs topmost values; its first result takes their place. */
static void call_named(lua_State *L, const char *op, int nargs) {
  int first = lua_gettop(L) - nargs + 1;
  int n = call(L, dgt_find(op), first, 0);
  lua_insert(L, first);
  lua_settop(L, first);
  (void)n;
}

static void select_or_error(lua_State *L, int t, int dim, lua_Integer i) {
  dgt_tensor *x = check_tensor(L, t);
  if (dim > dgt_dim(x)) dgl_error(L, "index %d is one too many for a tensor with %d dimensions", dim, dgt_dim(x));
  int64_t size = told(L, dgt_size(x, dim - 1));
  if (i == 0 || i > size || i < -size)
    dgl_error(L, "index %I is out of range for dimension %d of size %I (indices count from 1)", (LUAI_UACINT)i, dim,
               (LUAI_UACINT)size);
  lua_pushvalue(L, t);
  lua_pushinteger(L, dim);
  lua_pushinteger(L, i);
  call_named(L, "aten::select", 3);
}

/* torch.none */
static int is_none(lua_State *L, int idx) { return lua_islightuserdata(L, idx) && !lua_touserdata(L, idx); }

/* Puts a dimension of size 1 before dimension dim of the view. */
static void new_axis(lua_State *L, int view, int dim) {
  lua_pushvalue(L, view);
  lua_pushinteger(L, dim);
  call_named(L, "aten::unsqueeze", 2);
  lua_replace(L, view);
}

/* How many dimensions of the view the index item at idx stands for: a mask as many as it has, "..." is counted by the caller. */
static int width(lua_State *L, int idx) {
  dgt_tensor *t = test_tensor(L, idx);
  if (!t) return lua_type(L, idx) == LUA_TSTRING || is_none(L, idx) ? 0 : 1;
  if (dgt_dtype(t) != DGL_BOOL && dgt_dtype(t) != DGL_U8) return 1;
  int n = (int)told(L, dgt_dim(t));
  if (n == 0) dgl_error(L, "a mask without dimensions cannot be an index; expected one for one or more dimensions");
  return n;
}

/* Takes {first, last, step} at item, or {} for all, of dimension dim of the view. */
static void slice(lua_State *L, int view, int dim, int item) {
  if (stray_key(L, item, 3))
    dgl_error(L, "slice of dimension %d has '%s', expected {first, last, step}", dim, luaL_tolstring(L, -1, NULL));
  lua_pushnil(L);
  if (!lua_next(L, item)) return;
  lua_pushvalue(L, view);
  lua_pushinteger(L, dim);
  lua_Integer bounds[3] = {1, -1, 1};
  for (int k = 0; k < 3; k++) {
    if (lua_rawgeti(L, item, k + 1) != LUA_TNIL) {
      int ok;
      bounds[k] = lua_tointegerx(L, -1, &ok);
      if (!ok || (k < 2 && bounds[k] == 0) || (k == 2 && bounds[k] < 1))
        dgl_error(L, "slice of dimension %d: %s is not a valid %s", dim, luaL_tolstring(L, -1, NULL),
                   k == 0 ? "first index" : k == 1 ? "last index" : "step");
    }
    lua_pop(L, 1);
  }
  for (int k = 0; k < 3; k++) lua_pushinteger(L, bounds[k]);
  call_named(L, "aten::slice", 5);
  lua_replace(L, view);
}

/* Applies an index specification: an integer, a tensor, torch.none, or a table of integers, {first, last, step}, {} (all), tensors,
 * torch.none (a new dimension of size 1), "..." . Leaves the resulting view on the stack. Returns 1 if tensors are among it: then
 * aten::index's list of them is above the view, one item a tensor however many dimensions a mask takes, torch.none for a dimension without one. */
static int apply_index(lua_State *L, int tensor, int spec) {
  if (lua_isinteger(L, spec)) {
    select_or_error(L, tensor, 1, lua_tointeger(L, spec));
    return 0;
  }
  lua_pushvalue(L, tensor); /* the view so far */
  int view = lua_gettop(L), dim = 1, listed = 0; /* dimensions that the list's items stand for */
  if (test_tensor(L, spec)) {
    width(L, spec);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, spec);
    lua_rawseti(L, -2, 1);
    return 1;
  }
  if (is_none(L, spec)) return new_axis(L, view, 1), 0;
  if (!lua_istable(L, spec)) dgl_error(L, "a tensor cannot be indexed with a %s", luaL_typename(L, spec));
  int n = (int)lua_rawlen(L, spec), taken = 0;
  if (stray_key(L, spec, n)) dgl_error(L, "an index of %d items has '%s' beside them", n, luaL_tolstring(L, -1, NULL));
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, spec, i);
    taken += width(L, lua_gettop(L));
    lua_pop(L, 1);
  }
  lua_newtable(L);
  int list = lua_gettop(L), rest = dgt_dim(check_tensor(L, view)) - taken, advanced = 0;
  if (rest < 0) dgl_error(L, "%d indices for a tensor with %d dimensions", taken, rest + taken);
  for (int i = 1; i <= n; i++) {
    int type = lua_rawgeti(L, spec, i);
    int item = lua_gettop(L);
    if (type == LUA_TNUMBER && lua_isinteger(L, item)) {
      select_or_error(L, view, dim, lua_tointeger(L, item));
      lua_replace(L, view);
    } else if (type == LUA_TTABLE) {
      slice(L, view, dim, item);
      dim++;
    } else if (type == LUA_TSTRING && strcmp(lua_tostring(L, item), "...") == 0) {
      if (rest < 0) dgl_error(L, "index %d is a second \"...\"", i);
      dim += rest;
      rest = -1;
    } else if (is_none(L, item)) {
      new_axis(L, view, dim++);
    } else if (type == LUA_TUSERDATA && test_tensor(L, item)) {
      for (; listed < dim - 1; listed++) {
        lua_pushlightuserdata(L, NULL);
        lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
      }
      dim += width(L, item);
      listed = dim - 1;
      lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
      advanced = 1;
    } else {
      dgl_error(L, "index %d is %s, expected a whole number, {first, last, step}, {}, a tensor, torch.none or \"...\"", i,
                 luaL_tolstring(L, item, NULL));
    }
    lua_settop(L, list);
  }
  if (!advanced) lua_pop(L, 1);
  return advanced;
}

static int tensor_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1; /* methods, cached operators; close of a closed tensor too */
    dgt_tensor *t = check_tensor(L, 1);
    const char *key = lua_tostring(L, 2);
    if (property(L, t, key)) return 1;
    lua_pushfstring(L, "aten::%s", key);
    dgt_op *op = dgt_find(lua_tostring(L, -1));
    if (!op) {
      if (lua_getfield(L, lua_upvalueindex(1), "__missing") != LUA_TNIL) { /* did-you-mean lives in Lua */
        lua_pushvalue(L, 2);
        lua_call(L, 1, 1);
      }
      return 1;
    }
    lua_pushlightuserdata(L, op);
    lua_pushcclosure(L, method_call, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
  }
  if (apply_index(L, 1, 2)) call_named(L, "aten::index", 2);
  return 1;
}

static int tensor_newindex(lua_State *L) {
  dgt_tensor *t = check_tensor(L, 1);
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char *key = lua_tostring(L, 2);
    if (strcmp(key, "grad") == 0) {
      if (dgt_set_grad(t, lua_isnil(L, 3) ? NULL : check_tensor(L, 3)) < 0) return dgl_raise(L, "", dgt_error());
      return 0;
    }
    if (strcmp(key, "requires_grad") == 0) {
      luaL_checktype(L, 3, LUA_TBOOLEAN);
      if (dgt_set_requires_grad(t, lua_toboolean(L, 3)) < 0) return dgl_raise(L, "", dgt_error());
      return 0;
    }
    return dgl_error(L, "a tensor has no field '%s' that can be set; 'grad' and 'requires_grad' can", key);
  }
  int number = lua_type(L, 3) == LUA_TNUMBER || lua_type(L, 3) == LUA_TBOOLEAN;
  if (!number) check_tensor(L, 3);
  if (apply_index(L, 1, 2)) { /* view, list */
    if (number) {
      lua_pushvalue(L, 3);
      lua_pushnil(L);
      lua_createtable(L, 0, 1);
      lua_pushstring(L, dgt_dtype_name(dgt_dtype(t)));
      lua_setfield(L, -2, "dtype");
      lua_remove(L, -2);
      call_named(L, "aten::scalar_tensor", 2);
    } else {
      lua_pushvalue(L, 3);
    }
    call_named(L, "aten::index_put_", 3);
  } else {
    lua_pushvalue(L, 3);
    call_named(L, number ? "aten::fill_" : "aten::copy_", 2);
  }
  return 0;
}

static int tensor_len(lua_State *L) {
  dgt_tensor *t = check_tensor(L, 1);
  if (dgt_dim(t) == 0) return dgl_error(L, "a tensor with no dimensions has no length");
  lua_pushinteger(L, told(L, dgt_size(t, 0)));
  return 1;
}

/* t:size() -> table; t:size(d) -> integer, d from 1 or a name */
static int tensor_size(lua_State *L) {
  dgt_tensor *t = check_tensor(L, 1);
  if (lua_isnoneornil(L, 2)) return push_shape(L, t);
  if (lua_type(L, 2) == LUA_TSTRING) return call(L, dgt_find("aten::size"), 1, 1);
  lua_Integer d = luaL_checkinteger(L, 2), n = dgt_dim(t);
  if (d == 0 || d > n || d < -n) return dgl_error(L, "dimension %I of a tensor with %d dimensions", (LUAI_UACINT)d, (int)n);
  lua_pushinteger(L, told(L, dgt_size(t, (int)(d > 0 ? d - 1 : n + d))));
  return 1;
}

static int tensor_numel(lua_State *L) { return lua_pushinteger(L, told(L, dgt_numel(check_tensor(L, 1)))), 1; }
static int tensor_is_contiguous(lua_State *L) {
  return lua_pushboolean(L, (int)told(L, dgt_is_contiguous(check_tensor(L, 1)))), 1;
}
static int tensor_same(lua_State *L) {
  return lua_pushboolean(L, dgt_id(check_tensor(L, 1)) == dgt_id(check_tensor(L, 2))), 1;
}
/* t:id() -> a value that is equal for all handles of one tensor, to be a key while it lives */
static int tensor_id(lua_State *L) { return lua_pushlightuserdata(L, (void *)(size_t)dgt_id(check_tensor(L, 1))), 1; }

/* t:item() -> the one element; of a complex tensor its real and its imaginary part */
static int tensor_item(lua_State *L) {
  dgt_value v[2];
  int n = dgt_item(check_tensor(L, 1), v);
  if (n < 0) return dgl_raise(L, "", dgt_error());
  for (int i = 0; i < n; i++) push_value(L, &v[i]);
  return n;
}

static int tensor_requires_grad_(lua_State *L) {
  int on = lua_isnoneornil(L, 2) ? 1 : lua_toboolean(L, 2);
  if (dgt_set_requires_grad(check_tensor(L, 1), on) < 0) return dgl_raise(L, "", dgt_error());
  lua_settop(L, 1);
  return 1;
}

/* t:backward([gradient|nil,] [{retain_graph=, create_graph=}]) */
static int tensor_backward(lua_State *L) {
  dgt_tensor *t = check_tensor(L, 1), *g = test_tensor(L, 2);
  int opts = g || lua_isnil(L, 2) ? 3 : 2;
  static const char *const known[] = {"retain_graph", "create_graph", NULL};
  dgl_checkfields(L, opts, known);
  if (lua_gettop(L) > opts) return dgl_error(L, "backward: more arguments than a gradient and options");
  int create = dgl_optfield_boolean(L, opts, "create_graph", 0);
  int retain = dgl_optfield_boolean(L, opts, "retain_graph", create);
  if (dgt_backward(t, g, retain, create) < 0) return dgl_raise(L, "backward: ", dgt_error());
  collect_if_due(L);
  return 0;
}

/* grad(outputs, inputs, grad_outputs|nil, {retain_graph=, create_graph=, allow_unused=}) -> list of tensors (false: unused) */
static int lua_grad(lua_State *L) {
  enum { MAX = 4096 };
  static const char *const known[] = {"retain_graph", "create_graph", "allow_unused", NULL};
  static const char *const lists_of[] = {"outputs", "inputs", "grad_outputs"};
  if (lua_gettop(L) > 4) return dgl_error(L, "grad: %d arguments, at most 4", lua_gettop(L));
  lua_settop(L, 4);
  size_t n[3] = {0};
  for (int i = 0; i < 3; i++) {
    if (i == 2 && lua_isnil(L, 3)) break;
    luaL_checktype(L, i + 1, LUA_TTABLE);
    n[i] = lua_rawlen(L, i + 1);
    if (stray_key(L, i + 1, (lua_Integer)n[i]))
      return dgl_error(L, "grad: %s has '%s', expected a list of tensors; options are the fourth argument", lists_of[i],
                        luaL_tolstring(L, -1, NULL));
  }
  dgl_checkfields(L, 4, known);
  if (n[0] < 1 || n[0] > MAX || n[1] < 1 || n[1] > MAX) return dgl_error(L, "grad: needs 1 to %d outputs and inputs", MAX);
  if (n[2] && n[2] != n[0]) return dgl_error(L, "grad: %d grad_outputs for %d outputs", (int)n[2], (int)n[0]);
  dgt_tensor **lists[3];
  for (int i = 0; i < 3; i++) {
    lists[i] = lua_newuserdatauv(L, (n[i] + 1) * sizeof(dgt_tensor *), 0);
    for (size_t k = 0; k < n[i]; k++) {
      lua_rawgeti(L, i + 1, (lua_Integer)k + 1);
      lists[i][k] = check_tensor(L, -1);
      lua_pop(L, 1);
    }
  }
  dgt_tensor **grads = lua_newuserdatauv(L, n[1] * sizeof *grads, 0);
  int create = dgl_optfield_boolean(L, 4, "create_graph", 0), retain = dgl_optfield_boolean(L, 4, "retain_graph", create);
  int unused = dgl_optfield_boolean(L, 4, "allow_unused", 0);
  if (dgt_autograd_grad(lists[0], (int)n[0], lists[1], (int)n[1], n[2] ? lists[2] : NULL, retain, create, unused, grads) < 0)
    return dgl_raise(L, "grad: ", dgt_error());
  lua_createtable(L, (int)n[1], 0);
  for (size_t k = 0; k < n[1]; k++) {
    if (grads[k]) push_tensor(L, grads[k]);
    else lua_pushboolean(L, 0);
    lua_rawseti(L, -2, (lua_Integer)k + 1);
  }
  return 1;
}

/* --- tables and bytes --- */

static void view_of(lua_State *L, int idx, dgl_view *out) {
  dgt_tensor *t = check_tensor(L, idx);
  const char *obstacle = dgt_obstacle(t);
  if (obstacle) dgl_error(L, "the tensor %s", obstacle);
  out->ndim = dgt_dim(t);
  if (out->ndim > DGL_MAXDIM) dgl_error(L, "the tensor has %d dimensions, at most %d", out->ndim, DGL_MAXDIM);
  out->dtype = (dgl_dtype)dgt_dtype(t);
  out->count = 1;
  for (int i = 0; i < out->ndim; i++) out->sizes[i] = dgt_size(t, i), out->count *= (size_t)out->sizes[i];
  out->data = dgt_data(t);
}

static void create(lua_State *L, dgl_dtype dtype, int ndim, const int64_t *sizes, dgl_view *out) {
  dgt_tensor *t = dgt_empty((int)dtype, ndim, sizes);
  if (!t && out_of_memory()) {
    lua_gc(L, LUA_GCCOLLECT);
    t = dgt_empty((int)dtype, ndim, sizes);
  }
  push_tensor(L, t);
  view_of(L, -1, out);
  collect_if_due(L);
}

static int is_tensor(lua_State *L, int idx) { return luaL_testudata(L, idx, TENSOR) != NULL; }

static const dgl_tensor_api tensor_api = {is_tensor, view_of, create};

static double half_to_double(uint16_t h) {
  int e = h >> 10 & 31, m = h & 1023, s = h >> 15;
  double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
  return s ? -v : v;
}

static void push_complex(lua_State *L, double re, double im) {
  lua_createtable(L, 2, 0);
  lua_pushnumber(L, re), lua_rawseti(L, -2, 1);
  lua_pushnumber(L, im), lua_rawseti(L, -2, 2);
}

static void push_element(lua_State *L, const dgl_view *v, size_t i) {
  switch (v->dtype) {
    case DGL_U8: lua_pushinteger(L, ((uint8_t *)v->data)[i]); break;
    case DGL_I8: lua_pushinteger(L, ((int8_t *)v->data)[i]); break;
    case DGL_I16: lua_pushinteger(L, ((int16_t *)v->data)[i]); break;
    case DGL_I32: lua_pushinteger(L, ((int32_t *)v->data)[i]); break;
    case DGL_I64: lua_pushinteger(L, ((int64_t *)v->data)[i]); break;
    case DGL_F16: lua_pushnumber(L, half_to_double(((uint16_t *)v->data)[i])); break;
    case DGL_BF16: {
      uint32_t bits = (uint32_t)((uint16_t *)v->data)[i] << 16;
      float f;
      memcpy(&f, &bits, sizeof f);
      lua_pushnumber(L, f);
      break;
    }
    case DGL_F32: lua_pushnumber(L, ((float *)v->data)[i]); break;
    case DGL_F64: lua_pushnumber(L, ((double *)v->data)[i]); break;
    case DGL_BOOL: lua_pushboolean(L, ((uint8_t *)v->data)[i] != 0); break;
    case DGL_C64: push_complex(L, ((float *)v->data)[2 * i], ((float *)v->data)[2 * i + 1]); break;
    case DGL_C128: push_complex(L, ((double *)v->data)[2 * i], ((double *)v->data)[2 * i + 1]); break;
    default: dgl_error(L, "elements of type %s have no Lua form; see :dequantize() and :to()", dgt_dtype_name((int)v->dtype));
  }
}

static size_t push_nested(lua_State *L, const dgl_view *v, int dim, size_t at) {
  if (dim == v->ndim) {
    push_element(L, v, at);
    return at + 1;
  }
  luaL_checkstack(L, 4, "nested table");
  lua_createtable(L, (int)v->sizes[dim], 0);
  for (int64_t i = 0; i < v->sizes[dim]; i++) {
    at = push_nested(L, v, dim + 1, at);
    lua_rawseti(L, -2, i + 1);
  }
  return at;
}

/* t:plain() -> the same values in contiguous memory of the CPU, without gradient; see init.lua */
static int tensor_plain(lua_State *L) {
  push_tensor(L, dgt_plain(check_tensor(L, 1)));
  collect_if_due(L);
  return 1;
}

/* totable_(t) -> nested tables of numbers; t is plain */
static int lua_totable(lua_State *L) {
  dgl_view v;
  view_of(L, 1, &v);
  for (int i = 0; i < v.ndim; i++)
    if (v.sizes[i] > INT_MAX) /* of a tensor without elements too */
      return dgl_error(L, "dimension %d has %I items, more than a table takes", i + 1, (LUAI_UACINT)v.sizes[i]);
  push_nested(L, &v, 0, 0);
  return 1;
}

static int lua_tobytes(lua_State *L) {
  dgl_view v;
  view_of(L, 1, &v);
  size_t size = dgl_dtype_size(v.dtype);
  if (size == 0) return dgl_error(L, "bytes of type %s have no meaning by themselves; see :int_repr()", dgt_dtype_name((int)v.dtype));
  lua_pushlstring(L, v.count ? v.data : "", v.count * size);
  return 1;
}

static int read_shape(lua_State *L, int idx, int64_t sizes[DGL_MAXDIM]) {
  luaL_checktype(L, idx, LUA_TTABLE);
  int n = (int)lua_rawlen(L, idx);
  if (n > DGL_MAXDIM) dgl_error(L, "a shape of %d dimensions, at most %d", n, DGL_MAXDIM);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, idx, i + 1);
    int ok;
    sizes[i] = lua_tointegerx(L, -1, &ok);
    if (!ok || sizes[i] < 0) dgl_error(L, "shape entry %d is %s, expected a whole number >= 0", i + 1, luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
  }
  return n;
}

static int check_dtype(lua_State *L, int idx) {
  const char *name = luaL_checkstring(L, idx);
  int dtype = dgt_dtype_by_name(name);
  if (dtype < 0 || dgl_dtype_size((dgl_dtype)dtype) == 0)
    dgl_error(L, "unknown dtype '%s'; expected one of float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, bool, complex64, complex128", name);
  return dtype;
}

/* frombytes(string, dtype, shape) */
static int lua_frombytes(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  int dtype = check_dtype(L, 2);
  int64_t sizes[DGL_MAXDIM];
  int ndim = read_shape(L, 3, sizes);
  size_t need = dgl_dtype_size((dgl_dtype)dtype);
  for (int i = 0; i < ndim; i++)
    if (__builtin_mul_overflow(need, (size_t)sizes[i], &need)) return dgl_error(L, "frombytes: the shape is too large");
  if (need != n) return dgl_error(L, "frombytes: %d bytes given, the shape needs %d", (int)n, (int)need);
  dgl_view v;
  create(L, (dgl_dtype)dtype, ndim, sizes, &v);
  if (n) memcpy(v.data, s, n);
  return 1;
}

/* What the nested table at idx holds: its shape by following first items; kind 0 bool, 1 integer, 2 float. */
static void scan(lua_State *L, int idx, int depth, int64_t *sizes, int *ndim, int *kind) {
  if (depth > DGL_MAXDIM) dgl_error(L, "a table nested deeper than %d", DGL_MAXDIM);
  if (lua_istable(L, idx)) {
    int64_t n = (int64_t)lua_rawlen(L, idx);
    if (depth == *ndim && *kind < 0) sizes[(*ndim)++] = n;
    else if (depth >= *ndim || sizes[depth] != n)
      dgl_error(L, "the table is ragged: %d items where %d were expected at depth %d", (int)n,
                 depth < *ndim ? (int)sizes[depth] : 0, depth + 1);
    luaL_checkstack(L, 8, "nested table");
    if (stray_key(L, idx, n))
      dgl_error(L, "a table of %d items has '%s' beside them; a tensor's has numbers, true/false or tables of them", (int)n,
                 luaL_tolstring(L, -1, NULL));
    for (int64_t i = 1; i <= n; i++) {
      lua_rawgeti(L, idx, i);
      scan(L, lua_gettop(L), depth + 1, sizes, ndim, kind);
      lua_pop(L, 1);
    }
    return;
  }
  if (*ndim > depth) dgl_error(L, "the table is ragged: a %s beside a table at depth %d", luaL_typename(L, idx), depth);
  int type = lua_type(L, idx), k;
  if (type == LUA_TNUMBER) k = lua_isinteger(L, idx) ? 1 : 2;
  else if (type == LUA_TBOOLEAN) k = 0;
  else dgl_error(L, "a tensor cannot hold a %s; expected numbers or true/false", luaL_typename(L, idx)), k = 0;
  if (*kind < 0) *kind = k;
  else if ((*kind == 0) != (k == 0)) dgl_error(L, "the table mixes numbers and true/false");
  else if (k > *kind) *kind = k;
}

static void fill(lua_State *L, int idx, int depth, int ndim, dgl_view *v, size_t *at) {
  if (depth < ndim) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_rawgeti(L, idx, i);
      fill(L, lua_gettop(L), depth + 1, ndim, v, at);
      lua_pop(L, 1);
    }
    return;
  }
  size_t i = (*at)++;
  if (lua_istable(L, idx)) dgl_error(L, "the table is ragged: a table where a number was expected");
  if (v->dtype == DGL_BOOL) ((uint8_t *)v->data)[i] = (uint8_t)lua_toboolean(L, idx);
  else if (v->dtype == DGL_I64) ((int64_t *)v->data)[i] = lua_tointeger(L, idx);
  else ((double *)v->data)[i] = lua_tonumber(L, idx);
}

/* tensor(value) -> tensor of bool, int64 or float64 (the Lua side converts to the dtype that was asked for) */
static int lua_tensor(lua_State *L) {
  int64_t sizes[DGL_MAXDIM + 2];
  int ndim = 0, kind = -1;
  luaL_checkany(L, 1);
  scan(L, 1, 0, sizes, &ndim, &kind);
  dgl_view v;
  create(L, kind == 0 ? DGL_BOOL : kind == 1 ? DGL_I64 : DGL_F64, ndim, sizes, &v);
  size_t at = 0;
  fill(L, 1, 0, ndim, &v, &at);
  return 1;
}

/* --- state --- */

static int lua_is_grad_enabled(lua_State *L) { return lua_pushboolean(L, dgt_grad_mode(-1)), 1; }
/* with_grad_mode(on, f, ...) -> what f(...) gives. Nothing yields out of f: what runs meanwhile would have f's mode. */
static int lua_with_grad_mode(lua_State *L) {
  luaL_checkany(L, 2);
  int before = dgt_grad_mode(lua_toboolean(L, 1));
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  dgt_grad_mode(before);
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}
static int lua_manual_seed(lua_State *L) {
  if (dgt_manual_seed((uint64_t)luaL_checkinteger(L, 1)) < 0) return dgl_raise(L, "", dgt_error());
  return 0;
}
static int lua_rng_state(lua_State *L) { return push_tensor(L, dgt_rng_state(NULL)), 1; }
static int lua_set_rng_state(lua_State *L) {
  if (dgt_set_rng_state(NULL, check_tensor(L, 1)) < 0) return dgl_raise(L, "set_rng_state: ", dgt_error());
  return 0;
}

/* generator(seed) -> a source of random numbers of its own */
static int lua_generator(lua_State *L) {
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 1);
  dgt_generator **g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = NULL;
  luaL_setmetatable(L, GENERATOR);
  if (!(*g = dgt_generator_new(seed))) return dgl_raise(L, "generator: ", dgt_error());
  return 1;
}
static int generator_free(lua_State *L) {
  dgt_generator **g = luaL_checkudata(L, 1, GENERATOR);
  if (*g) dgt_generator_free(*g);
  *g = NULL;
  return 0;
}
static int generator_state(lua_State *L) {
  return push_tensor(L, dgt_rng_state(*(dgt_generator **)luaL_checkudata(L, 1, GENERATOR))), 1;
}
static int generator_set_state(lua_State *L) {
  if (dgt_set_rng_state(*(dgt_generator **)luaL_checkudata(L, 1, GENERATOR), check_tensor(L, 2)) < 0)
    return dgl_raise(L, "set_state: ", dgt_error());
  return 0;
}
static int lua_threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= DGAM_MAX_THREADS, 1, "expected 1 to 4096 threads");
    dgam_set_threads((int)n);
    dgt_set_threads(dgam_threads());
  }
  return lua_pushinteger(L, dgt_threads()), 1;
}
/* memory([reset_peak]) -> live bytes, peak bytes */
static int lua_memory(lua_State *L) {
  uint64_t live, total;
  dgt_memory(&live, &total);
  lua_pushinteger(L, (lua_Integer)live);
  lua_pushinteger(L, (lua_Integer)dgt_memory_peak(lua_toboolean(L, 1)));
  return 2;
}
static int lua_is_dtype(lua_State *L) {
  return lua_pushboolean(L, lua_type(L, 1) == LUA_TSTRING && dgt_dtype_by_name(lua_tostring(L, 1)) >= 0), 1;
}
static int lua_is_device(lua_State *L) {
  return lua_pushboolean(L, lua_type(L, 1) == LUA_TSTRING && dgt_is_device(lua_tostring(L, 1))), 1;
}
static int lua_is_tensor(lua_State *L) { return lua_pushboolean(L, luaL_testudata(L, 1, TENSOR) != NULL), 1; }

DGL_EXPORT int luaopen_dgamtorch(lua_State *L) {
  static const struct { const char *event, *op; } arithmetic[] = {
      {"__add", "aten::add"}, {"__sub", "aten::sub"}, {"__mul", "aten::mul"}, {"__div", "aten::div"},
      {"__mod", "aten::remainder"}, {"__pow", "aten::pow"}, {"__idiv", "aten::floor_divide"},
      {"__band", "aten::bitwise_and"}, {"__bor", "aten::bitwise_or"}, {"__bxor", "aten::bitwise_xor"},
      {"__unm", "aten::neg"}, {"__bnot", "aten::bitwise_not"}};
  static const luaL_Reg methods[] = {{"size", tensor_size}, {"numel", tensor_numel}, {"dim", NULL},
      {"is_contiguous", tensor_is_contiguous}, {"is_same", tensor_same}, {"id", tensor_id}, {"item", tensor_item},
      {"requires_grad_", tensor_requires_grad_}, {"backward", tensor_backward}, {"close", tensor_close},
      {"plain", tensor_plain}, {"totable_", lua_totable}, {"tobytes_", lua_tobytes}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"op", lua_op}, {"schemas", lua_schemas}, {"names", lua_names}, {"places", lua_places}, {"grad", lua_grad},
      {"frombytes", lua_frombytes}, {"tensor", lua_tensor}, {"is_grad_enabled", lua_is_grad_enabled},
      {"with_grad_mode", lua_with_grad_mode}, {"manual_seed", lua_manual_seed},
      {"rng_state", lua_rng_state}, {"set_rng_state", lua_set_rng_state}, {"threads", lua_threads}, {"memory", lua_memory},
      {"generator", lua_generator},
      {"is_dtype", lua_is_dtype}, {"is_device", lua_is_device}, {"is_tensor", lua_is_tensor}, {NULL, NULL}};
  static const luaL_Reg generator_methods[] = {{"state", generator_state}, {"set_state", generator_set_state}, {NULL, NULL}};

  /* Left alone, libtorch counts what it takes for physical cores, one of two on some virtual machines, and sets OpenMP's
   * number for the whole process. */
  dgt_set_threads(dgam_threads());

  if (lua_getfield(L, LUA_REGISTRYINDEX, DGL_INTERRUPT) != LUA_TNIL)
    dgam_interrupt_watch((const volatile sig_atomic_t *)lua_touserdata(L, -1));
  if (lua_getfield(L, LUA_REGISTRYINDEX, DGL_RESUMES) != LUA_TNIL)
    dgam_resumes_watch((const volatile sig_atomic_t *)lua_touserdata(L, -1));
  lua_pop(L, 2);

  luaL_newmetatable(L, GENERATOR);
  luaL_newlib(L, generator_methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, generator_free);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);

  luaL_newmetatable(L, TENSOR);
  for (size_t i = 0; i < sizeof arithmetic / sizeof *arithmetic; i++) {
    lua_pushlightuserdata(L, dgt_find(arithmetic[i].op));
    lua_pushcclosure(L, i + 2 < sizeof arithmetic / sizeof *arithmetic ? op_call : unary_call, 1);
    lua_setfield(L, -2, arithmetic[i].event);
  }
  lua_pushcfunction(L, tensor_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, tensor_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, tensor_len);
  lua_setfield(L, -2, "__len");
  luaL_newlib(L, methods);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, tensor_index, 1);
  lua_setfield(L, -3, "__index");
  lua_pushcfunction(L, tensor_newindex);
  lua_setfield(L, -3, "__newindex");

  luaL_newlib(L, functions); /* metatable, methods, module */
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "methods");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "metatable");
  lua_pushstring(L, dgt_version());
  lua_setfield(L, -2, "version");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "none");
  lua_pushlightuserdata(L, (void *)(size_t)&tensor_api);
  lua_setfield(L, LUA_REGISTRYINDEX, DGL_TENSOR_API);
  return 1;
}
