/* pickle.h - reads the pickles that torch.save writes, and runs none of them.
 *
 * A pickle is a program for a stack machine that may call any Python function. This machine knows containers, numbers,
 * strings, and what a tensor is made of (collections.OrderedDict, torch._utils._rebuild_tensor_v2, _rebuild_parameter,
 * storage types, torch.Size, dtype and device). It never looks anything up and calls nothing. A pickle that names any other
 * global is refused with that name. If asked, the reader puts an inert placeholder in its place instead. A placeholder that
 * is given items, like an instance of a subclass of dict or list, becomes a dictionary or a list of them. numpy's scalars
 * and arrays always become placeholders: training logs hold them and weights do not need them.
 *
 * The length of a pickle limits the number of its values. So a long list of numbers is not refused, and a few bytes cannot
 * ask for all memory.
 *
 * All values of one pickle live until dgam_pickle_free. Containers may be shared and even hold themselves, so a walk through
 * them must limit depth and number of steps.
 */
#ifndef DGAM_STORE_PICKLE_H
#define DGAM_STORE_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "store/dtype.h"
#include "store/file.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_pickle_kind {
  DGAM_PICKLE_NONE,
  DGAM_PICKLE_BOOL,
  DGAM_PICKLE_INT,
  DGAM_PICKLE_FLOAT,
  DGAM_PICKLE_LONG,   /* an integer of more than 8 bytes: little-endian two's complement in text */
  DGAM_PICKLE_STRING, /* UTF-8; Python 2 strings as they are */
  DGAM_PICKLE_BYTES,
  DGAM_PICKLE_TUPLE, /* seq */
  DGAM_PICKLE_LIST,  /* seq; sets too */
  DGAM_PICKLE_DICT,  /* seq: key, value, key, value ... in order of insertion */
  DGAM_PICKLE_GLOBAL,
  DGAM_PICKLE_STORAGE,
  DGAM_PICKLE_TENSOR,
  DGAM_PICKLE_OPAQUE /* a placeholder for something that is not needed */
} dgam_pickle_kind;

typedef struct dgam_pickle_value dgam_pickle_value;

/* A block of elements of one type that tensors look into. */
typedef struct dgam_pickle_storage {
  dgam_dtype dtype;
  const char *key;      /* its name in the file; ends with a zero */
  uint64_t numel;       /* elements of the whole block */
  uint64_t view_offset; /* legacy views: where this storage begins in the block, and how long it is */
  uint64_t view_numel;
} dgam_pickle_storage;

typedef struct dgam_pickle_tensor {
  const dgam_pickle_storage *storage;
  uint64_t offset; /* in elements, from the start of the block */
  int ndim;
  size_t shape[DGAM_MAXDIM];
  uint64_t stride[DGAM_MAXDIM];
  size_t count;
} dgam_pickle_tensor;

struct dgam_pickle_value {
  dgam_pickle_kind kind;
  union {
    int64_t i; /* INT, BOOL */
    double f;
    struct {
      const char *s; /* ends with a zero that n does not count */
      size_t n;
    } text; /* STRING, BYTES, LONG; GLOBAL: "module name" */
    struct {
      dgam_pickle_value **items;
      size_t n, cap;
    } seq;
    const dgam_pickle_storage *storage;
    const dgam_pickle_tensor *tensor;
  } u;
  int global; /* GLOBAL: which one; OPAQUE: whether a call made it */
};

typedef struct dgam_pickle dgam_pickle;

/* Reads the pickle at *at of the input, which ends at `end` or before; *at moves behind it. Its root goes to *root.
 * skip_unknown: unknown globals become placeholders instead of errors.
 * Errors: DGAM_EFORMAT (damaged, cut off, or a global that is refused), DGAM_EUNSUPPORTED (an element type or a number
 * of dimensions that we do not have), DGAM_ENOMEM. Nothing is to be freed then. */
DGAM_API dgam_status dgam_pickle_read(const dgam_input *in, uint64_t *at, uint64_t end, int skip_unknown,
                                      dgam_pickle **out, const dgam_pickle_value **root);

DGAM_API void dgam_pickle_free(dgam_pickle *p); /* NULL is fine */

/* Number of items in all its containers together: the steps of a walk that visits everything once. */
DGAM_API size_t dgam_pickle_items(const dgam_pickle *p);

/* Every storage that the pickle names, also those of tensors inside placeholders. One may be listed several times. */
DGAM_API const dgam_pickle_storage *const *dgam_pickle_storages(const dgam_pickle *p, size_t *n);

/* The value of a string key in a dictionary; NULL if there is none or v is no dictionary. */
DGAM_API const dgam_pickle_value *dgam_pickle_get(const dgam_pickle_value *v, const char *key);

#ifdef __cplusplus
}
#endif
#endif
