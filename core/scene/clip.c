/* clip.c - see clip.h */
#include "scene/clip.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "video/encode.h"

enum { WARM_UP = 4 }; /* sensor frames before the first that is kept: what is left of an older one is below 5 % */

dgam_clip_spec dgam_clip_defaults(void) {
  dgam_clip_spec s = {.scene = {.action = &dgam_scene_actions[0], .spot = 1, .scale = .7, .width = 64, .height = 64},
                      .camera = dgam_camera_models[0], .lux = 200, .target = .16, .jitter = 1.5, .stages = DGAM_CAMERA_ALL,
                      .frames = 8, .every = 3, .fps_num = 15, .fps_den = 1, .subframes = 5};
  return s;
}

static double tick(const dgam_clip_spec *s) { return (double)s->fps_den / s->fps_num; }

double dgam_clip_seconds(const dgam_clip_spec *s) { return (s->frames - 1) * s->every * tick(s); }

static dgam_status check(const dgam_clip_spec *s) {
  if (s->frames < 1 || s->frames > 100000) return dgam_fail(DGAM_EINVAL, "frames is %d, expected 1 to 100000", s->frames);
  if (s->every < 1 || s->every > 1000) return dgam_fail(DGAM_EINVAL, "every is %d, expected 1 to 1000", s->every);
  if (s->fps_num < 1 || s->fps_den < 1) return dgam_fail(DGAM_EINVAL, "frame rate is %d/%d, expected more than 0", s->fps_num, s->fps_den);
  if (s->subframes < 1 || s->subframes > 64) return dgam_fail(DGAM_EINVAL, "subframes is %d, expected 1 to 64", s->subframes);
  return DGAM_OK;
}

static dgam_status open_scene(dgam_scene **scene, const dgam_clip_spec *s) {
  dgam_scene_spec spec = s->scene;
  DGAM_TRY(check(s));
  spec.duration = dgam_clip_seconds(s) + tick(s);
  return dgam_scene_open(scene, &spec);
}

typedef dgam_status (*sink)(void *ctx, const uint8_t *rgb);

static dgam_status film(const dgam_clip_spec *s, dgam_scene *scene, sink keep, void *ctx, dgam_clip_result *result) {
  dgam_camera_model m = s->camera;
  dgam_camera_exposure x;
  dgam_camera *camera;
  double mean[3];
  uint64_t stream = dgam_rng_mix(s->scene.clip, 0xca3e2a);
  DGAM_TRY(dgam_camera_jitter(&m, s->jitter, s->scene.seed, stream));
  dgam_camera_balance(&m, dgam_scene_light(scene));
  dgam_scene_mean(scene, mean);
  DGAM_TRY(dgam_camera_expose(&m, s->lux, mean, s->target, &x));
  size_t area = (size_t)s->scene.width * (size_t)s->scene.height;
  DGAM_TRY(dgam_camera_open(&camera, &m, s->scene.width, s->scene.height, &x, s->stages, s->scene.seed, stream));
  float *light = malloc(3 * area * sizeof *light);
  uint8_t *rgb = malloc(3 * area);
  dgam_status status = light && rgb ? DGAM_OK : dgam_fail(DGAM_ENOMEM, "no memory for frames of %d x %d", s->scene.width, s->scene.height);
  double luma = 0, zeros = 0, low = 0;
  for (int f = -WARM_UP; status == DGAM_OK && f <= (s->frames - 1) * s->every; f++) {
    int kept = f >= 0 && f % s->every == 0;
    if (f % 16 == 0 && dgam_interrupted()) status = dgam_fail_interrupted();
    if (status == DGAM_OK) status = dgam_scene_frame(scene, f * tick(s), x.time, s->subframes, light);
    if (status == DGAM_OK) status = dgam_camera_frame(camera, light, rgb);
    if (status == DGAM_OK && kept) status = keep(ctx, rgb);
    for (size_t i = 0; kept && i < area; i++) {
      int y = (299 * rgb[3 * i] + 587 * rgb[3 * i + 1] + 114 * rgb[3 * i + 2] + 500) / 1000;
      luma += y;
      zeros += y == 0;
      low += y <= 2;
    }
  }
  free(light);
  free(rgb);
  dgam_camera_close(&camera);
  double n = (double)area * s->frames;
  if (status == DGAM_OK && result)
    *result = (dgam_clip_result){.time = x.time, .gain = x.gain, .sensitivity = m.sensitivity, .read = m.read,
                                 .luma = luma / n, .zeros = zeros / n, .low = low / n};
  return status;
}

typedef struct memory {
  uint8_t *next;
  size_t size;
} memory;

static dgam_status to_memory(void *ctx, const uint8_t *rgb) {
  memory *m = ctx;
  memcpy(m->next, rgb, m->size);
  m->next += m->size;
  return DGAM_OK;
}

dgam_status dgam_clip_film(const dgam_clip_spec *s, uint8_t *rgb, dgam_clip_result *result) {
  dgam_scene *scene;
  DGAM_TRY(open_scene(&scene, s));
  memory m = {rgb, 3 * (size_t)s->scene.width * (size_t)s->scene.height};
  dgam_status status = film(s, scene, to_memory, &m, result);
  dgam_scene_close(&scene);
  return status;
}

dgam_status dgam_clip_light(const dgam_clip_spec *s, float *rgb) {
  dgam_scene *scene;
  DGAM_TRY(open_scene(&scene, s));
  dgam_status status = DGAM_OK;
  size_t size = 3 * (size_t)s->scene.width * (size_t)s->scene.height;
  for (int f = 0; status == DGAM_OK && f < s->frames; f++, rgb += size)
    status = dgam_scene_frame(scene, f * s->every * tick(s), s->camera.exposure_most, s->subframes, rgb);
  dgam_scene_close(&scene);
  return status;
}

static dgam_status to_file(void *ctx, const uint8_t *rgb) { return dgam_encoder_rgb(ctx, rgb, 0); }

dgam_status dgam_clip_write(const dgam_clip_spec *s, const char *path, dgam_clip_result *result) {
  dgam_scene *scene;
  dgam_encoder *encoder;
  DGAM_TRY(open_scene(&scene, s));
  dgam_encoder_spec e = dgam_encoder_defaults(s->scene.width, s->scene.height, s->fps_num, s->fps_den * s->every);
  e.quality = s->camera.quality;
  e.lazy = 1;
  dgam_status status = dgam_encoder_open(&encoder, path, &e);
  if (status == DGAM_OK) {
    status = film(s, scene, to_file, encoder, result);
    if (status == DGAM_OK)
      status = dgam_encoder_finish(&encoder);
    else
      dgam_encoder_abandon(&encoder);
  }
  dgam_scene_close(&scene);
  return status;
}
