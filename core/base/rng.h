/* rng.h - counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011).
 *
 * A draw depends only on (seed, stream, counter), never on which thread asks or in what order, so a sample's
 * augmentation or a frame's noise is the same at any thread count and after any restart. A generator is 48 bytes on
 * the stack: make one per (seed, epoch, sample) instead of sharing one.
 */
#ifndef DGAM_BASE_RNG_H
#define DGAM_BASE_RNG_H

#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_rng {
  uint32_t key[2];     /* the seed */
  uint32_t counter[4]; /* words 2, 3: the stream; words 0, 1: how many blocks were drawn */
  uint32_t block[4];   /* the current block of output */
  int left;            /* words of the block not yet used */
} dgam_rng;

/* The bare function: 4 random words for a counter and a key. */
DGAM_API void dgam_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A generator for one stream of a seed. Streams of one seed are independent. */
DGAM_API void dgam_rng_init(dgam_rng *r, uint64_t seed, uint64_t stream);

/* Mixes two numbers into one stream number, e.g. mix(mix(epoch, sample), view). */
DGAM_API uint64_t dgam_rng_mix(uint64_t a, uint64_t b);

DGAM_API uint32_t dgam_rng_u32(dgam_rng *r);
DGAM_API uint64_t dgam_rng_u64(dgam_rng *r);
DGAM_API double dgam_rng_uniform(dgam_rng *r);               /* [0, 1), 53 bits */
DGAM_API uint64_t dgam_rng_below(dgam_rng *r, uint64_t n);   /* 0 .. n-1, unbiased; n = 0 gives 0 */
DGAM_API double dgam_rng_normal(dgam_rng *r);                /* mean 0, variance 1 (Box-Muller, one of the pair) */
DGAM_API uint32_t dgam_rng_poisson(dgam_rng *r, double mean); /* exact: inversion below 10, PTRS (Hormann 1993) above */

#ifdef __cplusplus
}
#endif
#endif
