/* cpu.h - what this processor can do, asked once. Kernels choose a path with dgam_cpu_level(). */
#ifndef DGAM_BASE_CPU_H
#define DGAM_BASE_CPU_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_cpu {
  DGAM_CPU_PLAIN = 0,   /* portable C; always there, always tested */
  DGAM_CPU_AVX2 = 1,    /* AVX2 + FMA + F16C */
  DGAM_CPU_AVX512 = 2,  /* AVX-512 F, BW, DQ, VL */
  DGAM_CPU_AVX512BF = 3 /* the above + BF16 and VBMI */
} dgam_cpu;

/* The best level this machine has, lowered by $DGAMLUA_CPU (plain, avx2, avx512) or dgam_cpu_limit(). */
DGAM_API dgam_cpu dgam_cpu_level(void);

/* Sets the level for this process (tests run every path), never above what the machine has and $DGAMLUA_CPU allows.
 * Returns the old one. */
DGAM_API dgam_cpu dgam_cpu_limit(dgam_cpu most);

DGAM_API const char *dgam_cpu_name(dgam_cpu level);

#ifdef __cplusplus
}
#endif
#endif
