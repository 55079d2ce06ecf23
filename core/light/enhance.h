/* enhance.h - classical enhancers of dark frames: uint8 RGB in, uint8 RGB out, every frame by itself.
 *
 *   gamma      255 (v / 255)^(1/gamma), rounded or cut off
 *   equalise   histogram equalisation, as OpenCV's equalizeHist
 *   clahe      contrast-limited adaptive histogram equalisation (Zuiderveld 1994), as OpenCV's CLAHE
 *              both work on Y of YCrCb and leave colour alone, or on each channel by itself
 *   retinex    multi-scale retinex with colour restoration (Jobson, Rahman, Woodell 1997): for each channel
 *              r = mean_s log(v + 1) - log(blur_s(v) + 1), times log(128 (v + 1)) - log(R + G + B + 3) with restoration,
 *              then [m - k d, m + k d] of the frame goes to [0, 255], m and d mean and deviation over all channels
 *   lime       low-light enhancement by an illumination map (Guo, Li, Ling 2017), their sped-up solver: the map T
 *              minimises |T - max_c L|^2 + alpha sum_d W_d / (|D_d max_c L| + e) (D_d T)^2 over both directions d, with
 *              W_d = 1 / (|blur(D_d max_c L)| + e), e = 1e-3; the result is L / max(T, e)^gamma, L = v / 255
 * blur_s is a Gaussian of standard deviation s, cut off at 4 s, borders reflected without repeating the edge pixel. s is at most
 * DGAM_BLUR_MOST; a larger s than the picture gives nearly the picture's mean.
 */
#ifndef DGAM_LIGHT_ENHANCE_H
#define DGAM_LIGHT_ENHANCE_H

#include "base/arena.h"
#include "light/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_enhancer { DGAM_EQUALISE = 0, DGAM_CLAHE, DGAM_RETINEX, DGAM_LIME, DGAM_BRIGHTEN } dgam_enhancer;

enum { DGAM_RETINEX_SCALES = 8, DGAM_BLUR_MOST = 1024 };

typedef struct dgam_enhance {
  dgam_enhancer method;
  int per_channel;                  /* equalise, clahe: 1 for each channel by itself, 0 for luma only */
  float clip_limit;                 /* clahe: times the mean count of a bin; 0 for no limit */
  size_t tiles_x, tiles_y;          /* clahe */
  size_t scales;                    /* retinex: 1 .. DGAM_RETINEX_SCALES */
  float scale[DGAM_RETINEX_SCALES]; /* retinex: standard deviations in pixels */
  float dynamic;                    /* retinex: k above; smaller is harsher */
  int restore;                      /* retinex: 1 for colour restoration */
  float alpha, gamma, sigma;        /* lime: smoothness, exponent of the map, deviation of the blur in W_d */
  double brighten;                  /* gamma: above 1 brightens */
  int truncate;                     /* gamma: 1 to cut off the fraction, 0 to round */
} dgam_enhance;

/* What the publications use: clip limit 2, 8 x 8 tiles; scales 15, 80, 250, k 1.2, restoration; alpha .15, gamma .8,
 * sigma 2; gamma 2.2, rounded. */
DGAM_API dgam_enhance dgam_enhance_defaults(dgam_enhancer method);

/* DGAM_EINVAL unless the parameters are in range for frames of h x w pixels. */
DGAM_API dgam_status dgam_enhance_check(const dgam_enhance *enhance, size_t h, size_t w);

/* Bytes of scratch that dgam_enhance_clip wants for this clip with dgam_threads() threads; SIZE_MAX on overflow. */
DGAM_API size_t dgam_enhance_scratch(const dgam_enhance *enhance, const dgam_clip *clip);

/* out (N,3,T,H,W), contiguous, overwritten, not overlapping the clip. Runs on all threads, one frame at a time; the
 * same bits with any number of them. Scratch comes from the arena and is not given back.
 * DGAM_EINVAL: a parameter out of range, more tiles than rows or columns; DGAM_ENOMEM: the arena is too small;
 * DGAM_EINTERRUPTED between two frames. */
DGAM_API dgam_status dgam_enhance_clip(const dgam_enhance *enhance, const dgam_clip *clip, uint8_t *out,
                                       dgam_arena *arena);

/* The same in place, on the calling thread alone: frame t, channel c is the h w bytes at data + t frame + c plane. Scratch
 * is dgam_enhance_alone_scratch(e, h, w) bytes (SIZE_MAX on overflow), aligned to DGAM_ALIGN. */
DGAM_API size_t dgam_enhance_alone_scratch(const dgam_enhance *enhance, size_t h, size_t w);
DGAM_API dgam_status dgam_enhance_alone(const dgam_enhance *enhance, uint8_t *data, size_t frames, size_t plane,
                                        size_t frame, size_t h, size_t w, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
