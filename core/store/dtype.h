/* dtype.h - the description of a stored tensor: name, element type (base/dtype.h), shape. */
#ifndef DGAM_STORE_DTYPE_H
#define DGAM_STORE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DGAM_MAXDIM = 12 };

/* A tensor in a file: row-major, `count` elements (the product of the shape, 1 for a scalar). */
typedef struct dgam_tensor_info {
  const char *name; /* belongs to the reader */
  dgam_dtype dtype;
  int ndim;
  size_t shape[DGAM_MAXDIM];
  size_t count;
} dgam_tensor_info;

/* Product of a shape into *count, and times the element's size into *bytes (may be NULL); 1 if it overflows. */
DGAM_API int dgam_shape_overflow(int ndim, const size_t *shape, dgam_dtype dtype, size_t *count, size_t *bytes);

/* Writes "(2,3,4)" into text, cut to size. Returns text. */
DGAM_API const char *dgam_shape_text(int ndim, const size_t *shape, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
