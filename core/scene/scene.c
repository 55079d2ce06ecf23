/* scene.c - see scene.h */
#include "scene/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/rng.h"
#include "scene/internal.h"

struct dgam_scene {
  dgam_scene_spec spec;
  dgam_motion motion;
  dgam_scene_view view;
  dgam_lamp lamp;
  dgam_board board;
  int bar[2];          /* columns of a post in front of everything; empty if equal */
  float bar_colour[3]; /* its radiance */
  double mean[3];
  double drift[3]; /* of the light over time: size, frequency (1/s), phase (0..1) */
  dgam_arena memory;
  float *background, *frame; /* [3,H,W] each */
};

/* --- what is random about a clip --- */

static double between(dgam_rng *r, double lo, double hi) { return lo + (hi - lo) * dgam_rng_uniform(r); }

/* Around 1, at most `most` away. */
static double about_one(dgam_rng *r, double most) {
  double z = dgam_rng_normal(r) / 2;
  return 1 + most * (z < -1 ? -1 : z > 1 ? 1 : z);
}

/* Any direction, more often one that shows arms and legs: three quarters towards the camera. */
static double heading(dgam_rng *r) {
  double any = between(r, -3.14159265358979, 3.14159265358979), good = between(r, .45, 1.35);
  int left = dgam_rng_uniform(r) < .5;
  if (dgam_rng_uniform(r) < .35) return any;
  return left ? good : -good;
}

static dgam_status check(const dgam_scene_spec *s) {
  if (!s->action) return dgam_fail(DGAM_EINVAL, "the scene has no action");
  DGAM_TRY(dgam_action_check(s->action));
  const struct { const char *name; int value, count; } index[] = {
      {"actor", s->actor, DGAM_ACTORS}, {"outfit", s->outfit, DGAM_OUTFITS},
      {"location", s->location, DGAM_LOCATIONS}, {"spot", s->spot, DGAM_SPOTS}};
  for (size_t i = 0; i < sizeof index / sizeof *index; i++)
    if (index[i].value < 0 || index[i].value >= index[i].count)
      return dgam_fail(DGAM_EINVAL, "%s is number %d, expected 0 to %d", index[i].name, index[i].value, index[i].count - 1);
  if (s->width < 8 || s->width > 8192 || s->height < 8 || s->height > 8192)
    return dgam_fail(DGAM_EINVAL, "frame is %d x %d, expected 8 to 8192 each", s->width, s->height);
  if (!(s->scale >= .1 && s->scale <= 1)) return dgam_fail(DGAM_EINVAL, "scale is %g, expected 0.1 to 1", s->scale);
  if (!(s->duration > 0 && s->duration <= 3600))
    return dgam_fail(DGAM_EINVAL, "duration is %g s, expected more than 0, at most 3600", s->duration);
  return DGAM_OK;
}

/* Puts the camera so that the standing person has the wanted size and the feet are near the lower edge. */
static void place_camera(dgam_scene *s, dgam_rng *r) {
  const dgam_scene_spec *spec = &s->spec;
  dgam_scene_view *v = &s->view;
  double person = dgam_scene_actors[spec->actor].height, eye = between(r, 1.0, 1.75);
  double tilt = about_one(r, .055) - 1, field = about_one(r, .15), foot_line = between(r, .91, .95);
  v->width = spec->width;
  v->height = spec->height;
  v->focal = 1.35 * field * spec->height;
  double distance = v->focal * person / (spec->scale * spec->height);
  double pitch = atan2(eye - .5 * person, distance);
  v->eye = (dgam_vec3){0, -distance, eye};
  double cp = cos(pitch), sp = sin(pitch), ct = cos(tilt), st = sin(tilt);
  dgam_vec3 right = {1, 0, 0}, down = {0, -sp, -cp};
  v->forward = (dgam_vec3){0, cp, -sp};
  v->right = (dgam_vec3){ct * right.x + st * down.x, ct * right.y + st * down.y, ct * right.z + st * down.z};
  v->down = (dgam_vec3){ct * down.x - st * right.x, ct * down.y - st * right.y, ct * down.z - st * right.z};
  v->cx = .5 * spec->width;
  v->cy = .5 * spec->height;
  double x, y, scale;
  dgam_scene_project(s, (dgam_vec3){0, 0, 0}, &x, &y, &scale);
  v->cy += foot_line * spec->height - y;

  /* Spots: left, centre, right of the frame by a sixth of its width. */
  double half = .5 * spec->width / v->focal * distance;
  s->motion.place[0] = half * ((spec->spot - 1) * .34 + between(r, -.06, .06));
  s->motion.place[1] = between(r, -.15, .15);
  s->motion.travel_most = 1.15 * half;
}

/* Dark clothes get a bright board behind them, so that in half of the clips the person is darker than what they cover. A
 * frame's mean and deviation then rise with the visible area of the body as often as they fall, and say nothing of the
 * action; see docs/dataset.md. */
static void stand_board(dgam_scene *s, dgam_rng *r) {
  const dgam_outfit *wears = &dgam_scene_outfits[s->spec.outfit];
  double brightness = 0;
  for (int c = 0; c < 3; c++) brightness += (wears->top[c] + wears->bottom[c]) / 6;
  dgam_board board;
  board.x = s->motion.place[0] + between(r, -.2, .2);
  board.y = s->motion.place[1] + between(r, .5, 1);
  board.width = between(r, 1.4, 1.8);
  board.height = between(r, 1.95, 2.25);
  board.albedo[0] = board.albedo[1] = board.albedo[2] = (float)between(r, .4, .55);
  if (brightness < .25) s->board = board;
}

static void draw_lots(dgam_scene *s) {
  const dgam_scene_spec *spec = &s->spec;
  dgam_rng r;
  dgam_rng_init(&r, spec->seed, dgam_rng_mix(spec->clip, 0x5ce9e));
  const dgam_actor *who = &dgam_scene_actors[spec->actor];
  dgam_motion *m = &s->motion;
  m->action = spec->action;
  m->actor = who;
  m->duration = spec->duration;
  m->cadence = about_one(&r, .25);
  m->amplitude = about_one(&r, .3);
  m->phase = dgam_rng_uniform(&r);
  m->heading = heading(&r);
  m->left_handed = dgam_rng_uniform(&r) < .25 + .5 * who->left_handed;
  m->idle = dgam_rng_uniform(&r);
  m->sway[0] = between(&r, .4, 1.6);
  for (int i = 1; i < 4; i++) m->sway[i] = dgam_rng_uniform(&r);

  place_camera(s, &r);

  const dgam_location *where = &dgam_scene_locations[spec->location];
  dgam_vec3 spot = {s->motion.place[0], s->motion.place[1], 1};
  s->lamp.at.x = where->lamp[0] + between(&r, -.4, .4);
  s->lamp.at.y = where->lamp[1] + between(&r, -.3, .3);
  s->lamp.at.z = where->lamp[2] + between(&r, -.2, .2);
  double dx = s->lamp.at.x - spot.x, dy = s->lamp.at.y - spot.y, dz = s->lamp.at.z - spot.z;
  s->lamp.d0 = sqrt(dx * dx + dy * dy + dz * dz);
  s->lamp.ambient = where->ambient;
  memcpy(s->lamp.colour, where->light, sizeof s->lamp.colour);

  s->drift[0] = between(&r, 0, .1);
  s->drift[1] = between(&r, .2, .9);
  s->drift[2] = dgam_rng_uniform(&r);

  int post = dgam_rng_uniform(&r) < .15;
  double centre = between(&r, .12, .88), width = between(&r, .05, .11), albedo = between(&r, .05, .3);
  if (post) {
    s->bar[0] = (int)((centre - .5 * width) * spec->width);
    s->bar[1] = (int)((centre + .5 * width) * spec->width);
    for (int c = 0; c < 3; c++) s->bar_colour[c] = (float)(albedo * where->ambient) * where->light[c];
  }

  stand_board(s, &r);
}

int dgam_scene_project(const dgam_scene *s, dgam_vec3 p, double *x, double *y, double *scale) {
  const dgam_scene_view *v = &s->view;
  dgam_vec3 d = {p.x - v->eye.x, p.y - v->eye.y, p.z - v->eye.z};
  double depth = d.x * v->forward.x + d.y * v->forward.y + d.z * v->forward.z;
  if (depth < .1) return 0;
  *scale = v->focal / depth;
  *x = v->cx + *scale * (d.x * v->right.x + d.y * v->right.y + d.z * v->right.z);
  *y = v->cy + *scale * (d.x * v->down.x + d.y * v->down.y + d.z * v->down.z);
  return 1;
}

/* --- capsules --- */

typedef struct capsule {
  float x0, y0, r0, x1, y1, r1; /* pixels */
  float depth;
  float lit[3], dark[3]; /* radiance facing the lamp, and with ambient light only */
  float nx, ny, nz;      /* direction to the lamp: right, down, towards the camera */
} capsule;

enum { MOST_CAPSULES = 24 };

typedef struct figure {
  int count;
  capsule part[MOST_CAPSULES];
} figure;

static void add(const dgam_scene *s, figure *f, dgam_vec3 a, dgam_vec3 b, double ra, double rb, const float albedo[3],
                double nearer) {
  double xa, ya, sa, xb, yb, sb;
  if (f->count == MOST_CAPSULES || !dgam_scene_project(s, a, &xa, &ya, &sa) || !dgam_scene_project(s, b, &xb, &yb, &sb)) return;
  capsule *c = &f->part[f->count++];
  const dgam_scene_view *v = &s->view;
  dgam_vec3 middle = {.5 * (a.x + b.x), .5 * (a.y + b.y), .5 * (a.z + b.z)}, toward;
  double e = dgam_lamp_at(&s->lamp, middle, &toward);
  *c = (capsule){.x0 = (float)xa, .y0 = (float)ya, .r0 = (float)(ra * sa), .x1 = (float)xb, .y1 = (float)yb, .r1 = (float)(rb * sb)};
  c->depth = (float)(v->focal / (.5 * (sa + sb)) - nearer);
  c->nx = (float)(toward.x * v->right.x + toward.y * v->right.y + toward.z * v->right.z);
  c->ny = (float)(toward.x * v->down.x + toward.y * v->down.y + toward.z * v->down.z);
  c->nz = (float)-(toward.x * v->forward.x + toward.y * v->forward.y + toward.z * v->forward.z);
  for (int k = 0; k < 3; k++) {
    c->lit[k] = (float)(albedo[k] * s->lamp.colour[k] * e);
    c->dark[k] = (float)(albedo[k] * s->lamp.colour[k] * s->lamp.ambient);
  }
}

static void dress(const dgam_scene *s, const dgam_pose *p, figure *f) {
  const dgam_actor *who = s->motion.actor;
  const dgam_outfit *wears = &dgam_scene_outfits[s->spec.outfit];
  double h = who->height, g = h * who->girth;
  const float *sleeve = wears->long_sleeves ? wears->top : who->skin, *leg = wears->long_legs ? wears->bottom : who->skin;
  f->count = 0;
  add(s, f, p->pelvis, p->chest, .076 * g, .084 * g, wears->top, 0);
  add(s, f, p->shoulder[0], p->shoulder[1], .046 * g, .046 * g, wears->top, .01);
  add(s, f, p->hip[0], p->hip[1], .062 * g, .062 * g, wears->bottom, .01);
  add(s, f, p->neck, p->head, .034 * g, .034 * g, who->skin, .01);
  add(s, f, p->head, p->head, .066 * h, .066 * h, who->skin, .02);
  dgam_vec3 crown = {2 * p->head.x - p->face.x, 2 * p->head.y - p->face.y, 2 * p->head.z - p->face.z + .026 * h}; /* hair */
  add(s, f, crown, crown, .060 * h, .060 * h, who->hair, .021);
  for (int i = 0; i < 2; i++) {
    add(s, f, p->shoulder[i], p->elbow[i], .038 * g, .032 * g, wears->top, 0);
    add(s, f, p->elbow[i], p->wrist[i], .030 * g, .024 * g, sleeve, .01);
    add(s, f, p->hand[i], p->hand[i], .029 * h, .029 * h, who->skin, .02);
    add(s, f, p->hip[i], p->knee[i], .056 * g, .043 * g, wears->bottom, 0);
    add(s, f, p->knee[i], p->ankle[i], .041 * g, .030 * g, leg, .005);
    add(s, f, p->ankle[i], p->toe[i], .025 * h, .018 * h, wears->shoes, .01);
  }
  for (int i = 1; i < f->count; i++) { /* far ones first */
    capsule c = f->part[i];
    int j = i;
    for (; j > 0 && f->part[j - 1].depth < c.depth; j--) f->part[j] = f->part[j - 1];
    f->part[j] = c;
  }
}

static void paint(const capsule *c, int width, int height, float *rgb) {
  float r = fmaxf(c->r0, c->r1) + 1;
  int left = (int)floorf(fminf(c->x0, c->x1) - r), right = (int)ceilf(fmaxf(c->x0, c->x1) + r);
  int top = (int)floorf(fminf(c->y0, c->y1) - r), bottom = (int)ceilf(fmaxf(c->y0, c->y1) + r);
  if (left < 0) left = 0;
  if (top < 0) top = 0;
  if (right > width) right = width;
  if (bottom > height) bottom = height;
  float dx = c->x1 - c->x0, dy = c->y1 - c->y0, dr = c->r1 - c->r0, square = dx * dx + dy * dy;
  float scale = square > 1e-6f ? 1 / square : 0;
  size_t plane = (size_t)width * (size_t)height;
  for (int y = top; y < bottom; y++) {
    float *row = rgb + (size_t)y * (size_t)width, py = (float)y + .5f - c->y0;
    for (int x = left; x < right; x++) {
      float px = (float)x + .5f - c->x0, t = (px * dx + py * dy) * scale;
      t = t < 0 ? 0 : t > 1 ? 1 : t;
      float ax = px - t * dx, ay = py - t * dy, radius = c->r0 + t * dr, d2 = ax * ax + ay * ay;
      if (d2 >= (radius + .5f) * (radius + .5f)) continue;
      float cover = radius + .5f - sqrtf(d2), most = radius < .5f ? 2 * radius : 1;
      cover = cover > most ? most : cover;
      float inverse = 1 / fmaxf(radius, .5f), nx = ax * inverse, ny = ay * inverse, n2 = nx * nx + ny * ny;
      float nz = n2 < 1 ? sqrtf(1 - n2) : 0;
      float shade = nx * c->nx + ny * c->ny + nz * c->nz;
      shade = .3f + .7f * (shade > 0 ? shade : 0); /* light that the ground throws back */
      for (int k = 0; k < 3; k++) {
        float *out = row + (size_t)k * plane + x;
        *out += cover * (c->dark[k] + shade * c->lit[k] - *out);
      }
    }
  }
}

/* The soft shadow where the body meets the ground. */
static void paint_shadow(const dgam_scene *s, const dgam_pose *p, float *rgb) {
  int width = s->view.width, height = s->view.height;
  size_t plane = (size_t)width * (size_t)height;
  for (int i = 0; i < 2; i++) {
    dgam_vec3 foot = {.5 * (p->ankle[i].x + p->toe[i].x), .5 * (p->ankle[i].y + p->toe[i].y), 0};
    double x, y, scale, high = fmin(p->ankle[i].z, p->toe[i].z);
    if (!dgam_scene_project(s, foot, &x, &y, &scale)) continue;
    double rx = (.20 + .5 * high) * scale, ry = rx * .3, dark = .5 / (1 + 8 * high);
    int top = (int)fmax(0, floor(y - ry)), bottom = (int)fmin(height, ceil(y + ry));
    int left = (int)fmax(0, floor(x - rx)), right = (int)fmin(width, ceil(x + rx));
    for (int v = top; v < bottom; v++)
      for (int u = left; u < right; u++) {
        double a = (u + .5 - x) / rx, b = (v + .5 - y) / ry, q = 1 - a * a - b * b;
        if (q <= 0) continue;
        float keep = (float)(1 - dark * q);
        for (int c = 0; c < 3; c++) rgb[(size_t)c * plane + (size_t)v * width + u] *= keep;
      }
  }
}

/* --- the clip --- */

dgam_status dgam_scene_open(dgam_scene **out, const dgam_scene_spec *spec) {
  *out = NULL;
  DGAM_TRY(check(spec));
  size_t n = 3 * (size_t)spec->width * (size_t)spec->height;
  dgam_scene *s = calloc(1, sizeof *s);
  if (!s) return dgam_fail(DGAM_ENOMEM, "no memory for a scene");
  dgam_status status = dgam_arena_init(&s->memory, 2 * dgam_arena_need(n, sizeof(float)));
  if (status != DGAM_OK) {
    free(s);
    return status;
  }
  s->background = dgam_arena_alloc(&s->memory, n, sizeof(float));
  s->frame = dgam_arena_alloc(&s->memory, n, sizeof(float));
  s->spec = *spec;
  draw_lots(s);
  dgam_background_render(&dgam_scene_locations[spec->location], &s->view, &s->lamp, &s->board, 977u * (uint32_t)spec->location, s->background);
  for (int c = 0; c < 3; c++) {
    double sum = 0;
    for (size_t i = 0; i < n / 3; i++) sum += (double)s->background[(size_t)c * (n / 3) + i];
    s->mean[c] = sum / (double)(n / 3);
  }
  *out = s;
  return DGAM_OK;
}

dgam_status dgam_scene_frame(dgam_scene *s, double time, double exposure, int subframes, float *rgb) {
  if (subframes < 1 || subframes > 64) return dgam_fail(DGAM_EINVAL, "subframes is %d, expected 1 to 64", subframes);
  int width = s->view.width, height = s->view.height, steps = s->spec.empty ? 1 : subframes;
  size_t plane = (size_t)width * (size_t)height, n = 3 * plane;
  float light = (float)(1 + s->drift[0] * sin(6.283185307179586 * (s->drift[1] * time + s->drift[2])));
  for (int k = 0; k < steps; k++) {
    float *into = steps == 1 ? rgb : s->frame;
    memcpy(into, s->background, n * sizeof *into);
    if (!s->spec.empty) {
      dgam_pose pose;
      figure body;
      dgam_pose_at(&s->motion, time + exposure * (k + .5) / steps, &pose);
      paint_shadow(s, &pose, into);
      dress(s, &pose, &body);
      for (int i = 0; i < body.count; i++) paint(&body.part[i], width, height, into);
    }
    if (steps == 1) break;
    if (k == 0)
      memcpy(rgb, into, n * sizeof *rgb);
    else
      for (size_t i = 0; i < n; i++) rgb[i] += into[i];
  }
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < height; y++)
      for (int x = s->bar[0]; x < s->bar[1]; x++) rgb[(size_t)c * plane + (size_t)y * width + x] = s->bar_colour[c] * (float)steps;
  light /= (float)steps;
  for (size_t i = 0; i < n; i++) rgb[i] *= light;
  return DGAM_OK;
}

const dgam_motion *dgam_scene_motion(const dgam_scene *s) { return &s->motion; }

void dgam_scene_mean(const dgam_scene *s, double mean[3]) {
  for (int c = 0; c < 3; c++) mean[c] = s->mean[c];
}

const float *dgam_scene_light(const dgam_scene *s) { return s->lamp.colour; }

void dgam_scene_close(dgam_scene **scene) {
  if (!*scene) return;
  dgam_arena_free(&(*scene)->memory);
  free(*scene);
  *scene = NULL;
}
