/* dtype.c - see dtype.h */
#include "store/dtype.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"

int dgam_shape_overflow(int ndim, const size_t *shape, dgam_dtype dtype, size_t *count, size_t *bytes) {
  size_t n = 1, total;
  int empty = 0;
  for (int d = 0; d < ndim; d++) {
    if (shape[d] == 0)
      empty = 1;
    else if (dgam_mul_overflow(n, shape[d], &n))
      return 1;
  }
  if (empty) n = 0;
  if (dgam_mul_overflow(n, dgam_dtype_size(dtype), &total)) return 1;
  *count = n;
  if (bytes) *bytes = total;
  return 0;
}

const char *dgam_shape_text(int ndim, const size_t *shape, char *text, size_t size) {
  size_t used = (size_t)snprintf(text, size, "(");
  for (int d = 0; d < ndim && used < size; d++)
    used += (size_t)snprintf(text + used, size - used, d ? ",%zu" : "%zu", shape[d]);
  if (used < size) snprintf(text + used, size - used, ")");
  return text;
}
