/* scene.h - a person doing something somewhere, rendered in linear light.
 *
 *     dgam_scene_spec s = {.seed = 1, .clip = 7, .action = &dgam_scene_actions[0], .width = 64, ...};
 *     dgam_scene_open(&scene, &s);
 *     for each frame: dgam_scene_frame(scene, time, exposure, 5, rgb);
 *     dgam_scene_close(&scene);
 *
 * Radiance is in units of a white surface at the spot where the person stands, so what reaches the sensor is
 * lux * radiance. The background is computed once, because the camera stands still. The person is 18 anti-aliased capsules,
 * drawn from far to near and shaded as cylinders under a lamp with fall-off and an even ambient part. The light drifts by up
 * to a tenth, so that a change of brightness does not give away a movement. Everything that is a clip's own (heading,
 * cadence, amplitude, phase, tilt, slow drift of the light ...) is drawn from (seed, clip) and nothing else.
 */
#ifndef DGAM_SCENE_SCENE_H
#define DGAM_SCENE_SCENE_H

#include <stddef.h>
#include <stdint.h>

#include "scene/pose.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_scene_spec {
  uint64_t seed, clip;       /* what is random depends on these */
  const dgam_action *action; /* kept, not copied */
  int actor, outfit, location, spot; /* 0-based, see tables.h */
  double scale;              /* height of the standing person over height of the frame, 0.1 to 1 */
  int width, height;         /* pixels, 8 to 8192 */
  double duration;           /* seconds that the action may fill */
  int empty;                 /* 1: the same clip without the person and the shadow */
} dgam_scene_spec;

typedef struct dgam_scene dgam_scene;

/* EINVAL if a field of the spec is out of range, ENOMEM. On failure *out is NULL. */
DGAM_API dgam_status dgam_scene_open(dgam_scene **out, const dgam_scene_spec *spec);

/* The mean of `subframes` moments spread over [time, time + exposure], as a shutter sees it. rgb is [3,H,W] float,
 * overwritten. One scene belongs to one thread at a time. */
DGAM_API dgam_status dgam_scene_frame(dgam_scene *scene, double time, double exposure, int subframes, float *rgb);

/* What was drawn for this clip, e.g. to write it down or to look at joints. */
DGAM_API const dgam_motion *dgam_scene_motion(const dgam_scene *scene);

/* Where a point of the world falls in the frame (pixels, centre of the first pixel at 0.5) and how many pixels a metre
 * is there. Returns 0 if the point is behind the camera. */
DGAM_API int dgam_scene_project(const dgam_scene *scene, dgam_vec3 point, double *x, double *y, double *scale);

/* Mean radiance of the background per channel: what a light meter reads. */
DGAM_API void dgam_scene_mean(const dgam_scene *scene, double mean[3]);

/* Colour of the location's light, mean 1: what a white balance has to undo. */
DGAM_API const float *dgam_scene_light(const dgam_scene *scene);

DGAM_API void dgam_scene_close(dgam_scene **scene); /* NULL inside is fine */

#ifdef __cplusplus
}
#endif
#endif
