/* histogram.h - 256-bin histograms of uint8 planes, one per channel and frame.
 *
 * A frame's statistics (stats.h) and its gamma tables (gamma.h) follow from these 3 x 256 counts alone, so a clip is
 * read once for both.
 */
#ifndef DGAM_LIGHT_HISTOGRAM_H
#define DGAM_LIGHT_HISTOGRAM_H

#include "light/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Counts of a whole batch: hist (N,T,3,256), overwritten. Runs on all threads, a plane (n, t, c) at a time. */
DGAM_API dgam_status dgam_histogram_clip(const dgam_clip *clip, uint32_t *hist);

/* Counts of one plane of h rows of w pixels, rows `stride` bytes apart: hist (256), overwritten. One thread, no errors,
 * 8 KB of stack. Dark frames have most pixels in few bins, and an increment waits for the last one of the same bin. So
 * neighbours go to eight separate tables. That runs at one pixel a cycle; there is no vector path. */
DGAM_API void dgam_histogram_plane(const uint8_t *plane, size_t h, size_t w, ptrdiff_t stride, uint32_t *hist);

/* The same, one pixel at a time: the reference. */
DGAM_API void dgam_histogram_plane_naive(const uint8_t *plane, size_t h, size_t w, ptrdiff_t stride, uint32_t *hist);

#ifdef __cplusplus
}
#endif
#endif
