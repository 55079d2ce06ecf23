/* Tests of core/scene: data tables, body, renderer, clips, and the target ranges of the dataset on rendered clips. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parallel.h"
#include "scene/clip.h"

static dgam_scene_spec plain_scene(int action) {
  return (dgam_scene_spec){.seed = 1, .clip = (uint64_t)action, .action = &dgam_scene_actions[action], .spot = 1, .scale = .7,
                           .width = 64, .height = 64, .duration = 1.5};
}

/* --- data --- */

static void tables_make_sense(void **state) {
  (void)state;
  for (int i = 0; i < DGAM_ACTIONS; i++) assert_ok(dgam_action_check(&dgam_scene_actions[i]));
  for (int i = 0; i < DGAM_OUTFITS; i++)
    for (int c = 0; c < 3; c++) {
      const dgam_outfit *o = &dgam_scene_outfits[i];
      assert_true(o->top[c] >= .04f && o->top[c] <= .7f && o->bottom[c] >= .04f && o->bottom[c] <= .7f);
    }
  int outdoor = 0;
  for (int i = 0; i < DGAM_LOCATIONS; i++) outdoor += dgam_scene_locations[i].outdoor;
  assert_int_equal(outdoor, 3);
  dgam_action bad = dgam_scene_actions[0];
  bad.period = 0;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "period");
  bad = dgam_scene_actions[3];
  bad.track[0].key[1][0] = 0;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "key 2");
  bad = dgam_scene_actions[3];
  bad.track[0].part = DGAM_PART_BODY;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "track 1");
  bad = dgam_scene_actions[0];
  bad.track[1].mean = NAN;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "track 2 has mean nan");
  bad = dgam_scene_actions[0];
  bad.track[1].wave[1][1] = INFINITY;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "wave 2 is (-8, inf)");
  bad = dgam_scene_actions[0];
  bad.flight = INFINITY;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "flight inf");
  bad.tracks = 99;
  assert_fails(dgam_action_check(&bad), DGAM_EINVAL, "99 tracks");
}

/* --- body --- */

static double distance(dgam_vec3 a, dgam_vec3 b) {
  return sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y) + (a.z - b.z) * (a.z - b.z));
}

/* Bones keep their length, nothing sinks into the ground, none flies away, the pose is continuous. */
static void bodies_hold_together(void **state) {
  (void)state;
  for (int a = 0; a < DGAM_ACTIONS; a++)
    for (int clip = 0; clip < 20; clip++) {
      dgam_scene_spec s = plain_scene(a);
      dgam_scene *scene;
      s.clip = (uint64_t)clip;
      s.actor = clip % DGAM_ACTORS;
      assert_ok(dgam_scene_open(&scene, &s));
      const dgam_motion *m = dgam_scene_motion(scene);
      dgam_pose p, q = {0}, first;
      dgam_pose_at(m, 0, &first);
      double fastest = 0;
      for (int i = 0; i <= 300; i++) {
        dgam_pose_at(m, i * .005, &p);
        double h = m->actor->height;
        for (int k = 0; k < 2; k++) {
          assert_true(fabs(distance(p.shoulder[k], p.elbow[k]) - distance(first.shoulder[k], first.elbow[k])) < 1e-6);
          assert_true(fabs(distance(p.elbow[k], p.wrist[k]) - distance(first.elbow[k], first.wrist[k])) < 1e-6);
          assert_true(fabs(distance(p.hip[k], p.knee[k]) - .245 * h * m->actor->legs) < 1e-6);
          assert_true(fabs(distance(p.knee[k], p.ankle[k]) - .246 * h * m->actor->legs) < 1e-6);
          assert_true(p.ankle[k].z > 0 && p.toe[k].z > 0);
        }
        double lowest = fmin(fmin(p.ankle[0].z, p.ankle[1].z) - .039 * h, fmin(p.toe[0].z, p.toe[1].z) - .014 * h);
        assert_true(lowest > -1e-6 && lowest < .5);
        if (i > 0) {
          fastest = fmax(fastest, fmax(distance(p.hand[0], q.hand[0]), distance(p.hand[1], q.hand[1])) / .005);
          assert_true(distance(p.pelvis, q.pelvis) / .005 < 6.5);
        }
        q = p;
      }
      assert_true(fastest < 20 && fastest > .2); /* metres a second: nothing jumps, something moves */
      dgam_scene_close(&scene);
    }
}

/* Sit-down and stand-up are each other's time reversal. */
static void sitting_reverses_standing(void **state) {
  (void)state;
  dgam_motion down = {.action = &dgam_scene_actions[3], .actor = &dgam_scene_actors[0], .duration = 2, .cadence = 1, .amplitude = 1, .idle = .5};
  dgam_motion up = down;
  up.action = &dgam_scene_actions[4];
  assert_string_equal(down.action->name, "sit-down");
  assert_string_equal(up.action->name, "stand-up");
  for (int i = 0; i <= 20; i++) {
    dgam_pose a, b;
    dgam_pose_at(&down, i * .1, &a);
    dgam_pose_at(&up, 2 - i * .1, &b);
    assert_true(fabs(a.pelvis.z - b.pelvis.z) < 1e-9 && fabs(a.knee[0].x - b.knee[0].x) < 1e-9);
  }
  dgam_pose seated;
  dgam_pose_at(&down, 2, &seated);
  assert_true(seated.pelvis.z < .35 * dgam_scene_actors[0].height);
}

static void long_clips_repeat(void **state) {
  (void)state;
  dgam_motion m = {.action = &dgam_scene_actions[6], .actor = &dgam_scene_actors[0], .duration = 8, .cadence = 1, .amplitude = 1};
  dgam_timing t = dgam_motion_timing(&m);
  assert_true(t.times >= 4 && t.times * t.length + (t.times - 1) * t.pause <= 8 + 1e-9);
  m.action = &dgam_scene_actions[3]; /* sitting down happens once */
  assert_int_equal(dgam_motion_timing(&m).times, 1);
  m.duration = .5; /* shorter than the action: quicker, not cut off */
  t = dgam_motion_timing(&m);
  assert_true(t.length <= .5 && t.begin >= 0);
}

/* --- pictures --- */

/* The person has the wanted height in the frame, and is where the spot says. */
static void size_and_spot_are_as_asked(void **state) {
  (void)state;
  for (int spot = 0; spot < DGAM_SPOTS; spot++)
    for (int k = 0; k < 6; k++) {
      dgam_scene_spec s = plain_scene(7);
      dgam_scene *scene;
      s.spot = spot;
      s.scale = .5 + .08 * k;
      s.clip = (uint64_t)k;
      s.width = 160;
      s.height = 120;
      assert_ok(dgam_scene_open(&scene, &s));
      const dgam_motion *m = dgam_scene_motion(scene);
      double x0, y0, x1, y1, scale;
      dgam_vec3 feet = {m->place[0], m->place[1], 0}, top = {m->place[0], m->place[1], m->actor->height};
      assert_true(dgam_scene_project(scene, feet, &x0, &y0, &scale) && dgam_scene_project(scene, top, &x1, &y1, &scale));
      assert_true(fabs((y0 - y1) / 120 - s.scale) < .2 * s.scale);
      assert_true(y0 > .85 * 120 && y0 < 120);
      assert_true(fabs(x0 / 160 - .5 - (spot - 1) * .17) < .06);
      dgam_scene_close(&scene);
    }
}

/* Without the person nothing moves, though the light drifts, and the person is all that differs. */
static void empty_scenes_stand_still(void **state) {
  (void)state;
  enum { N = 3 * 64 * 64 };
  static float a[N], b[N], with[N];
  dgam_scene_spec s = plain_scene(0);
  dgam_scene *scene;
  s.empty = 1;
  assert_ok(dgam_scene_open(&scene, &s));
  assert_ok(dgam_scene_frame(scene, 0, .05, 5, a));
  assert_ok(dgam_scene_frame(scene, 1, .05, 5, b));
  float drift = b[0] / a[0];
  assert_true(drift > .8f && drift < 1.25f);
  for (int i = 0; i < N; i++) assert_true(fabsf(b[i] - drift * a[i]) < 1e-5f);
  assert_ok(dgam_scene_frame(scene, .5, .05, 5, a));
  dgam_scene_close(&scene);
  s.empty = 0;
  assert_ok(dgam_scene_open(&scene, &s));
  assert_ok(dgam_scene_frame(scene, .5, .05, 5, with));
  dgam_scene_close(&scene);
  int same = 0, finite = 1;
  for (int i = 0; i < N; i++) {
    same += fabsf(with[i] - a[i]) < 1e-6f;
    finite &= isfinite(with[i]) && with[i] >= 0;
  }
  assert_true(finite);
  assert_true(same > N / 2 && same < N - N / 40); /* a person covers some of it */
}

/* The mean of many sub-frames is what fewer approach. */
static void sub_frames_average(void **state) {
  (void)state;
  enum { N = 3 * 64 * 64 };
  static float one[N], few[N], many[N];
  dgam_scene_spec s = plain_scene(1);
  dgam_scene *scene;
  assert_ok(dgam_scene_open(&scene, &s));
  assert_ok(dgam_scene_frame(scene, .7, .05, 1, one));
  assert_ok(dgam_scene_frame(scene, .7, .05, 5, few));
  assert_ok(dgam_scene_frame(scene, .7, .05, 60, many));
  double d1 = 0, d5 = 0;
  for (int i = 0; i < N; i++) {
    d1 += fabs((double)one[i] - (double)many[i]);
    d5 += fabs((double)few[i] - (double)many[i]);
  }
  assert_true(d5 < .5 * d1);
  assert_fails(dgam_scene_frame(scene, 0, .05, 0, one), DGAM_EINVAL, "subframes");
  dgam_scene_close(&scene);
}

static void refuses_nonsense(void **state) {
  (void)state;
  dgam_scene *scene;
  dgam_scene_spec s = plain_scene(0);
  s.outfit = 17;
  assert_fails(dgam_scene_open(&scene, &s), DGAM_EINVAL, "outfit is number 17");
  assert_null(scene);
  s = plain_scene(0);
  s.width = 0;
  assert_fails(dgam_scene_open(&scene, &s), DGAM_EINVAL, "0 x 64");
  s = plain_scene(0);
  s.scale = NAN;
  assert_fails(dgam_scene_open(&scene, &s), DGAM_EINVAL, "scale");
  s = plain_scene(0);
  s.action = NULL;
  assert_fails(dgam_scene_open(&scene, &s), DGAM_EINVAL, "no action");
  dgam_clip_spec c = dgam_clip_defaults();
  c.frames = 0;
  assert_fails(dgam_clip_film(&c, NULL, NULL), DGAM_EINVAL, "frames is 0");
  c = dgam_clip_defaults();
  c.fps_den = 0;
  assert_fails(dgam_clip_film(&c, NULL, NULL), DGAM_EINVAL, "frame rate");
}

/* --- clips --- */

enum { CLIP = 8 * 64 * 64 * 3, CLIPS = 9 };

typedef struct shoot {
  uint8_t *out;
} shoot;

static dgam_status shoot_some(void *ctx, size_t begin, size_t end, int ith, int nth) {
  shoot *s = ctx;
  (void)ith, (void)nth;
  for (size_t i = begin; i < end; i++) {
    dgam_clip_spec c = dgam_clip_defaults();
    c.scene.clip = i;
    c.scene.action = &dgam_scene_actions[i % DGAM_ACTIONS];
    c.lux = .3;
    DGAM_TRY(dgam_clip_film(&c, s->out + i * CLIP, NULL));
  }
  return DGAM_OK;
}

static void threads_change_nothing(void **state) {
  (void)state;
  uint8_t *one = malloc(CLIPS * CLIP), *many = malloc(CLIPS * CLIP);
  dgam_set_threads(1);
  assert_ok(dgam_parallel(CLIPS, shoot_some, &(shoot){one}));
  dgam_set_threads(4);
  assert_ok(dgam_parallel(CLIPS, shoot_some, &(shoot){many}));
  dgam_set_threads(0);
  assert_memory_equal(one, many, CLIPS * CLIP);
  assert_memory_not_equal(one, one + CLIP, CLIP); /* another clip is another clip */
  free(one);
  free(many);
}

static void files_are_whole_or_absent(void **state) {
  (void)state;
  char dir[] = "/tmp/dgam_scene_XXXXXX", path[64];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/a.avi", dir);
  dgam_clip_spec c = dgam_clip_defaults();
  dgam_clip_result r;
  assert_ok(dgam_clip_write(&c, path, &r));
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  assert_true(st.st_size > 4000);
  assert_true(r.luma > 30 && r.luma < 200 && r.gain >= 1 && r.time > 0);
  assert_int_equal(unlink(path), 0);
  c.camera.read = -1; /* fails half-way: nothing stays */
  assert_fails(dgam_clip_write(&c, path, &r), DGAM_EINVAL, "read");
  c.camera.read = 1;
  assert_int_equal(rmdir(dir), 0); /* empty */
  assert_int_not_equal(dgam_clip_write(&c, path, &r), DGAM_OK); /* no such folder */
  assert_non_null(strstr(dgam_error(), path));
}

/* --- the targets of every light, before JPEG; tests/lua/dataset_spec.lua checks the files, and LL on them only --- */

typedef struct summary {
  double luma, zeros, low; /* pooled */
  double snr;              /* mean dB, from the correlation of noisy and clean frames */
} summary;

static summary measure(const char *preset, int camera) {
  enum { N = 60, FRAMES = 2, AREA = 64 * 64, SIZE = FRAMES * AREA };
  const dgam_camera_preset *p = dgam_camera_preset_find(preset);
  static uint8_t noisy[3 * SIZE], clean[3 * SIZE];
  summary s = {0};
  for (int i = 0; i < N; i++) {
    dgam_clip_spec c = dgam_clip_defaults();
    dgam_clip_result r;
    c.scene.seed = 11;
    c.scene.clip = (uint64_t)i;
    c.scene.action = &dgam_scene_actions[i % DGAM_ACTIONS];
    c.scene.actor = i % DGAM_ACTORS;
    c.scene.outfit = i % DGAM_OUTFITS;
    c.scene.spot = i / 2 % DGAM_SPOTS;
    c.scene.scale = .68 + .1 * (i / 3 % 3);
    c.scene.location = strcmp(preset, "ELL") == 0 ? 3 + i % 2 : strcmp(preset, "LL") == 0 ? i % 3 : i % 5;
    c.camera = dgam_camera_models[camera];
    c.frames = FRAMES;
    c.lux = p->lux[0] + ((i * 7) % N + .5) / N * (p->lux[1] - p->lux[0]);
    c.target = p->target;
    assert_ok(dgam_clip_film(&c, noisy, &r));
    c.stages &= ~(unsigned)(DGAM_CAMERA_NOISE | DGAM_CAMERA_QUANTISE);
    assert_ok(dgam_clip_film(&c, clean, NULL));
    s.luma += r.luma / N;
    s.zeros += r.zeros / N;
    s.low += r.low / N;
    double a = 0, b = 0, aa = 0, bb = 0, ab = 0;
    for (int k = 0; k < SIZE; k++) {
      const uint8_t *u = noisy + 3 * k, *v = clean + 3 * k;
      double x = .299 * u[0] + .587 * u[1] + .114 * u[2], y = .299 * v[0] + .587 * v[1] + .114 * v[2];
      a += x, b += y, aa += x * x, bb += y * y, ab += x * y;
    }
    double va = aa / SIZE - a * a / SIZE / SIZE, vb = bb / SIZE - b * b / SIZE / SIZE;
    double cov = fmax(0, ab / SIZE - a * b / SIZE / SIZE), rho = fmax(1e-4, cov * cov / (va * vb + 1e-12));
    s.snr += 10 * log10(rho / (1 - rho)) / N;
  }
  return s;
}

static void targets_are_met(void **state) {
  (void)state;
  summary ll[3], ell[3];
  for (int c = 0; c < 3; c++) {
    ll[c] = measure("LL", c);
    ell[c] = measure("ELL", c);
    if (ell[c].luma < .2 || ell[c].luma > 4) fail_msg("ELL, camera %d: mean luma %g, expected .2 to 4", c, ell[c].luma);
    if (ell[c].low < (c == 0 ? .35 : .9)) fail_msg("ELL, camera %d: share of at most 2 is %g", c, ell[c].low);
    if (ell[c].snr > (c == 0 ? -1 : -12)) fail_msg("ELL, camera %d: SNR %g dB", c, ell[c].snr);
  }
  assert_true(ll[0].snr > ll[2].snr && ll[2].snr > ell[2].snr && ll[0].snr > ell[0].snr + 5);
  double arid = 0;
  for (int c = 0; c < 3; c++) {
    summary a = measure("arid", c), d = measure("dark48", c), b = measure("bright", c);
    arid += a.luma / 3;
    if (a.snr < 8) fail_msg("arid, camera %d: SNR %g dB, expected 8 or more", c, a.snr);
    if (d.snr < 15) fail_msg("dark48, camera %d: SNR %g dB, expected 15 or more", c, d.snr);
    if (d.luma > 13.8) fail_msg("dark48, camera %d: mean luma %g, expected below 13.8", c, d.luma);
    if (b.luma < 70 || b.snr < 14) fail_msg("bright, camera %d: luma %g, SNR %g dB", c, b.luma, b.snr);
  }
  if (fabs(arid - 20) > 2) fail_msg("arid: mean luma %g, expected about 20", arid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tables_make_sense),         cmocka_unit_test(bodies_hold_together),
      cmocka_unit_test(sitting_reverses_standing), cmocka_unit_test(long_clips_repeat),
      cmocka_unit_test(size_and_spot_are_as_asked), cmocka_unit_test(empty_scenes_stand_still),
      cmocka_unit_test(sub_frames_average),        cmocka_unit_test(refuses_nonsense),
      cmocka_unit_test(threads_change_nothing),    cmocka_unit_test(files_are_whole_or_absent),
      cmocka_unit_test(targets_are_met),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
