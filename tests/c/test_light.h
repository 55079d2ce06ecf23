/* test_light.h - what the tests of core/light share: reading golden files, every CPU level, dark random clips. */
#ifndef DGAM_TEST_LIGHT_H
#define DGAM_TEST_LIGHT_H

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "light/clip.h"
#include "test.h"

static const dgam_norm imagenet = {{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};

/* Reads a whole data set of tests/golden/FILE; its number of elements goes to *count. The caller frees it. */
static inline void *golden_read(const char *file, const char *name, hid_t type, size_t *count) {
  char path[1024];
  snprintf(path, sizeof path, DGAM_TESTS "/golden/%s", file);
  hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (f < 0) fail_msg("%s cannot be opened", path);
  hid_t d = H5Dopen2(f, name, H5P_DEFAULT);
  if (d < 0) fail_msg("%s has no %s", path, name);
  hid_t s = H5Dget_space(d);
  hssize_t n = H5Sget_simple_extent_npoints(s);
  void *data = malloc((size_t)n * H5Tget_size(type));
  assert_non_null(data);
  assert_true(H5Dread(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  H5Sclose(s), H5Dclose(d), H5Fclose(f);
  if (count) *count = (size_t)n;
  return data;
}

/* n pixels: kind 0 all values alike, 1 dark (u^3 * 96), 2 nearly black, 3 all 7 */
static inline uint8_t *random_pixels(size_t n, int kind, uint64_t seed) {
  uint8_t *p = malloc(n);
  assert_non_null(p);
  dgam_rng r;
  dgam_rng_init(&r, seed, 0);
  for (size_t i = 0; i < n; i++) {
    double u = dgam_rng_uniform(&r);
    p[i] = (uint8_t)(kind == 0 ? u * 256 : kind == 1 ? u * u * u * 96 : kind == 2 ? (u < 0.9 ? 0 : (u - 0.9) * 60) : 7);
  }
  return p;
}

static inline float *random_floats(size_t n, uint64_t seed) {
  float *p = malloc(n * sizeof *p);
  assert_non_null(p);
  dgam_rng r;
  dgam_rng_init(&r, seed, 1);
  for (size_t i = 0; i < n; i++) p[i] = (float)dgam_rng_normal(&r);
  return p;
}

/* for_each_level(level) runs its block with every CPU level this machine has, ending with the best. */
#define for_each_level(level)                                                               \
  for (dgam_cpu level = DGAM_CPU_PLAIN; level <= DGAM_CPU_AVX512BF; level++)                \
    if (dgam_cpu_limit(level), dgam_cpu_level() == level)

#endif
