/* dtype.c - see dtype.h */
#include "base/dtype.h"

#include <string.h>

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
