/* level.h - C tests and benchmarks keep to the level of the CPU that $DGAMLUA_CPU names, as the program does. */
#ifndef DGAM_TEST_LEVEL_H
#define DGAM_TEST_LEVEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

/* Before main. A name that is none ends the program: a test at the wrong level would pass for one at the right level. */
__attribute__((constructor)) static void keep_to_level(void) {
  const char *wanted = getenv("DGAMLUA_CPU");
  if (!wanted || !*wanted) return;
  for (int level = DGAM_CPU_PLAIN; level <= DGAM_CPU_AVX512BF; level++)
    if (strcmp(wanted, dgam_cpu_name((dgam_cpu)level)) == 0) {
      dgam_cpu_ceiling((dgam_cpu)level);
      return;
    }
  fprintf(stderr, "DGAMLUA_CPU is '%s', expected plain, avx2, avx512 or avx512-bf16\n", wanted);
  exit(2);
}

#endif
