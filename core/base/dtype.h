/* dtype.h - element types, numbered as libtorch's ScalarType is. */
#ifndef DGAM_BASE_DTYPE_H
#define DGAM_BASE_DTYPE_H

#include <stddef.h>

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
  DGAM_BF16 = 15, /* uint16_t, the upper half of a float */
  DGAM_NODTYPE = -1
} dgam_dtype;

DGAM_API size_t dgam_dtype_size(dgam_dtype dtype);      /* bytes of an element; 0 for DGAM_NODTYPE */
DGAM_API const char *dgam_dtype_name(dgam_dtype dtype); /* "float32"; "unknown" for DGAM_NODTYPE */
DGAM_API dgam_dtype dgam_dtype_named(const char *name); /* the type called so, or DGAM_NODTYPE */

#ifdef __cplusplus
}
#endif
#endif
