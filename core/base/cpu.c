/* cpu.c - see cpu.h */
#include "base/cpu.h"

#include <stdatomic.h>

static const char *const names[] = {"plain", "avx2", "avx512", "avx512-bf16"};
static atomic_int current = -1; /* -1: not asked yet */
static atomic_int ceiling = DGAM_CPU_AVX512BF;

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

static int lower(int a, int b) { return a < b ? a : b; }

static int best_level(void) { return lower(machine_level(), atomic_load_explicit(&ceiling, memory_order_relaxed)); }

dgam_cpu dgam_cpu_level(void) {
  int level = atomic_load_explicit(&current, memory_order_relaxed);
  if (level >= 0) return (dgam_cpu)level;
  level = best_level();
  atomic_store_explicit(&current, level, memory_order_relaxed);
  return (dgam_cpu)level;
}

dgam_cpu dgam_cpu_limit(dgam_cpu most) {
  dgam_cpu old = dgam_cpu_level();
  atomic_store_explicit(&current, lower((int)most, best_level()), memory_order_relaxed);
  return old;
}

void dgam_cpu_ceiling(dgam_cpu most) {
  atomic_store_explicit(&ceiling, (int)most, memory_order_relaxed);
  dgam_cpu_limit(most);
}

const char *dgam_cpu_name(dgam_cpu level) { return level <= DGAM_CPU_AVX512BF ? names[level] : "unknown"; }
