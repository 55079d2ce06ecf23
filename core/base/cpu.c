/* cpu.c - see cpu.h */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"plain", "avx2", "avx512", "avx512-bf16"};
static atomic_int current = -1; /* -1: not asked yet */

static int machine_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return DGAM_CPU_PLAIN;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
    return DGAM_CPU_AVX2;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vbmi")) return DGAM_CPU_AVX512;
  return DGAM_CPU_AVX512BF;
#else
  return DGAM_CPU_PLAIN;
#endif
}

/* The best level of the machine that $DGAMLUA_CPU allows. */
static int best_level(void) {
  int level = machine_level();
  const char *want = getenv("DGAMLUA_CPU");
  for (int i = 0; want && i < level; i++)
    if (strcmp(want, names[i]) == 0) level = i;
  return level;
}

dgam_cpu dgam_cpu_level(void) {
  int level = atomic_load_explicit(&current, memory_order_relaxed);
  if (level >= 0) return (dgam_cpu)level;
  level = best_level();
  atomic_store_explicit(&current, level, memory_order_relaxed);
  return (dgam_cpu)level;
}

dgam_cpu dgam_cpu_limit(dgam_cpu most) {
  dgam_cpu old = dgam_cpu_level();
  int best = best_level();
  atomic_store_explicit(&current, (int)most < best ? (int)most : best, memory_order_relaxed);
  return old;
}

const char *dgam_cpu_name(dgam_cpu level) { return level <= DGAM_CPU_AVX512BF ? names[level] : "unknown"; }
