/* internal.h - what the files of core/scene share and nobody else sees. */
#ifndef DGAM_SCENE_INTERNAL_H
#define DGAM_SCENE_INTERNAL_H

#include "scene/scene.h"

/* A pinhole camera at `eye`, turned down by pitch and about its axis by roll. */
typedef struct dgam_scene_view {
  dgam_vec3 eye, right, down, forward; /* unit axes */
  double focal;                        /* pixels */
  double cx, cy;                       /* principal point, pixels */
  int width, height;
} dgam_scene_view;

/* Light: a lamp with fall-off that gives 1 - ambient at distance d0 on a surface facing it, and an ambient part. */
typedef struct dgam_lamp {
  dgam_vec3 at;
  double d0, ambient;
  float colour[3];
} dgam_lamp;

/* A bright board that stands on the ground behind the person, facing the camera; none if its width is 0. */
typedef struct dgam_board {
  double x, y, width, height; /* m; x is its middle */
  float albedo[3];
} dgam_board;

/* Light of the lamp at a point facing it (without the ambient part); toward: unit vector to the lamp, may be NULL. */
double dgam_lamp_at(const dgam_lamp *lamp, dgam_vec3 p, dgam_vec3 *toward);

/* Fills the background [3,H,W]: ground, walls and sky of the location and the board, several samples a pixel. */
void dgam_background_render(const dgam_location *where, const dgam_scene_view *view, const dgam_lamp *lamp, const dgam_board *board,
                            uint32_t texture, float *rgb);

#endif
