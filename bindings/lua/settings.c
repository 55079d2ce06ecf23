/* settings.c - what the environment asks of the core, handed to it when this library is loaded. The core itself reads no
 * environment. lua/cli/environment.lua has checked the variables before: a wrong one is not there any more. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "video/ffmpeg.h"

static int is(const char *value, const char *word) { return value && strcmp(value, word) == 0; }

__attribute__((constructor)) static void apply(void) {
  const char *cpu = getenv("DGAMLUA_CPU"), *threads = getenv("DGAMLUA_THREADS");
  for (int level = DGAM_CPU_PLAIN; level <= DGAM_CPU_AVX512BF; level++)
    if (is(cpu, dgam_cpu_name((dgam_cpu)level))) dgam_cpu_ceiling((dgam_cpu)level);
  if (threads) dgam_set_default_threads(atoi(threads));
  dgam_ffmpeg_log(is(getenv("DGAMLUA_FFMPEG_LOG"), "1"));
}
