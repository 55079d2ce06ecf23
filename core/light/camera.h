/* camera.h - a physical model of a cheap camera in the dark: light in, 8 bit out.
 *
 *     dgam_camera_model m = *dgam_camera_find("brio");
 *     dgam_camera_jitter(&m, 1.5, seed, stream);
 *     dgam_camera_expose(&m, lux, mean, 0.18, &x);        // auto exposure, then gain
 *     dgam_camera_open(&c, &m, width, height, x, DGAM_CAMERA_ALL, seed, stream);
 *     for each frame: dgam_camera_frame(c, light, rgb);
 *     dgam_camera_close(&c);
 *
 * Per pixel, with L the linear light of the channel the colour filter lets through, in units of a white surface under
 * `lux` (noise after ELD, Wei et al., CVPR 2020; log sigma linear in log gain):
 *
 *     e  = Poisson((S lux t L cfa + dark t)(1 + PRNU)) + sigma_r(G) TukeyLambda(lambda)/sd + row_y + col_x + DSNU
 *     DN = clip(floor(K0 G e + BL + U(-.5, .5)), 0, 1023)
 *
 * then black level, demosaic (RGGB, bilinear), white balance, temporal IIR (v = alpha new + (1 - alpha) old), 3x3 mix
 * (v = (1 - mix) v + mix mean3x3(v)), coring max(v - kappa sigma, 0) with sigma of the dark after the denoiser, colour
 * matrix, BT.709 curve, 8 bit. JPEG is the writer's (core/video/encode.h at `quality`). Row noise is new in every
 * frame; column noise, DSNU and PRNU are the sensor's and stay.
 *
 * Run it at the virtual sensor's resolution: resizing after noise changes the signal-to-noise ratio.
 */
#ifndef DGAM_LIGHT_CAMERA_H
#define DGAM_LIGHT_CAMERA_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The stages, to be switched off one by one for study. */
typedef enum dgam_camera_stage {
  DGAM_CAMERA_SHOT = 1 << 0,      /* Poisson; off: its mean */
  DGAM_CAMERA_READ = 1 << 1,      /* Tukey-lambda read noise */
  DGAM_CAMERA_PATTERN = 1 << 2,   /* row, column, DSNU, PRNU */
  DGAM_CAMERA_QUANTISE = 1 << 3,  /* whole 10-bit numbers and their dither; off: real numbers, still clipped */
  DGAM_CAMERA_BLACK = 1 << 4,     /* the error of the black level; off: subtracted exactly */
  DGAM_CAMERA_BAYER = 1 << 5,     /* colour filter mosaic and demosaic; off: three full planes */
  DGAM_CAMERA_BALANCE = 1 << 6,   /* white balance */
  DGAM_CAMERA_TEMPORAL = 1 << 7,  /* IIR over frames */
  DGAM_CAMERA_SPATIAL = 1 << 8,   /* 3x3 mix */
  DGAM_CAMERA_CORING = 1 << 9,    /* coring */
  DGAM_CAMERA_MATRIX = 1 << 10,   /* colour matrix */
  DGAM_CAMERA_CURVE = 1 << 11,    /* BT.709 curve; off: linear */
  DGAM_CAMERA_NOISE = DGAM_CAMERA_SHOT | DGAM_CAMERA_READ | DGAM_CAMERA_PATTERN,
  DGAM_CAMERA_DENOISE = DGAM_CAMERA_TEMPORAL | DGAM_CAMERA_SPATIAL | DGAM_CAMERA_CORING,
  DGAM_CAMERA_ALL = (1 << 12) - 1
} dgam_camera_stage;

enum { DGAM_CAMERA_STAGES = 12, DGAM_CAMERA_WHITE = 1023 };

typedef struct dgam_camera_model {
  const char *name;
  double sensitivity;   /* S, electrons per lux and second for a white surface through a perfect filter */
  double cfa[3];        /* what the filters pass of it: R, G, B */
  double dark;          /* dark current, electrons per second */
  double prnu;          /* gain differences between pixels, standard deviation */
  double read;          /* sigma_r at the highest gain, electrons */
  double read_slope;    /* d log sigma_r(DN) / d log G; 1 = constant in electrons */
  double tukey;         /* shape of the read noise; 0.14 is nearly Gaussian, below 0 heavy tails */
  double row, column, dsnu; /* electrons */
  double k0;            /* DN per electron at gain 1 */
  double gain_most;     /* Gmax */
  double black;         /* BL, DN */
  double black_error;   /* DN too much that is subtracted */
  double exposure_most; /* t_max, seconds */
  double alpha, mix;    /* denoiser */
  double kappa;         /* coring, in standard deviations of the denoised dark */
  double matrix[9];     /* colour matrix, rows R, G, B, each sums to 1 */
  double balance[3];    /* white balance gains; dgam_camera_balance sets them */
  int quality;          /* JPEG quality 1..100 */
  int width, height;    /* native size */
} dgam_camera_model;

typedef struct dgam_camera_exposure {
  double lux;  /* illuminance of the scene */
  double time; /* seconds */
  double gain; /* G */
} dgam_camera_exposure;

/* A light situation: how bright the scene is and what the exposure control aims at. */
typedef struct dgam_camera_preset {
  const char *name;
  double lux[2]; /* from, to */
  double target; /* mean of the image that the exposure control wants, share of white before the curve */
} dgam_camera_preset;

enum { DGAM_CAMERA_MODELS = 3, DGAM_CAMERA_PRESETS = 5 };
DGAM_API extern const dgam_camera_model dgam_camera_models[DGAM_CAMERA_MODELS];     /* brio, arducam, c920 */
DGAM_API extern const dgam_camera_preset dgam_camera_presets[DGAM_CAMERA_PRESETS];  /* LL, ELL, arid, dark48, bright */
DGAM_API extern const char *const dgam_camera_stage_names[DGAM_CAMERA_STAGES];      /* in the order of the bits */

/* By name, in any case of letters; NULL and a message if there is none. */
DGAM_API const dgam_camera_model *dgam_camera_find(const char *name);
DGAM_API const dgam_camera_preset *dgam_camera_preset_find(const char *name);

/* EINVAL, naming the field, unless every number makes sense. */
DGAM_API dgam_status dgam_camera_check(const dgam_camera_model *model);

/* Makes a unit that differs from others: multiplies sensitivity, dark current and every noise figure by a factor of its own in
 * [1/most, most], uniform in the logarithm. most = 1 changes nothing. */
DGAM_API dgam_status dgam_camera_jitter(dgam_camera_model *model, double most, uint64_t seed, uint64_t stream);

/* White balance for light of a colour (mean 1): undoes the filters and the light's colour. The green gain is 1. */
DGAM_API void dgam_camera_balance(dgam_camera_model *model, const float light[3]);

/* Auto exposure for a scene of mean light `mean` (R, G, B), so that the image's mean reaches `target` of white if it can. It
 * raises first the time, up to exposure_most, then the gain, up to gain_most. */
DGAM_API dgam_status dgam_camera_expose(const dgam_camera_model *model, double lux, const double mean[3], double target,
                                        dgam_camera_exposure *out);

typedef struct dgam_camera dgam_camera;

/* A camera with its fixed patterns. It films some frames in the dark to find the level for its coring. `stages` is a set of
 * dgam_camera_stage. Noise depends on (seed, stream, frame number, row) only. On failure *out is NULL. */
DGAM_API dgam_status dgam_camera_open(dgam_camera **out, const dgam_camera_model *model, int width, int height,
                                      const dgam_camera_exposure *exposure, unsigned stages, uint64_t seed, uint64_t stream);

/* Films one frame: light [3,H,W] float -> rgb [H,W,3] uint8, overwritten. light may be NULL: darkness. Rows are shared
 * among threads (dgam_parallel); the result does not depend on their number. One camera belongs to one caller at a time. */
DGAM_API dgam_status dgam_camera_frame(dgam_camera *camera, const float *light, uint8_t *rgb);

/* The raw sensor numbers [H,W] of the last frame, DN; NULL before the first and with DGAM_CAMERA_BAYER off. */
DGAM_API const float *dgam_camera_raw(const dgam_camera *camera);

/* Standard deviation of the dark after the denoiser, per channel, share of white. */
DGAM_API void dgam_camera_dark_sigma(const dgam_camera *camera, double sigma[3]);

DGAM_API void dgam_camera_close(dgam_camera **camera);

/* --- the distributions, for tests and for other models --- */

/* Quantile function of Tukey's lambda distribution, u in (0,1): (u^l - (1-u)^l)/l, the logistic one for l = 0. */
DGAM_API double dgam_tukey_quantile(double u, double lambda);

/* Its standard deviation (lambda > -0.5). */
DGAM_API double dgam_tukey_sd(double lambda);

#ifdef __cplusplus
}
#endif
#endif
