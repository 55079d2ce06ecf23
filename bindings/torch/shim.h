/* shim.h - libtorch behind a C interface: tensors, every operator of the dispatcher, autograd, random state.
 *
 * No C++ exception leaves these functions: a failure returns a negative number (or NULL) and leaves a message in
 * dgt_error(). Handles are owned by the caller and given back with dgt_release. Nothing here knows Lua.
 *
 * Counting from one. Lua counts from 1, libtorch from 0. dispatch.cpp converts the arguments and results of operators,
 * after the tables in positions.cpp. Everything else in this header (dgt_size, shapes) counts from 0 and says so.
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
typedef struct dgt_generator dgt_generator; /* a source of random numbers with a state of its own */

typedef enum dgt_tag { DGT_NONE, DGT_BOOL, DGT_INT, DGT_DOUBLE, DGT_STRING, DGT_TENSOR, DGT_GENERATOR, DGT_LIST } dgt_tag;

/* A value on its way into or out of an operator. Inputs are borrowed. Results own their tensor, string or list and are never
 * generators. A complex number can only be a result: a list of its two parts. */
typedef struct dgt_value {
  dgt_tag tag;
  size_t n; /* items of a list, bytes of a string */
  union {
    int b;
    int64_t i;
    double d;
    const char *s;
    dgt_tensor *t;
    dgt_generator *g;
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
/* "aten::add", "dgam::gic"; NULL if there is none (no message). A keyword of Lua is found with a _ at its end too: "aten::repeat_". */
dgt_op *dgt_find(const char *qualified_name);
/* Picks the overload that fits, converts, calls. Returns the number of results, or -1. With `method` the first value is the
 * argument called self, wherever the schema has it. Two more names of arguments are known: `out` for what is written (a tensor or a
 * list of them), and a keyword of Lua with a _ at its end (end_). */
int dgt_call(dgt_op *op, int method, const dgt_value *args, int nargs, const dgt_named *named, int nnamed,
             dgt_value results[DGT_MAXRESULTS]);
void dgt_value_free(dgt_value *v);
/* The schemas of an operator, one a line, as text that lives until the thread's next call of this function. */
const char *dgt_schemas(dgt_op *op);
/* Calls visit(ctx, "aten::add") for every name once, sorted. */
void dgt_each_op(void (*visit)(void *ctx, const char *name), void *ctx);
/* Visits every argument and result of every overload, with its name ("" if it has none) and what it is, in words. `place` is
 * "position", "no", or NULL if positions.cpp has no rule for it. */
typedef void (*dgt_place_visitor)(void *ctx, const char *overload, int is_result, const char *name, const char *what, const char *place);
int dgt_each_place(dgt_op *op, dgt_place_visitor visit, void *ctx);

/* --- tensors --- */
void dgt_release(dgt_tensor *t);
int dgt_dim(const dgt_tensor *t);
int64_t dgt_size(const dgt_tensor *t, int dim); /* dim from 0; -1: a nested tensor has none */
int dgt_has_names(const dgt_tensor *t);
const char *dgt_dim_name(const dgt_tensor *t, int dim); /* dim from 0; NULL: it has none. Text until the thread's next call */
int64_t dgt_numel(const dgt_tensor *t);
int dgt_dtype(const dgt_tensor *t); /* number of the ScalarType; -1 if it has none */
const char *dgt_layout(const dgt_tensor *t); /* "strided", "nested", "sparse_coo", "sparse_csr" ... */
const char *dgt_dtype_name(int dtype);
int dgt_dtype_by_name(const char *name); /* -1 if unknown */
int dgt_is_device(const char *name); /* whether tensors can be made on it, such as "cpu" */
const char *dgt_device(const dgt_tensor *t); /* text until the thread's next call */
int dgt_is_contiguous(const dgt_tensor *t);
const void *dgt_id(const dgt_tensor *t); /* the same for all references to one tensor, while it lives */
/* NULL if the tensor's values lie in contiguous memory of the CPU; else the reason, as "is sparse_coo, expected a dense one".
 * Text until the thread's next call. */
const char *dgt_obstacle(const dgt_tensor *t);
void *dgt_data(const dgt_tensor *t); /* NULL if there is an obstacle */
/* The same values with no obstacle and no gradient: the tensor itself or a copy. */
dgt_tensor *dgt_plain(const dgt_tensor *t);
dgt_tensor *dgt_empty(int dtype, int ndim, const int64_t *sizes);
/* The one element: 1 value, 2 (real and imaginary part) if it is complex; -1 unless numel is 1. */
int dgt_item(const dgt_tensor *t, dgt_value out[2]);

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
dgt_generator *dgt_generator_new(uint64_t seed);
void dgt_generator_free(dgt_generator *g);
dgt_tensor *dgt_rng_state(const dgt_generator *g); /* NULL: libtorch's own generator */
int dgt_set_rng_state(dgt_generator *g, const dgt_tensor *state);
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
