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
 *
 * Each has a file enhance_NAME.c that ends with its dgam_enhancer: name, options, work. A line in enhance.c lists them. Bindings
 * and Lua read names, options, defaults and ranges from there and have none of their own.
 */
#ifndef DGAM_LIGHT_ENHANCE_H
#define DGAM_LIGHT_ENHANCE_H

#include "base/arena.h"
#include "light/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DGAM_ENHANCE_OPTIONS = 8, DGAM_ENHANCE_VALUES = 8, DGAM_BLUR_MOST = 1024 };

/* The values of an option: `n` of them, the rest 0. */
typedef struct dgam_values {
  size_t n;
  double v[DGAM_ENHANCE_VALUES];
} dgam_values;

typedef enum dgam_option_kind {
  DGAM_FLAG,   /* 0 or 1 */
  DGAM_WHOLE,  /* a whole number */
  DGAM_NUMBER,
  DGAM_PAIR,   /* two whole numbers */
  DGAM_LIST    /* 1 to DGAM_ENHANCE_VALUES numbers */
} dgam_option_kind;

typedef struct dgam_option {
  const char *name;
  dgam_option_kind kind;
  dgam_values standard; /* its default */
  double least, most;   /* range of every value; most 0: any finite float */
  int above;            /* 1: `least` itself is not allowed */
  const char *words;    /* what errors call a value (NULL: the name); for a pair, what they expect: "{down, across}" */
} dgam_option;

typedef struct dgam_enhance dgam_enhance;
struct dgam_frame; /* light/enhance_frame.h */

typedef struct dgam_enhancer {
  const char *name;
  dgam_option options[DGAM_ENHANCE_OPTIONS + 1]; /* up to the first without a name */
  dgam_status (*check)(const dgam_enhance *e, size_t h, size_t w); /* what ranges do not say; may be NULL */
  size_t (*scratch)(const dgam_enhance *e, size_t h, size_t w);    /* bytes for a frame, SIZE_MAX on overflow; may be NULL */
  void (*frame)(const dgam_enhance *e, const struct dgam_frame *f, void *scratch);
} dgam_enhancer;

/* An enhancer with its options, in the order of its table. */
struct dgam_enhance {
  const dgam_enhancer *method;
  dgam_values option[DGAM_ENHANCE_OPTIONS];
};

/* Enhancer i, from 0 on; NULL after the last. */
DGAM_API const dgam_enhancer *dgam_enhancer_at(size_t i);

/* An enhancer by its name, with what the publications use. method is NULL if there is none of that name. */
DGAM_API dgam_enhance dgam_enhance_defaults(const char *name);

/* Sets an option to n values. DGAM_EINVAL, and nothing is set: no such option, a wrong number of values, one out of range. */
DGAM_API dgam_status dgam_enhance_set(dgam_enhance *enhance, const char *option, const double *values, size_t n);

/* DGAM_EINVAL unless there is a method and its options suit frames of h x w pixels. */
DGAM_API dgam_status dgam_enhance_check(const dgam_enhance *enhance, size_t h, size_t w);

/* Bytes of scratch that dgam_enhance_clip wants for this clip with dgam_threads() threads; SIZE_MAX on overflow. */
DGAM_API size_t dgam_enhance_scratch(const dgam_enhance *enhance, const dgam_clip *clip);

/* out (N,3,T,H,W), contiguous, overwritten, not overlapping the clip. Runs on all threads, one frame at a time; the
 * same bits with any number of them. Scratch comes from the arena and is not given back.
 * DGAM_EINVAL: as dgam_enhance_check, or a clip without pixels; DGAM_ENOMEM: the arena is too small;
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
