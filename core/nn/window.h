/* window.h - how a feature map (D,H,W) is cut into (shifted) 3D windows, as Video Swin does it.
 *
 * A window larger than the map is clipped to it and not shifted along that axis. The map is then padded at the end of
 * each axis to whole windows and rolled by -shift. No data is moved: dgam_windows_index names the token of the map for
 * each place of a window; -1 is padding. The roll brings tokens from opposite ends together. Such tokens get different
 * region numbers, and their pairs -100 on the score. A clipped window uses the position table of the full window as the
 * official code does: token t takes the coordinates that token t has in the full window.
 */
#ifndef DGAM_NN_WINDOW_H
#define DGAM_NN_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_windows {
  size_t dims[3];   /* D, H, W of the map */
  size_t full[3];   /* window as configured: fixes the position table, (2 full0 - 1)(2 full1 - 1)(2 full2 - 1) rows */
  size_t size[3];   /* window after clipping */
  size_t shift[3];  /* shift after clipping */
  size_t count[3];  /* windows along each axis */
  size_t l;         /* L = D H W, tokens of the map */
  size_t windows;   /* per clip */
  size_t tokens;    /* in a window */
  size_t padded;    /* tokens rounded up to 16: row length of an expanded bias */
  size_t table;     /* rows of the position table */
  int masked;       /* 1: some axis is shifted */
} dgam_windows;

/* Works out the cut. DGAM_EINVAL if a size is 0 or a shift is not below its window. */
DGAM_API dgam_status dgam_windows_plan(const size_t dims[3], const size_t window[3], const size_t shift[3],
                                       dgam_windows *w);

/* For window `which` (0 .. windows-1) of a clip: index (tokens) of its tokens in the map; region (padded) may be NULL.
 * Returns 1 if the window holds tokens of different regions, so that the mask matters. */
DGAM_API int dgam_windows_index(const dgam_windows *w, size_t which, int32_t *index, int32_t *region);

/* table (rows, heads) -> out (tokens, padded) for one head. Columns from `tokens` on get -1e30, so that their probability
 * is 0. scratch: w->table floats. */
DGAM_API void dgam_windows_bias(const dgam_windows *w, const float *table, size_t heads, size_t head, float *out,
                                float *scratch);

/* The transpose: adds the sums of dbias (tokens, padded) to column `head` of dtable (rows, heads). scratch: w->table
 * floats. */
DGAM_API void dgam_windows_bias_grad(const dgam_windows *w, const float *dbias, size_t heads, size_t head,
                                     float *dtable, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
