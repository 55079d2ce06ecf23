/* clip.h - how the light kernels see a batch of uint8 RGB clips: plain memory with strides.
 *
 * Pixel (n, c, t, y, x) is data[n*sn + c*sc + t*st + y*sh + x]: the pixels of a row are adjacent, everything else is
 * free, so the layouts [N,3,T,H,W] and [N,T,3,H,W], and crops of either, are read in place. Strides are in bytes.
 */
#ifndef DGAM_LIGHT_CLIP_H
#define DGAM_LIGHT_CLIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_clip {
  const uint8_t *data;
  size_t n, t, h, w;        /* clips, frames, rows, columns; always 3 channels */
  ptrdiff_t sn, sc, st, sh; /* bytes from one clip, channel, frame, row to the next */
} dgam_clip;

/* Contiguous [N,3,T,H,W], the models' layout. */
static inline dgam_clip dgam_clip_ncthw(const uint8_t *data, size_t n, size_t t, size_t h, size_t w) {
  ptrdiff_t plane = (ptrdiff_t)(h * w), channel = plane * (ptrdiff_t)t;
  dgam_clip clip = {data, n, t, h, w, 3 * channel, channel, plane, (ptrdiff_t)w};
  return clip;
}

/* Contiguous [N,T,3,H,W], the decoder's layout. */
static inline dgam_clip dgam_clip_ntchw(const uint8_t *data, size_t n, size_t t, size_t h, size_t w) {
  ptrdiff_t plane = (ptrdiff_t)(h * w);
  dgam_clip clip = {data, n, t, h, w, 3 * plane * (ptrdiff_t)t, plane, 3 * plane, (ptrdiff_t)w};
  return clip;
}

/* The plane of channel c of frame t of clip n. */
static inline const uint8_t *dgam_clip_plane(const dgam_clip *clip, size_t n, size_t c, size_t t) {
  return clip->data + (ptrdiff_t)n * clip->sn + (ptrdiff_t)c * clip->sc + (ptrdiff_t)t * clip->st;
}

/* DGAM_EINVAL unless t, h and w are at least 1, a frame has fewer than 2^31 pixels and the whole clip's size does not
 * overflow. n = 0 is allowed everywhere: nothing is read or written. `who` leads the message. */
DGAM_API dgam_status dgam_clip_check(const dgam_clip *clip, const char *who);

/* The values a model sees: after normalisation with the backbone's mean and standard deviation, or as pixels. */
typedef enum dgam_domain {
  DGAM_NORMALISED = 0, /* (v - mean[c]) / std[c], as the official code does everything */
  DGAM_PIXEL = 1       /* pixel values, as the paper's equation 6 does gamma; statistics are those of v / 255 */
} dgam_domain;

/* ImageNet's mean and standard deviation of red, green and blue, in pixel units: the one place that has the numbers. */
#define DGAM_IMAGENET_MEAN 123.675, 116.28, 103.53
#define DGAM_IMAGENET_STD 58.395, 57.12, 57.375

/* Normalisation per channel, in pixel units. */
typedef struct dgam_norm {
  float mean[3], std[3];
} dgam_norm;

/* DGAM_EINVAL unless every mean is finite and every std finite and above 0. */
DGAM_API dgam_status dgam_norm_check(const dgam_norm *norm, const char *who);

#ifdef __cplusplus
}
#endif
#endif
