/* dtype.c - see dtype.h */
#include "store/dtype.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"

static const struct {
  dgam_dtype dtype;
  size_t size;
  const char *name;
} types[] = {
    {DGAM_U8, 1, "uint8"},  {DGAM_I8, 1, "int8"},       {DGAM_I16, 2, "int16"},   {DGAM_I32, 4, "int32"},
    {DGAM_I64, 8, "int64"}, {DGAM_F16, 2, "float16"},   {DGAM_F32, 4, "float32"}, {DGAM_F64, 8, "float64"},
    {DGAM_BOOL, 1, "bool"}, {DGAM_BF16, 2, "bfloat16"},
};
enum { NTYPES = sizeof types / sizeof *types };

size_t dgam_dtype_size(dgam_dtype dtype) {
  for (int i = 0; i < NTYPES; i++)
    if (types[i].dtype == dtype) return types[i].size;
  return 0;
}

const char *dgam_dtype_name(dgam_dtype dtype) {
  for (int i = 0; i < NTYPES; i++)
    if (types[i].dtype == dtype) return types[i].name;
  return "unknown";
}

dgam_dtype dgam_dtype_named(const char *name) {
  for (int i = 0; i < NTYPES; i++)
    if (strcmp(types[i].name, name) == 0) return types[i].dtype;
  return DGAM_NODTYPE;
}

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
