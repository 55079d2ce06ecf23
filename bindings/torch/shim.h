/* shim.h - libtorch behind a C interface: tensors, every operator of the dispatcher, autograd, random state.
 *
 * No C++ exception leaves these functions: a failure returns a negative number (or NULL) and leaves a message in
 * dgt_error(). Handles are owned by the caller and given back with dgt_release. Nothing here knows Lua.
 *
 * Counting from one. Lua counts from 1, libtorch from 0; the conversion happens in dispatch.cpp, in one table that
 * names the arguments and results it applies to: dimensions, indices, index tensors. Everything else in this header
 * (dgt_size, shapes) uses the C convention and says so.
 */
#ifndef DGT_SHIM_H
#define DGT_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgt_tensor dgt_tensor; /* one reference to a tensor */
typedef struct dgt_op dgt_op;         /* an operator name with all its overloads; lives as long as the process */

typedef enum dgt_tag { DGT_NONE, DGT_BOOL, DGT_INT, DGT_DOUBLE, DGT_STRING, DGT_TENSOR, DGT_LIST } dgt_tag;

/* A value on its way into or out of an operator. Inputs are borrowed; results own their tensor, string and list. */
typedef struct dgt_value {
  dgt_tag tag;
  size_t n; /* items of a list, bytes of a string */
  union {
    int b;
    int64_t i;
    double d;
    const char *s;
    dgt_tensor *t;
    struct dgt_value *list;
  } as;
} dgt_value;

typedef struct dgt_named {
  const char *name;
  dgt_value value;
} dgt_named;

enum { DGT_MAXRESULTS = 16, DGT_MAXARGS = 64 };

const char *dgt_error(void); /* this thread's last failure */

/* --- operators --- */
dgt_op *dgt_find(const char *qualified_name); /* "aten::add", "dgam::gic"; NULL if there is none (no message) */
/* Picks the overload that fits, converts, calls. Number of results, or -1. */
int dgt_call(dgt_op *op, const dgt_value *args, int nargs, const dgt_named *named, int nnamed,
             dgt_value results[DGT_MAXRESULTS]);
void dgt_value_free(dgt_value *v);
/* The schemas of an operator, one a line, as text that lives until the thread's next call of this function. */
const char *dgt_schemas(dgt_op *op);
/* Calls visit(ctx, "aten::add") for every name once, sorted. */
void dgt_each_op(void (*visit)(void *ctx, const char *name), void *ctx);

/* --- tensors --- */
void dgt_release(dgt_tensor *t);
int dgt_dim(const dgt_tensor *t);
int64_t dgt_size(const dgt_tensor *t, int dim); /* dim from 0; -1: a nested tensor has none */
int64_t dgt_numel(const dgt_tensor *t);
int dgt_dtype(const dgt_tensor *t); /* number of the ScalarType; -1 if it has none */
const char *dgt_layout(const dgt_tensor *t); /* "strided", "nested", "sparse_coo", "sparse_csr" ... */
const char *dgt_dtype_name(int dtype);
int dgt_dtype_by_name(const char *name); /* -1 if unknown */
const char *dgt_device(const dgt_tensor *t); /* text until the thread's next call */
int dgt_is_cpu(const dgt_tensor *t);
int dgt_is_contiguous(const dgt_tensor *t);
int dgt_is_defined(const dgt_tensor *t);
const void *dgt_id(const dgt_tensor *t); /* the same for all references to one tensor, while it lives */
void *dgt_data(const dgt_tensor *t);     /* NULL if it has no memory on the CPU */
dgt_tensor *dgt_empty(int dtype, int ndim, const int64_t *sizes);
int dgt_item(const dgt_tensor *t, dgt_value *out); /* the one element; -1 unless numel is 1 */

/* --- autograd --- */
int dgt_requires_grad(const dgt_tensor *t);
int dgt_set_requires_grad(dgt_tensor *t, int on);
int dgt_is_leaf(const dgt_tensor *t);
dgt_tensor *dgt_grad(const dgt_tensor *t);       /* NULL if it has none */
int dgt_set_grad(dgt_tensor *t, const dgt_tensor *grad); /* of t's shape, dtype and device; NULL clears */
int dgt_backward(const dgt_tensor *t, const dgt_tensor *gradient, int retain_graph, int create_graph);
/* d outputs / d inputs into grads[ninputs]; NULL entries where allow_unused permits. */
int dgt_autograd_grad(dgt_tensor *const *outputs, int noutputs, dgt_tensor *const *inputs, int ninputs,
                      dgt_tensor *const *grad_outputs, int retain_graph, int create_graph, int allow_unused,
                      dgt_tensor **grads);
int dgt_grad_mode(int on); /* returns the old mode; on < 0 only asks */

/* --- random state, threads, memory --- */
int dgt_manual_seed(uint64_t seed);
dgt_tensor *dgt_rng_state(void);
int dgt_set_rng_state(const dgt_tensor *state);
void dgt_set_threads(int n);
int dgt_threads(void);
/* Bytes of CPU tensors alive now, and bytes ever allocated. */
void dgt_memory(uint64_t *live, uint64_t *total);
uint64_t dgt_memory_peak(int reset); /* most bytes alive at once since the last reset */
const char *dgt_version(void);

#ifdef __cplusplus
}
#endif
#endif
