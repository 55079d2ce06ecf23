/* clip.h - a scene in front of a camera: one clip of the built-in dataset, in memory or as an AVI file.
 *
 * The sensor runs at its own frame rate; one frame in `every` is kept. Before the first one it films the idle person for a
 * few frames, so that the temporal denoiser settles.
 */
#ifndef DGAM_SCENE_CLIP_H
#define DGAM_SCENE_CLIP_H

#include "light/camera.h"
#include "scene/scene.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_clip_spec {
  dgam_scene_spec scene;         /* its duration is set from the numbers below */
  dgam_camera_model camera;      /* before jitter and white balance */
  double lux, target;            /* illuminance at the spot; what auto exposure aims at */
  double jitter;                 /* 1: every unit of this camera is alike */
  unsigned stages;               /* set of dgam_camera_stage */
  int frames;                    /* kept, 1 to 100000 */
  int every;                     /* sensor frames per kept one, 1 to 1000 */
  int fps_num, fps_den;          /* of the sensor */
  int subframes;                 /* moments averaged over the exposure, 1 to 64 */
} dgam_clip_spec;

/* What came out: for metadata and statistics. Luma as in JPEG, before compression. */
typedef struct dgam_clip_result {
  double time, gain;          /* exposure */
  double sensitivity, read;   /* of this unit */
  double luma, zeros, low;    /* mean, share of 0, share of at most 2 */
} dgam_clip_result;

/* 64 x 64, 8 frames, everything on, seed 0, walking; change what differs. */
DGAM_API dgam_clip_spec dgam_clip_defaults(void);

/* Films into memory: rgb is [F,H,W,3] uint8, overwritten. result may be NULL. */
DGAM_API dgam_status dgam_clip_film(const dgam_clip_spec *spec, uint8_t *rgb, dgam_clip_result *result);

/* Films the light itself, without a camera: rgb is [F,3,H,W] float, linear. */
DGAM_API dgam_status dgam_clip_light(const dgam_clip_spec *spec, float *rgb);

/* Films into an AVI file, MJPEG 4:2:0 at the camera's quality. The file is whole or absent. It is not synced to disk, because it
 * can be made again; sync the folder when all files are done. */
DGAM_API dgam_status dgam_clip_write(const dgam_clip_spec *spec, const char *path, dgam_clip_result *result);

/* Seconds from the first kept frame to the last. */
DGAM_API double dgam_clip_seconds(const dgam_clip_spec *spec);

#ifdef __cplusplus
}
#endif
#endif
