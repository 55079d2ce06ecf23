/* stats.c - see stats.h */
#include "light/stats.h"

#include <math.h>

void dgam_stats_values(dgam_domain domain, const dgam_norm *norm, float *map) {
  for (int c = 0; c < 3; c++)
    for (int v = 0; v < 256; v++)
      map[256 * c + v] = domain == DGAM_PIXEL ? (float)v / 255.0f : ((float)v - norm->mean[c]) / norm->std[c];
}

/* The histc bin of x, or -1 if it falls out. Each operation rounds to float32, in this order, as the tensors do. */
static inline int bin_of(float x, float lo, float range) {
  float y = 255.0f * (x - lo) / range;
  if (!(y <= 255.0f)) return -1;
  int bin = (int)(y * 256.0f / 255.0f);
  return bin > 255 ? 255 : bin;
}

static double entropy(const double *bins) {
  double total = 0, e = 0;
  for (int b = 0; b < 256; b++) total += bins[b];
  for (int b = 0; b < 256; b++)
    if (bins[b] > 0) e -= bins[b] / total * log(bins[b] / total);
  return e;
}

void dgam_stats_frame(const uint32_t *hist, const float *map, double *out) {
  double count = 0, sum = 0, squares = 0, bins[256] = {0};
  float lo = INFINITY, hi = -INFINITY;
  for (int i = 0; i < 768; i++) {
    if (!hist[i]) continue;
    count += hist[i];
    sum += hist[i] * (double)map[i];
    lo = fminf(lo, map[i]);
    hi = fmaxf(hi, map[i]);
  }
  double mean = sum / count;
  float range = hi - lo + 1e-10f;
  for (int i = 0; i < 768; i++) {
    if (!hist[i]) continue;
    squares += hist[i] * (map[i] - mean) * (map[i] - mean);
    int bin = bin_of(map[i], lo, range);
    if (bin >= 0) bins[bin] += hist[i];
  }
  out[0] = mean;
  out[1] = sqrt(squares / (count - 1));
  out[2] = entropy(bins);
}

dgam_status dgam_stats_from_histogram(const uint32_t *hist, size_t n, size_t t, dgam_domain domain,
                                      const dgam_norm *norm, float *out) {
  if (domain != DGAM_PIXEL) DGAM_TRY(dgam_norm_check(norm, "frame_stats"));
  float map[3 * 256];
  dgam_stats_values(domain, norm, map);
  for (size_t i = 0; i < n * t; i++) {
    double s[3];
    dgam_stats_frame(hist + 768 * i, map, s);
    for (int k = 0; k < 3; k++) out[3 * i + (size_t)k] = (float)s[k];
  }
  return DGAM_OK;
}

void dgam_stats_frame_float(const float *x, size_t channel, size_t count, double *out) {
  double total = 3.0 * (double)count, sum = 0, squares = 0, bins[256] = {0};
  float lo = INFINITY, hi = -INFINITY;
  for (size_t c = 0; c < 3; c++)
    for (size_t i = 0; i < count; i++) {
      float v = x[c * channel + i];
      sum += (double)v;
      lo = fminf(lo, v);
      hi = fmaxf(hi, v);
    }
  double mean = sum / total;
  float range = hi - lo + 1e-10f;
  for (size_t c = 0; c < 3; c++)
    for (size_t i = 0; i < count; i++) {
      float v = x[c * channel + i];
      squares += (v - mean) * (v - mean);
      int bin = bin_of(v, lo, range);
      if (bin >= 0) bins[bin]++;
    }
  out[0] = mean;
  out[1] = sqrt(squares / (total - 1));
  out[2] = entropy(bins);
}
