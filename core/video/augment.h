/* augment.h - random changes of the pixels of a clip: colour jitter, RandAugment, gamma jitter, random erasing.
 *
 * First a list of changes is drawn for a clip. Each change is then made to all frames of the clip with the same value. Values
 * and rounding are torchvision's (0.15 and newer) for uint8 tensors. What a change takes from the picture (the mean for
 * contrast, the extremes for autocontrast, the histogram for equalise) it takes PER FRAME:
 *   BRIGHTNESS v   v p                                     CONTRAST v    v p + (1 - v) mean of the frame's grey
 *   SATURATION v   v p + (1 - v) grey of the pixel         SHARPNESS v   v p + (1 - v) its blur, (1 1 1, 1 5 1, 1 1 1) / 13
 *                  all four cut to 0 .. 255, fraction dropped; grey = .2989 R + .587 G + .114 B
 *   HUE v          hue + v turns, -.5 .. .5                GAMMA v       255 (p / 255)^(1/v), rounded: above 1 brightens
 *   POSTERISE v    keeps v bits                            SOLARISE v    255 - p where p >= v
 *   AUTOCONTRAST   each channel stretched to 0 .. 255      EQUALISE      each channel's histogram, as PIL does
 *   SHEAR_X v, SHEAR_Y v      by v pixels a pixel, from the upper left corner
 *   TRANSLATE_X v, TRANSLATE_Y v   by v pixels, fraction dropped
 *   ROTATE v       by v degrees, counter-clockwise, about the middle
 *                  these five take the nearest pixel and 0 where there is none
 *   ERASE          the rectangle (x, y, w, h) gets the value v, or, with noise set, mean + z deviation of ImageNet's pixels,
 *                  z normal per pixel and channel, the same in all frames
 */
#ifndef DGAM_VIDEO_AUGMENT_H
#define DGAM_VIDEO_AUGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_change_kind {
  DGAM_IDENTITY, DGAM_SHEAR_X, DGAM_SHEAR_Y, DGAM_TRANSLATE_X, DGAM_TRANSLATE_Y, DGAM_ROTATE, DGAM_BRIGHTNESS, DGAM_SATURATION,
  DGAM_CONTRAST, DGAM_SHARPNESS, DGAM_POSTERISE, DGAM_SOLARISE, DGAM_AUTOCONTRAST, DGAM_EQUALISE_PIL, /* RandAugment's, in its order */
  DGAM_HUE, DGAM_GAMMA, DGAM_ERASE,
  DGAM_CHANGE_KINDS
} dgam_change_kind;

typedef struct dgam_change {
  dgam_change_kind kind;
  double value;
  int x, y, w, h;      /* ERASE */
  int noisy;           /* ERASE: 1 for noise, drawn from (noise[0], noise[1]) */
  uint64_t noise[2];
} dgam_change;

/* What to draw from. Every pair is a range {least, most}, drawn uniformly. */
typedef struct dgam_augment {
  double brightness[2], contrast[2], saturation[2]; /* 0 or more; {1,1}: not changed */
  double hue[2];                                    /* -.5 .. .5; {0,0}: not changed */
  int ops, magnitude;                               /* RandAugment: changes per clip (0: none), strength 0 .. 30 */
  double gamma[2];                                  /* above 0, drawn uniformly in its logarithm; {1,1}: not changed */
  double erase;                                     /* probability of erasing a rectangle */
  double erase_area[2], erase_ratio[2];             /* its share of the picture; height / width, log-uniform */
  int erase_fill;                                   /* 0 .. 255, or -1 for noise */
} dgam_augment;

enum { DGAM_CHANGES = 16, DGAM_AUGMENT_OPS = 8 };

/* Changes nothing. Its ranges for erasing, once `erase` is set, are torchvision's (.02 to .33, .3 to 3.3), and the fill is 0. */
DGAM_API dgam_augment dgam_augment_none(void);
/* 1 if anything can be changed. */
DGAM_API int dgam_augment_any(const dgam_augment *a);
/* DGAM_EINVAL with the option's name if a range makes no sense. */
DGAM_API dgam_status dgam_augment_check(const dgam_augment *a);

/* Draws the changes for a clip of w x h pixels, in the order in which they are to be made: colour jitter (its four parts in random
 * order), RandAugment, gamma, erasing. Returns how many. */
DGAM_API int dgam_augment_draw(const dgam_augment *a, int w, int h, dgam_rng *rng, dgam_change changes[DGAM_CHANGES]);

/* A clip in memory: pixel (c, t, row, column) is at c plane + t frame + row w + column. */
typedef struct dgam_pixels {
  uint8_t *data;
  size_t frames, plane, frame;
  int w, h;
} dgam_pixels;

/* Scratch that dgam_change_run wants for w x h pixels, in bytes. */
DGAM_API size_t dgam_change_scratch(int w, int h);

/* Makes one change, in place, on the calling thread. DGAM_EINVAL: a value out of range or not a number. */
DGAM_API dgam_status dgam_change_run(const dgam_change *change, const dgam_pixels *clip, void *scratch);

/* "rotate", "brightness" ...; and back: DGAM_CHANGE_KINDS if there is no such name. */
DGAM_API const char *dgam_change_name(dgam_change_kind kind);
DGAM_API dgam_change_kind dgam_change_kind_of(const char *name);

#ifdef __cplusplus
}
#endif
#endif
