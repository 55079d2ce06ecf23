/* sample.h - which frames a network sees and which part of them: temporal sampling, crops and flips, drawn from (seed, stream).
 * Then what is done to their pixels: enhancement of dark frames, random changes.
 *
 * With L = clip_len, s = interval, N frames, C clips; frame numbers from 0; clip i takes start_i + 0, s, 2 s .. (L-1) s, each
 * modulo N, so short videos loop.
 *   DGAM_CLIPS_TRAIN    one clip: start uniform in [0, N - L s + 1), 0 if N < L s. C clips: one uniform in each of C equal
 *                       parts of that range. If the range is shorter than C: drawn from it in ascending order where N is above
 *                       both L s and C, else round(i (N - L s + 1) / C).
 *   DGAM_CLIPS_TEST     avg = (N - L s + 1) / C, start_i = floor(i avg + avg / 2); all 0 if N < L s (MMAction2 0.x, ELLAR)
 *   DGAM_CLIPS_TEST_1X  start_i = round(i m / (C - 1)), m = max(N - (L-1) s - 1, 0); one clip: floor(m / 2) (MMAction2 1.x);
 *                       L = 1: floor(i N / C + N / C / 2)
 *   DGAM_CLIPS_DENSE    all clips inside a window of `window` frames at a random place, starts window/C apart, modulo N
 *   DGAM_CLIPS_DENSE_TEST  `positions` windows spread evenly over the video, C clips in each: positions x C clips
 * All rules are held to MMAction2's own code (tests/golden/make_sampling.py).
 *
 * Crops, of a picture (w, h), to (out_w, out_h):
 *   DGAM_CROP_NONE      the whole picture, squeezed
 *   DGAM_CROP_CENTRE    short side resized to `short_side`, then the centre
 *   DGAM_CROP_THREE     likewise, then left, right, middle (of a tall picture: top, bottom, middle)
 *   DGAM_CROP_TEN       likewise, then the corners (left upper, right upper, left lower, right lower) and the centre, each
 *                       followed by its mirror image
 *   DGAM_CROP_RANDOM    a rectangle with area in area[0..1] of the picture and width / height in ratio[0..1] (log-uniform), 10
 *                       tries, else the largest centred square; resized to (out_w, out_h)
 * Only the random one flips, with probability `flip`, and the same way for all clips.
 */
#ifndef DGAM_VIDEO_SAMPLE_H
#define DGAM_VIDEO_SAMPLE_H

#include <stdint.h>

#include <stdatomic.h>

#include "base/rng.h"
#include "base/status.h"
#include "light/enhance.h"
#include "video/augment.h"
#include "video/decode.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_clips { DGAM_CLIPS_TRAIN, DGAM_CLIPS_TEST, DGAM_CLIPS_TEST_1X, DGAM_CLIPS_DENSE, DGAM_CLIPS_DENSE_TEST } dgam_clips;
typedef enum dgam_crop { DGAM_CROP_NONE, DGAM_CROP_CENTRE, DGAM_CROP_THREE, DGAM_CROP_TEN, DGAM_CROP_RANDOM } dgam_crop;

typedef struct dgam_sampling {
  dgam_clips clips_rule;
  int clip_len, interval, clips; /* L, s, C */
  int window, positions;         /* dense rules only */
  dgam_crop crop;
  int short_side;                /* pixels; centre, three, ten */
  int out_w, out_h;
  double area[2], ratio[2], flip; /* random crop only */
  int frames_first;              /* 0: a view is [3,T,H,W]; 1: [T,3,H,W] */
  int enhanced;                  /* 1: every frame of every view goes through `enhance` */
  dgam_enhance enhance;
  dgam_augment augment;          /* drawn once for a video: all its views get the same changes */
  uint64_t seed, stream;         /* of the draws; use a stream for each (epoch, sample) */
  uint64_t changes;              /* stream of augment's draws; 0: `stream` too */
} dgam_sampling;

/* Kinetics practice: one clip of 32 frames, every 2nd, 224 x 224, area .08 to 1, ratio 3/4 to 4/3, flip .5. */
DGAM_API dgam_sampling dgam_sampling_defaults(void);

/* DGAM_EINVAL with the option's name if a value makes no sense, or for more than 2^20 views or 2^40 bytes of them. */
DGAM_API dgam_status dgam_sampling_check(const dgam_sampling *s);

/* How many views a video gives: clips (times positions) x crops; clip by clip, crops of a clip side by side. */
DGAM_API int dgam_sampling_views(const dgam_sampling *s);
/* Bytes of all views: views x 3 x L x out_h x out_w. */
DGAM_API size_t dgam_sampling_bytes(const dgam_sampling *s);

/* Start frames of all clips of a video of n frames; starts has room for clips (x positions). */
DGAM_API dgam_status dgam_sample_starts(const dgam_sampling *s, int64_t n, dgam_rng *rng, int64_t *starts);

/* All views of a video. frames has room for clips (x positions) x L numbers, views for dgam_sampling_views(s); they point
 * into `frames` and `out` (dgam_sampling_bytes(s) bytes). */
DGAM_API dgam_status dgam_sample_views(const dgam_sampling *s, const dgam_video_info *info, int64_t *frames, dgam_view *views,
                                       uint8_t *out);

/* Samples v into out, [views,3,T,H,W] or [views,T,3,H,W], and enhances. It ends between two frames when *stop is not 0; stop may be
 * NULL. */
DGAM_API dgam_status dgam_video_views_of(dgam_video *v, const dgam_sampling *s, uint8_t *out, const atomic_int *stop);

/* The changes that s->augment draws, from numbers of their own. Returns how many. */
DGAM_API int dgam_sampling_changes(const dgam_sampling *s, dgam_change changes[DGAM_CHANGES]);

/* Makes them, in place, to all views in `out`. */
DGAM_API dgam_status dgam_sampling_augment(const dgam_sampling *s, uint8_t *out);

/* The whole of it: views, enhancement, changes. */
DGAM_API dgam_status dgam_video_sample(dgam_video *v, const dgam_sampling *s, uint8_t *out);

/* 1 if what dgam_video_views_of gives depends on (seed, stream). */
DGAM_API int dgam_sampling_draws(const dgam_sampling *s);

#ifdef __cplusplus
}
#endif
#endif
