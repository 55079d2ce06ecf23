/* grow.h - arrays of the store that get longer one item at a time. */
#ifndef DGAM_STORE_GROW_H
#define DGAM_STORE_GROW_H

#include <stdlib.h>
#include <string.h>

/* Makes room for one more behind n items of `size` bytes by doubling the array; `array` is the address of its pointer.
 * Returns 1 if memory ran out; the array is then as it was. */
static inline int dgam_grow(void *array, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return 0;
  size_t more = *cap ? *cap * 2 : 16;
  void *old;
  memcpy(&old, array, sizeof old);
  void *bigger = realloc(old, more * size);
  if (!bigger) return 1;
  memcpy(array, &bigger, sizeof bigger);
  *cap = more;
  return 0;
}

#endif
