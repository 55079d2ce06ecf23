/* rng.c - see rng.h */
#include "base/rng.h"

#include <math.h>

void dgam_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

void dgam_rng_init(dgam_rng *r, uint64_t seed, uint64_t stream) {
  r->key[0] = (uint32_t)seed;
  r->key[1] = (uint32_t)(seed >> 32);
  r->counter[0] = r->counter[1] = 0;
  r->counter[2] = (uint32_t)stream;
  r->counter[3] = (uint32_t)(stream >> 32);
  r->left = 0;
}

uint64_t dgam_rng_mix(uint64_t a, uint64_t b) { /* splitmix64 finaliser over a sum that tells (a,b) from (b,a) */
  uint64_t z = a * 0x9E3779B97F4A7C15u + b + 0x632BE59BD9B4E019u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

uint32_t dgam_rng_u32(dgam_rng *r) {
  if (r->left == 0) {
    dgam_rng_philox(r->counter, r->key, r->block);
    if (++r->counter[0] == 0) r->counter[1]++;
    r->left = 4;
  }
  return r->block[4 - r->left--];
}

uint64_t dgam_rng_u64(dgam_rng *r) {
  uint64_t lo = dgam_rng_u32(r);
  return lo | (uint64_t)dgam_rng_u32(r) << 32;
}

double dgam_rng_uniform(dgam_rng *r) { return (double)(dgam_rng_u64(r) >> 11) * 0x1p-53; }

uint64_t dgam_rng_below(dgam_rng *r, uint64_t n) {
  if (n == 0) return 0;
  for (;;) { /* Lemire 2019 */
    unsigned __int128 m = (unsigned __int128)dgam_rng_u64(r) * n;
    if ((uint64_t)m >= n || (uint64_t)m >= -n % n) return (uint64_t)(m >> 64);
  }
}

double dgam_rng_normal(dgam_rng *r) {
  double u = 1.0 - dgam_rng_uniform(r), v = dgam_rng_uniform(r); /* u in (0, 1] */
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint32_t dgam_rng_poisson(dgam_rng *r, double mean) {
  if (!(mean > 0)) return 0;
  if (mean < 10) { /* inversion by sequential search */
    double p = exp(-mean), u = dgam_rng_uniform(r);
    uint32_t k = 0;
    while (u > p && k < 200) {
      u -= p;
      p *= mean / ++k;
    }
    return k;
  }
  double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b, inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
  double v_r = 0.9277 - 3.6224 / (b - 2), log_mean = log(mean);
  int sign; /* lgamma would write it to a global of the process */
  for (;;) {
    double u = dgam_rng_uniform(r) - 0.5, v = dgam_rng_uniform(r), us = 0.5 - fabs(u);
    double k = floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_r) return (uint32_t)fmin(k, 4294967295.0);
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (log(v) + log(inv_alpha) - log(a / (us * us) + b) <= -mean + k * log_mean - lgamma_r(k + 1, &sign))
      return (uint32_t)fmin(k, 4294967295.0);
  }
}
