/* arena.h - scratch memory for kernels: one block, bump allocation, freed as a whole.
 *
 * The caller asks a kernel how much it needs, makes an arena once, and resets it between calls. Every allocation is aligned
 * to 64 bytes (one cache line, one AVX-512 register).
 */
#ifndef DGAM_BASE_ARENA_H
#define DGAM_BASE_ARENA_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DGAM_ALIGN 64

typedef struct dgam_arena {
  unsigned char *base; /* start of the block, aligned to DGAM_ALIGN */
  size_t size;         /* bytes in the block */
  size_t used;         /* bytes handed out so far */
  int owned;           /* 1: dgam_arena_free gives the block back */
} dgam_arena;

/* Makes an arena of `size` bytes (0 is allowed). DGAM_ENOMEM if the block cannot be had. */
DGAM_API dgam_status dgam_arena_init(dgam_arena *a, size_t size);

/* Uses the caller's block; the part before the first aligned address is lost. */
DGAM_API void dgam_arena_wrap(dgam_arena *a, void *block, size_t size);

/* `n` items of `size` bytes, aligned, not cleared; NULL if the arena is too small or n * size overflows. */
DGAM_API void *dgam_arena_alloc(dgam_arena *a, size_t n, size_t size);

DGAM_API void dgam_arena_reset(dgam_arena *a); /* everything handed out becomes free */
DGAM_API void dgam_arena_free(dgam_arena *a);  /* gives the block back; the arena is empty afterwards */

/* Bytes that n items of `size` take in an arena; SIZE_MAX on overflow. For worst-case queries. */
DGAM_API size_t dgam_arena_need(size_t n, size_t size);

/* a * b into *out; 1 if it overflows. The one place where sizes are checked. */
static inline int dgam_mul_overflow(size_t a, size_t b, size_t *out) { return __builtin_mul_overflow(a, b, out); }

#ifdef __cplusplus
}
#endif
#endif
