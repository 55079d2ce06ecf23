/* nn_golden.h - reading a dataset of the reference file, and comparing by the largest entry. */
#ifndef DGAM_NN_GOLDEN_H
#define DGAM_NN_GOLDEN_H

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* The dataset as floats (malloc'ed); its number of elements in *n if not NULL. Fails the test if it is not there. */
static inline float *golden(hid_t file, const char *name, size_t *n) {
  hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
  if (set < 0) fail_msg("no dataset %s", name);
  hid_t space = H5Dget_space(set);
  hssize_t count = H5Sget_simple_extent_npoints(space);
  float *x = malloc((size_t)count * sizeof *x);
  if (!x || H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) < 0) fail_msg("cannot read %s", name);
  H5Sclose(space);
  H5Dclose(set);
  if (n) *n = (size_t)count;
  return x;
}

/* (N, C, L) -> (N, L, C), malloc'ed; frees x. */
static inline float *channels_last(float *x, size_t n, size_t c, size_t l) {
  float *y = malloc(n * c * l * sizeof *y);
  for (size_t i = 0; i < n; i++)
    for (size_t q = 0; q < c; q++)
      for (size_t t = 0; t < l; t++) y[(i * l + t) * c + q] = x[(i * c + q) * l + t];
  free(x);
  return y;
}

static inline double largest(const float *x, size_t n) {
  double m = 0;
  for (size_t i = 0; i < n; i++) m = fabs((double)x[i]) > m ? fabs((double)x[i]) : m;
  return m;
}

/* Every entry within `tolerance` of the largest entry wanted. */
static inline void assert_close_relative(const float *got, const float *want, size_t n, double tolerance,
                                         const char *what) {
  double top = largest(want, n);
  assert_close(got, want, n, tolerance * (top > 1e-12 ? top : 1e-12), what);
}

#endif
