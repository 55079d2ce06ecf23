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

/* The best level this machine has, or a lower one that dgam_cpu_limit() has set. */
DGAM_API dgam_cpu dgam_cpu_level(void);

/* Sets the level for this process, at most what the machine has and the ceiling allows; returns the old level. Tests use it to
 * run every path. */
DGAM_API dgam_cpu dgam_cpu_limit(dgam_cpu most);

/* The highest level from now on, for a program that was told to keep below what the machine has. */
DGAM_API void dgam_cpu_ceiling(dgam_cpu most);

/* "plain", "avx2", "avx512", "avx512-bf16". */
DGAM_API const char *dgam_cpu_name(dgam_cpu level);

#ifdef __cplusplus
}
#endif
#endif
