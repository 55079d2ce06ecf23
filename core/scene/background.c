/* background.c - ground, walls and sky of a location, by one ray per sample. */
#include <math.h>

#include "scene/internal.h"

/* --- texture --- */

static uint32_t hash2(int32_t x, int32_t y, uint32_t seed) {
  uint32_t h = (uint32_t)x * 0x9E3779B1u ^ (uint32_t)y * 0x85EBCA77u ^ seed * 0xC2B2AE3Du;
  h ^= h >> 15;
  h *= 0x2C1B3C6Du;
  h ^= h >> 12;
  h *= 0x297A2D39u;
  return h ^ h >> 15;
}

static double lattice(int32_t x, int32_t y, uint32_t seed) { return hash2(x, y, seed) * 0x1p-32; }

/* Value noise, two octaves, 0..1. */
static double noise(double x, double y, uint32_t seed) {
  double sum = 0, weight = .65;
  for (int octave = 0; octave < 2; octave++) {
    double fx = floor(x), fy = floor(y), u = x - fx, v = y - fy;
    int32_t i = (int32_t)fx, j = (int32_t)fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    double top = lattice(i, j, seed) * (1 - u) + lattice(i + 1, j, seed) * u;
    double bottom = lattice(i, j + 1, seed) * (1 - u) + lattice(i + 1, j + 1, seed) * u;
    sum += weight * (top * (1 - v) + bottom * v);
    x = 2.03 * x + 17;
    y = 2.03 * y + 31;
    weight = .35;
    seed++;
  }
  return sum;
}

static double ground_pattern(const dgam_location *where, double x, double y, uint32_t seed) {
  double value = 1 + where->contrast * (2 * noise(x / where->grain, y / where->grain, seed) - 1);
  if (where->tile > 0) {
    double u = x / where->tile, v = y / where->tile;
    value *= 1 + .5 * where->contrast * (lattice((int32_t)floor(u), (int32_t)floor(v), seed + 7) - .5);
    if (u - floor(u) < .06 || v - floor(v) < .06) value *= .72; /* joints */
  }
  return value;
}

static double wall_pattern(const dgam_location *where, double x, double z, uint32_t seed) {
  double u = x / where->panel, value = .76 + .48 * noise(2 * x, 2 * z, seed + 11);
  value *= 1 + .4 * (lattice((int32_t)floor(u), 0, seed + 13) - .5);
  return u - floor(u) < .05 ? .75 * value : value;
}

/* --- light --- */

double dgam_lamp_at(const dgam_lamp *lamp, dgam_vec3 p, dgam_vec3 *toward) {
  dgam_vec3 d = {lamp->at.x - p.x, lamp->at.y - p.y, lamp->at.z - p.z};
  double square = d.x * d.x + d.y * d.y + d.z * d.z, length = sqrt(square);
  if (length < .3) length = .3, square = .09;
  if (toward) *toward = (dgam_vec3){d.x / length, d.y / length, d.z / length};
  return (1 - lamp->ambient) * lamp->d0 * lamp->d0 / square;
}

/* --- rays --- */

static void sample(const dgam_location *where, const dgam_scene_view *view, const dgam_lamp *lamp, const dgam_board *board,
                   uint32_t seed, dgam_vec3 ray, double out[3]) {
  enum { SKY, GROUND, WALL, SIDE, BOARD } hit = SKY;
  double nearest = 1e9;
  dgam_vec3 eye = view->eye, normal = {0, 0, 1};
  if (ray.z < -1e-6) nearest = -eye.z / ray.z, hit = GROUND;
  double t = (where->wall_distance - eye.y) / ray.y;
  if (ray.y > 1e-6 && t < nearest && eye.z + t * ray.z < where->wall_height) {
    nearest = t, hit = WALL;
    normal = (dgam_vec3){0, -1, 0};
  }
  if (where->side > 0 && fabs(ray.x) > 1e-6) {
    double side = ray.x > 0 ? where->side : -where->side;
    t = (side - eye.x) / ray.x;
    if (t > 0 && t < nearest) {
      nearest = t, hit = SIDE;
      normal = (dgam_vec3){ray.x > 0 ? -1 : 1, 0, 0};
    }
  }
  if (board->width > 0 && ray.y > 1e-6) {
    t = (board->y - eye.y) / ray.y;
    if (t < nearest && eye.z + t * ray.z < board->height && fabs(eye.x + t * ray.x - board->x) < .5 * board->width) {
      nearest = t, hit = BOARD;
      normal = (dgam_vec3){0, -1, 0};
    }
  }
  /* Boxes stand on the wall's plane and may rise above it (trees). */
  if (hit == SKY || hit == WALL) {
    t = (where->wall_distance - eye.y) / ray.y;
    double x = eye.x + t * ray.x, z = eye.z + t * ray.z;
    if (ray.y > 1e-6)
      for (int b = where->boxes - 1; b >= 0; b--)
        if (fabs(x - where->box[b].x) < .5 * where->box[b].w && z >= where->box[b].z && z < where->box[b].z + where->box[b].h) {
          dgam_vec3 p = {x, where->wall_distance, z}, toward;
          double e = dgam_lamp_at(lamp, p, &toward) * fmax(0, -toward.y) + lamp->ambient;
          double value = .85 + .3 * noise(4 * x, 4 * z, seed + 17);
          for (int c = 0; c < 3; c++) out[c] = where->box[b].albedo[c] * value * e * lamp->colour[c];
          return;
        }
  }
  if (hit == SKY) {
    for (int c = 0; c < 3; c++) out[c] = where->sky[c];
    return;
  }
  dgam_vec3 p = {eye.x + nearest * ray.x, eye.y + nearest * ray.y, eye.z + nearest * ray.z}, toward;
  double facing = dgam_lamp_at(lamp, p, &toward);
  facing *= fmax(0, normal.x * toward.x + normal.y * toward.y + normal.z * toward.z);
  const float *albedo = hit == BOARD ? board->albedo : hit == GROUND ? where->ground : where->wall;
  double value = hit == BOARD    ? .9 + .2 * noise(2 * p.x, 2 * p.z, seed + 19)
                 : hit == GROUND ? ground_pattern(where, p.x, p.y, seed)
                               : wall_pattern(where, hit == WALL ? p.x : p.y, p.z, seed + (hit == SIDE));
  double haze = hit == GROUND && nearest > 25 ? 25 / nearest : 1; /* far ground fades */
  for (int c = 0; c < 3; c++) out[c] = albedo[c] * value * haze * (facing + lamp->ambient) * lamp->colour[c];
}

void dgam_background_render(const dgam_location *where, const dgam_scene_view *view, const dgam_lamp *lamp, const dgam_board *board,
                            uint32_t texture, float *rgb) {
  int side = view->width * view->height > 200000 ? 2 : 3; /* samples along each axis of a pixel */
  size_t plane = (size_t)view->width * view->height;
  for (int y = 0; y < view->height; y++)
    for (int x = 0; x < view->width; x++) {
      double sum[3] = {0, 0, 0}, one[3];
      for (int k = 0; k < side * side; k++) {
        double u = (x + (k % side + .5) / side - view->cx) / view->focal;
        double v = (y + (k / side + .5) / side - view->cy) / view->focal;
        dgam_vec3 ray = {view->forward.x + u * view->right.x + v * view->down.x,
                         view->forward.y + u * view->right.y + v * view->down.y,
                         view->forward.z + u * view->right.z + v * view->down.z};
        sample(where, view, lamp, board, texture, ray, one);
        for (int c = 0; c < 3; c++) sum[c] += one[c];
      }
      for (int c = 0; c < 3; c++) rgb[(size_t)c * plane + (size_t)y * view->width + x] = (float)(sum[c] / (side * side));
    }
}
