/* pose.c - see pose.h */
#include "scene/pose.h"

#include <math.h>

static const double TAU = 6.283185307179586;
static const double DEGREE = 0.017453292519943295;

static dgam_vec3 vec(double x, double y, double z) { return (dgam_vec3){x, y, z}; }
static dgam_vec3 plus(dgam_vec3 a, dgam_vec3 b, double s) { return vec(a.x + s * b.x, a.y + s * b.y, a.z + s * b.z); }
static double dot(dgam_vec3 a, dgam_vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static dgam_vec3 cross(dgam_vec3 a, dgam_vec3 b) {
  return vec(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}
static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* --- time --- */

dgam_timing dgam_motion_timing(const dgam_motion *m) {
  const dgam_action *a = m->action;
  dgam_timing t = {.times = 1};
  if (a->seconds == 0) { /* goes on: at most a tenth of the clip idles at either end */
    t.length = m->duration * .9;
  } else {
    t.length = a->seconds / (m->cadence * m->actor->tempo);
    if (t.length > m->duration * .94) t.length = m->duration * .94;
    t.pause = .3 * t.length;
    if (a->repeats) t.times = (int)clamp(floor((m->duration + t.pause) / (t.length + t.pause)), 1, 100);
  }
  double all = t.times * t.length + (t.times - 1) * t.pause;
  t.begin = m->idle * (m->duration - all);
  return t;
}

/* Rises 0 to 1 over the first `ramp` of u, falls over the last. */
static double envelope(double u, double ramp) {
  double x = clamp(fmin(u, 1 - u) / ramp, 0, 1);
  return x * x * (3 - 2 * x);
}

/* The cubic through the keys: tangents by differences, level at both ends. */
static double keys_at(const dgam_track *t, double u) {
  int n = t->keys;
  if (n == 0) return 0;
  if (u <= t->key[0][0]) return t->key[0][1];
  if (u >= t->key[n - 1][0]) return t->key[n - 1][1];
  int i = 0;
  while (u > t->key[i + 1][0]) i++;
  const double *a = t->key[i], *b = t->key[i + 1];
  double h = b[0] - a[0], x = (u - a[0]) / h, slope[2] = {0, 0};
  for (int e = 0; e < 2; e++) {
    int j = i + e;
    if (j == 0 || j == n - 1) continue;
    double before = (t->key[j][1] - t->key[j - 1][1]) / (t->key[j][0] - t->key[j - 1][0]);
    double after = (t->key[j + 1][1] - t->key[j][1]) / (t->key[j + 1][0] - t->key[j][0]);
    if (before * after > 0) slope[e] = 2 * before * after / (before + after); /* harmonic mean: no overshoot */
  }
  double x2 = x * x, x3 = x2 * x;
  return a[1] * (2 * x3 - 3 * x2 + 1) + h * slope[0] * (x3 - 2 * x2 + x) + b[1] * (3 * x2 - 2 * x3) + h * slope[1] * (x3 - x2);
}

static double fourier(const dgam_track *t, double p) {
  double v = t->mean;
  for (int k = 0; k < DGAM_HARMONICS; k++)
    v += t->wave[k][0] * cos(TAU * (k + 1) * p) + t->wave[k][1] * sin(TAU * (k + 1) * p);
  return v;
}

/* --- degrees of freedom --- */

typedef struct dofs {
  double v[2][DGAM_DOF_COUNT]; /* by side; what exists once is on the left */
} dofs;

static void rest(const dgam_motion *m, double time, dofs *d) {
  for (int s = 0; s < 2; s++) {
    for (int i = 0; i < DGAM_DOF_COUNT; i++) d->v[s][i] = 0;
    d->v[s][DGAM_DOF_HIP] = 2;
    d->v[s][DGAM_DOF_HIP_OUT] = 4;
    d->v[s][DGAM_DOF_KNEE] = 4;
    d->v[s][DGAM_DOF_ARM] = 3 + 2 * m->sway[0] * sin(TAU * (.31 * time + m->sway[3]) + s);
    d->v[s][DGAM_DOF_ARM_OUT] = 9;
    d->v[s][DGAM_DOF_ELBOW] = 12;
  }
  d->v[0][DGAM_DOF_PITCH] = m->actor->lean + 1.2 * m->sway[0] * sin(TAU * (.37 * time + m->sway[1]));
  d->v[0][DGAM_DOF_ROLL] = 1.5 * m->sway[0] * sin(TAU * (.29 * time + m->sway[2]));
  d->v[0][DGAM_DOF_LOOK] = 6 * m->sway[0] * sin(TAU * (.23 * time + m->sway[3]));
}

/* Adds the action's tracks at u (0..1, one execution) and p (periods). */
static void act(const dgam_motion *m, double u, double p, dofs *d) {
  const dgam_action *a = m->action;
  double rise = envelope(u, a->ramp), at = a->reversed ? 1 - u : u;
  int main_side = m->left_handed ? DGAM_LEFT : DGAM_RIGHT;
  for (int i = 0; i < a->tracks; i++) {
    const dgam_track *t = &a->track[i];
    double size = m->amplitude, held = keys_at(t, at), here = rise * fourier(t, p) + held;
    if (a->flight > 0) { /* gait style */
      if (t->dof == DGAM_DOF_ARM) size *= m->actor->swing;
      if (t->dof == DGAM_DOF_HIP || t->dof == DGAM_DOF_KNEE) size *= m->actor->stride;
    }
    if (t->dof == DGAM_DOF_YAW) size = m->left_handed ? 1 : -1; /* a turn is a turn: which way, not how far */
    if (t->dof == DGAM_DOF_ROLL || t->dof == DGAM_DOF_TWIST || t->dof == DGAM_DOF_LOOK) size *= m->left_handed ? 1 : -1;
    switch (t->part) {
      case DGAM_PART_BODY: d->v[0][t->dof] += size * here; break;
      case DGAM_PART_MAIN: d->v[main_side][t->dof] += size * here; break;
      case DGAM_PART_OTHER: d->v[1 - main_side][t->dof] += size * here; break;
      case DGAM_PART_BOTH:
        d->v[0][t->dof] += size * here;
        d->v[1][t->dof] += size * here;
        break;
      default:
        d->v[main_side][t->dof] += size * here;
        d->v[1 - main_side][t->dof] += size * (rise * fourier(t, p + .5) + held);
    }
  }
}

/* Joint limits, and degrees to radians. */
static void limit(dofs *d) {
  static const double range[DGAM_DOF_COUNT][2] = {
      [DGAM_DOF_PITCH] = {-30, 100}, [DGAM_DOF_ROLL] = {-35, 35},   [DGAM_DOF_TWIST] = {-45, 45},
      [DGAM_DOF_NOD] = {-45, 45},    [DGAM_DOF_LOOK] = {-70, 70},   [DGAM_DOF_YAW] = {-1e9, 1e9},
      [DGAM_DOF_UP] = {0, 2},        [DGAM_DOF_HIP] = {-40, 125},   [DGAM_DOF_HIP_OUT] = {-15, 60},
      [DGAM_DOF_KNEE] = {0, 145},    [DGAM_DOF_ARM] = {-60, 180},   [DGAM_DOF_ARM_OUT] = {-10, 172},
      [DGAM_DOF_ARM_TURN] = {-60, 110}, [DGAM_DOF_ELBOW] = {0, 148}};
  for (int s = 0; s < 2; s++)
    for (int i = 0; i < DGAM_DOF_COUNT; i++) {
      d->v[s][i] = clamp(d->v[s][i], range[i][0], range[i][1]);
      if (i != DGAM_DOF_UP) d->v[s][i] *= DEGREE;
    }
}

/* --- the body --- */

/* A limb hanging down, swung `forward` and then `outward` to side `sign` (+1 left), in the axes forward, left, up. */
static dgam_vec3 swing(double forward, double outward, double sign) {
  return vec(sin(forward) * cos(outward), sign * sin(outward), -cos(forward) * cos(outward));
}

/* Places everything relative to the pelvis in body axes (forward, left, up) and reports the lowest sole. */
static double build(const dgam_actor *a, const dofs *d, dgam_pose *p) {
  double h = a->height, pitch = d->v[0][DGAM_DOF_PITCH], roll = d->v[0][DGAM_DOF_ROLL], twist = d->v[0][DGAM_DOF_TWIST];
  dgam_vec3 up = vec(sin(pitch), sin(roll) * cos(pitch), cos(pitch) * cos(roll));
  dgam_vec3 left = vec(-sin(twist), cos(twist), 0); /* made perpendicular to up below */
  left = plus(left, up, -dot(left, up));
  left = plus(vec(0, 0, 0), left, 1 / sqrt(dot(left, left)));
  dgam_vec3 forward = cross(left, up);
  p->pelvis = vec(0, 0, 0);
  p->chest = plus(p->pelvis, up, .205 * h);
  p->neck = plus(p->pelvis, up, .292 * h);
  double nod = d->v[0][DGAM_DOF_NOD];
  p->head = plus(plus(p->neck, up, .085 * h * cos(nod)), forward, .085 * h * sin(nod) + .012 * h);
  double look = d->v[0][DGAM_DOF_LOOK];
  p->face = plus(plus(p->head, forward, .026 * h * cos(look)), left, .026 * h * sin(look));
  double lowest = 1e9;
  for (int s = 0; s < 2; s++) {
    double sign = s == DGAM_LEFT ? 1 : -1;
    double arm = d->v[s][DGAM_DOF_ARM], out = d->v[s][DGAM_DOF_ARM_OUT], turn = d->v[s][DGAM_DOF_ARM_TURN];
    double elbow = d->v[s][DGAM_DOF_ELBOW];
    p->shoulder[s] = plus(plus(p->pelvis, up, .277 * h), left, sign * .112 * h);
    dgam_vec3 local = swing(arm, out, sign), bend = vec(cos(arm), 0, sin(arm));
    dgam_vec3 upper = plus(plus(plus(vec(0, 0, 0), forward, local.x), left, local.y), up, local.z);
    bend = plus(plus(plus(vec(0, 0, 0), forward, bend.x), left, bend.y), up, bend.z);
    bend = plus(bend, upper, -dot(bend, upper));
    bend = plus(vec(0, 0, 0), bend, 1 / sqrt(dot(bend, bend)));
    dgam_vec3 aside = cross(upper, bend);
    bend = plus(plus(vec(0, 0, 0), bend, cos(turn)), aside, -sign * sin(turn));
    dgam_vec3 lower = plus(plus(vec(0, 0, 0), upper, cos(elbow)), bend, sin(elbow));
    p->elbow[s] = plus(p->shoulder[s], upper, .172 * h * a->arms);
    p->wrist[s] = plus(p->elbow[s], lower, .150 * h * a->arms);
    p->hand[s] = plus(p->wrist[s], lower, .045 * h);

    double hip = d->v[s][DGAM_DOF_HIP], knee = d->v[s][DGAM_DOF_KNEE], hip_out = d->v[s][DGAM_DOF_HIP_OUT];
    p->hip[s] = vec(0, sign * .052 * h, -.01 * h);
    p->knee[s] = plus(p->hip[s], swing(hip, hip_out, sign), .245 * h * a->legs);
    p->ankle[s] = plus(p->knee[s], swing(hip - knee, hip_out, sign), .246 * h * a->legs);
    double foot = clamp(.75 * (hip - knee), -1.2, .4); /* the foot follows the shank when that leans back */
    foot *= 1 - .7 * clamp(2.5 * (hip - .1), 0, 1);    /* but stays flat below a bent hip */
    p->toe[s] = plus(p->ankle[s], vec(cos(foot), sign * .15, sin(foot)), .105 * h);
    p->toe[s].z -= .025 * h;
    lowest = fmin(lowest, fmin(p->ankle[s].z - .039 * h, p->toe[s].z - .014 * h));
  }
  return lowest;
}

/* How far the ground moves below a walking body, metres per period: two steps of the swinging leg. */
static double stride_length(const dgam_motion *m) {
  const dgam_action *a = m->action;
  for (int i = 0; i < a->tracks; i++)
    if (a->track[i].dof == DGAM_DOF_HIP) {
      double swing_angle = fabs(a->track[i].wave[0][0]) * m->amplitude * m->actor->stride * DEGREE;
      return 4 * .49 * m->actor->height * m->actor->legs * sin(fmin(swing_angle, 1)) * a->flight;
    }
  return 0;
}

/* Integral of the envelope from 0 to u. */
static double way(double u, double ramp) {
  u = clamp(u, 0, 1);
  double x = clamp(u / ramp, 0, 1), w = ramp * (x * x * x - .5 * x * x * x * x);
  if (u > ramp) w += fmin(u, 1 - ramp) - ramp;
  if (u > 1 - ramp) {
    double y = (1 - u) / ramp;
    w += ramp * (.5 - (y * y * y - .5 * y * y * y * y));
  }
  return w;
}

void dgam_pose_at(const dgam_motion *m, double time, dgam_pose *out) {
  const dgam_action *a = m->action;
  dgam_timing t = dgam_motion_timing(m);
  double since = time - t.begin, cycle = t.length + t.pause;
  int which = (int)clamp(floor(since / cycle), 0, t.times - 1);
  double u = clamp((since - which * cycle) / t.length, 0, 1);
  double period = a->period / (m->cadence * m->actor->tempo);

  dofs d;
  rest(m, time, &d);
  act(m, u, time / period + m->phase, &d);
  limit(&d);
  double lowest = build(m->actor, &d, out);

  /* From body axes to the world. */
  double heading = m->heading + d.v[0][DGAM_DOF_YAW];
  double fx = sin(heading), fy = -cos(heading), x = m->place[0], y = m->place[1], dx = 0, dy = 0;
  if (a->flight > 0) {
    double length = stride_length(m) * t.length / period, most = m->travel_most;
    if (length > most) length = most;
    double s = length * (way(u, a->ramp) / way(1, a->ramp) - .5);
    x += s * fx;
    y += s * fy;
  } else { /* feet stay: the body moves over them */
    dx = -.5 * (out->ankle[0].x + out->ankle[1].x);
    dy = -.5 * (out->ankle[0].y + out->ankle[1].y);
  }
  double lift = -lowest;
  if (a->flight > 0) { /* a runner does not fall while both feet are in the air: no deeper than this, and softly */
    double least = .5 * m->actor->height * m->actor->legs, over = lift - least;
    lift = least + .5 * (over + sqrt(over * over + .0016));
  }
  lift += d.v[0][DGAM_DOF_UP];
  dgam_vec3 *joint = (dgam_vec3 *)out;
  for (size_t i = 0; i < sizeof *out / sizeof *joint; i++) {
    double f = joint[i].x + dx, l = joint[i].y + dy;
    joint[i] = vec(x + f * fx - l * fy, y + f * fy + l * fx, joint[i].z + lift);
  }
}
