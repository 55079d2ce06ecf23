/* dtype.h - element types of stored tensors, numbered as libtorch's ScalarType is, and the description of one tensor.
 */
#ifndef DGAM_STORE_DTYPE_H
#define DGAM_STORE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_dtype {
  DGAM_U8 = 0,
  DGAM_I8 = 1,
  DGAM_I16 = 2,
  DGAM_I32 = 3,
  DGAM_I64 = 4,
  DGAM_F16 = 5,
  DGAM_F32 = 6,
  DGAM_F64 = 7,
  DGAM_BOOL = 11,
  DGAM_BF16 = 15,
  DGAM_NODTYPE = -1
} dgam_dtype;

enum { DGAM_MAXDIM = 12 };

/* A tensor in a file: row-major, `count` elements (the product of the shape, 1 for a scalar). */
typedef struct dgam_tensor_info {
  const char *name; /* belongs to the reader */
  dgam_dtype dtype;
  int ndim;
  size_t shape[DGAM_MAXDIM];
  size_t count;
} dgam_tensor_info;

DGAM_API size_t dgam_dtype_size(dgam_dtype dtype);      /* bytes of an element; 0 for DGAM_NODTYPE */
DGAM_API const char *dgam_dtype_name(dgam_dtype dtype); /* "float32"; "unknown" for DGAM_NODTYPE */
DGAM_API dgam_dtype dgam_dtype_named(const char *name); /* the type called so, or DGAM_NODTYPE */

/* Product of a shape into *count, and times the element's size into *bytes (may be NULL); 1 if it overflows. */
DGAM_API int dgam_shape_overflow(int ndim, const size_t *shape, dgam_dtype dtype, size_t *count, size_t *bytes);

/* Writes "(2,3,4)" into text, cut to size. Returns text. */
DGAM_API const char *dgam_shape_text(int ndim, const size_t *shape, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
