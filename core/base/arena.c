/* arena.c - see arena.h */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

size_t dgam_arena_need(size_t n, size_t size) {
  size_t bytes;
  if (dgam_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - DGAM_ALIGN) return SIZE_MAX;
  return (bytes + DGAM_ALIGN - 1) & ~(size_t)(DGAM_ALIGN - 1);
}

dgam_status dgam_arena_init(dgam_arena *a, size_t size) {
  *a = (dgam_arena){0};
  size_t bytes = dgam_arena_need(size, 1);
  if (bytes == SIZE_MAX) return dgam_fail(DGAM_ENOMEM, "arena of %zu bytes: size overflows", size);
  if (bytes == 0) return DGAM_OK;
  a->base = aligned_alloc(DGAM_ALIGN, bytes);
  if (!a->base) return dgam_fail(DGAM_ENOMEM, "out of memory: could not get %zu bytes of scratch", bytes);
  a->size = bytes;
  a->owned = 1;
  return DGAM_OK;
}

void dgam_arena_wrap(dgam_arena *a, void *block, size_t size) {
  size_t skip = (size_t)(-(uintptr_t)block & (DGAM_ALIGN - 1));
  *a = (dgam_arena){0};
  if (skip >= size) return;
  a->base = (unsigned char *)block + skip;
  a->size = size - skip;
}

void *dgam_arena_alloc(dgam_arena *a, size_t n, size_t size) {
  size_t bytes = dgam_arena_need(n, size);
  if (bytes > a->size - a->used) return NULL;
  void *p = a->base + a->used;
  a->used += bytes;
  return p;
}

void dgam_arena_reset(dgam_arena *a) { a->used = 0; }

void dgam_arena_free(dgam_arena *a) {
  if (a->owned) free(a->base);
  *a = (dgam_arena){0};
}
