/* dgl.h - what every file of bindings/lua shares: errors from the core, and tensors as plain memory.
 *
 * A file NAME.c here exports luaopen_dgamnative_NAME; Lua reaches it with require "dgamnative.NAME". It checks its
 * arguments, calls the core, and turns a status into a Lua error with dgl_check. It never raises a Lua error from
 * inside a parallel region and never while it holds something the error would leak.
 *
 * Tensors belong to libtorch, which this library does not link. dgl_newtensor loads it (require "torch") when the
 * first tensor is made, so that a module which only reads a header or a results file starts at once.
 */
#ifndef DGL_H
#define DGL_H

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define DGL_EXPORT __attribute__((visibility("default")))

/* Element types, numbered as libtorch's ScalarType is. */
typedef enum dgl_dtype {
  DGL_U8 = 0, DGL_I8 = 1, DGL_I16 = 2, DGL_I32 = 3, DGL_I64 = 4,
  DGL_F16 = 5, DGL_F32 = 6, DGL_F64 = 7, DGL_C64 = 9, DGL_C128 = 10, DGL_BOOL = 11, DGL_BF16 = 15,
  DGL_ANY = -1
} dgl_dtype;

enum { DGL_MAXDIM = 12 };

/* A contiguous CPU tensor as the core sees it. Valid while the Lua value is. */
typedef struct dgl_view {
  void *data;
  dgl_dtype dtype;
  int ndim;
  int64_t sizes[DGL_MAXDIM];
  size_t count; /* elements */
} dgl_view;

/* Filled in by dgamtorch when it is loaded; in the registry under DGL_TENSOR_API as a light userdata. */
typedef struct dgl_tensor_api {
  int (*test)(lua_State *L, int idx);                      /* 1 if the value is a tensor */
  void (*view)(lua_State *L, int idx, dgl_view *out);      /* Lua error unless it is a contiguous CPU tensor */
  void (*create)(lua_State *L, dgl_dtype dtype, int ndim, const int64_t *sizes, dgl_view *out); /* pushes it */
} dgl_tensor_api;
#define DGL_TENSOR_API "dgam.tensor_api"

/* Registry key of the light userdata with the program's interrupt flag (volatile sig_atomic_t *). */
#define DGL_INTERRUPT "dgam.interrupt"
/* Registry key of the same for the number of times that the process was stopped and continued. */
#define DGL_RESUMES "dgam.resumes"

/* Registry key of a list that prelude.lua makes: the beginnings of the library's chunk names
 * ("@/usr/share/dgamlua/lua/dgam/"). */
#define DGL_LIBRARY "dgam.library"

/* Pushes "FILE:LINE: " of the place where the script called the library: the innermost frame outside the library. Pushes "" if
 * no script runs. */
void dgl_where(lua_State *L);

/* Raises a formatted message (as lua_pushfstring's) with that position. */
int dgl_error(lua_State *L, const char *format, ...);

/* Raises before .. text, with the position in the script. This error also answers an interrupt under way: it takes off the hook,
 * which would raise another error in the first function that cleans up. */
int dgl_raise(lua_State *L, const char *before, const char *text);

/* Raises the core's message as a Lua error unless s is DGAM_OK. */
void dgl_check(lua_State *L, dgam_status s);

/* The same without the position in the script: for faults of a file, which do not depend on where it is used. */
void dgl_check_file(lua_State *L, dgam_status s);

/* Argument idx as a tensor of `dtype` (or DGL_ANY) with `ndim` dimensions (or -1), called `what` in errors. */
void dgl_checktensor(lua_State *L, int idx, dgl_dtype dtype, int ndim, const char *what, dgl_view *out);

/* Argument idx as text without a zero byte, such as a path or a name. Anything else is an error, which calls the argument
 * `what`. */
const char *dgl_checkname(lua_State *L, int idx, const char *what);

/* 1 and *out filled if argument idx is a tensor, 0 otherwise. */
int dgl_testtensor(lua_State *L, int idx, dgl_view *out);

/* Pushes a new, uninitialised tensor. */
void dgl_newtensor(lua_State *L, dgl_dtype dtype, int ndim, const int64_t *sizes, dgl_view *out);

size_t dgl_dtype_size(dgl_dtype dtype);
const char *dgl_dtype_name(dgl_dtype dtype);

/* Fields of an options table at idx (nil or absent: the default). A wrong type is an error that names the field. */
lua_Integer dgl_optfield_integer(lua_State *L, int idx, const char *field, lua_Integer def);
lua_Number dgl_optfield_number(lua_State *L, int idx, const char *field, lua_Number def);
int dgl_optfield_boolean(lua_State *L, int idx, const char *field, int def);
const char *dgl_optfield_string(lua_State *L, int idx, const char *field, const char *def);
/* Two numbers; if absent, pair stays as it is. `expected` describes them in errors, as "{least, most}". */
void dgl_optfield_pair(lua_State *L, int idx, const char *name, const char *expected, double pair[2]);

/* Every key of the table at idx must be one of `known` (ended by NULL); else an error with a did-you-mean. */
void dgl_checkfields(lua_State *L, int idx, const char *const *known);

#endif
