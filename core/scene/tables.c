/* tables.c - see tables.h */
#include "scene/tables.h"

#include <math.h>

/* Shorthand for the tables below: D is the degree of freedom, P the part. */
#define T(D, P) .dof = DGAM_DOF_##D, .part = DGAM_PART_##P
#define KEYS(n, ...) .keys = (n), .key = {__VA_ARGS__}

#define SIT_TRACKS                                                                  \
  {                                                                                 \
    {T(HIP, BOTH), KEYS(4, {0, 0}, {.45, 60}, {.8, 98}, {1, 92})},                  \
    {T(KNEE, BOTH), KEYS(4, {0, 0}, {.45, 68}, {.8, 92}, {1, 90})},                 \
    {T(HIP_OUT, BOTH), KEYS(2, {0, 0}, {1, 7})},                                    \
    {T(PITCH, BODY), KEYS(4, {0, 0}, {.4, 40}, {.75, 26}, {1, 2})},                 \
    {T(ARM, BOTH), KEYS(3, {0, 0}, {.45, 30}, {1, 26})},                            \
    {T(ELBOW, BOTH), KEYS(3, {0, 0}, {.5, 22}, {1, 44})},                           \
    {T(NOD, BODY), KEYS(3, {0, 0}, {.35, 14}, {1, 0})},                             \
  }

const dgam_action dgam_scene_actions[DGAM_ACTIONS] = {
    {.name = "walk", .period = 1.08, .ramp = .1, .flight = 1, .tracks = 6,
     .track = {
         {T(HIP, ALTERNATE), .mean = 4, .wave = {{27, 0}}},
         {T(KNEE, ALTERNATE), .mean = 27, .wave = {{-14, -22}, {-8, 0}}},
         {T(ARM, ALTERNATE), .mean = 4, .wave = {{-24, 0}}},
         {T(ELBOW, ALTERNATE), .mean = 16, .wave = {{-10, 0}}},
         {T(TWIST, BODY), .wave = {{7, 0}}},
         {T(PITCH, BODY), .mean = 3},
     }},
    {.name = "run", .period = .74, .ramp = .08, .flight = 1.3, .tracks = 6,
     .track = {
         {T(HIP, ALTERNATE), .mean = 20, .wave = {{40, 0}}},
         {T(KNEE, ALTERNATE), .mean = 64, .wave = {{-14, -44}, {-8, 0}}},
         {T(ARM, ALTERNATE), .mean = -4, .wave = {{-42, 0}}},
         {T(ELBOW, ALTERNATE), .mean = 84, .wave = {{-12, 0}}},
         {T(TWIST, BODY), .wave = {{10, 0}}},
         {T(PITCH, BODY), .mean = 13},
     }},
    {.name = "turn", .seconds = 1.25, .period = .62, .ramp = .15, .repeats = 0, .tracks = 6,
     .track = {
         {T(YAW, BODY), KEYS(2, {0, 0}, {1, 185})},
         {T(TWIST, BODY), KEYS(3, {0, 0}, {.3, 16}, {1, 0})},
         {T(LOOK, BODY), KEYS(3, {0, 0}, {.25, 36}, {1, 0})},
         {T(HIP, ALTERNATE), .mean = 8, .wave = {{11, 0}}},
         {T(KNEE, ALTERNATE), .mean = 17, .wave = {{0, -17}}},
         {T(ARM, ALTERNATE), .mean = 3, .wave = {{-9, 0}}},
     }},
    {.name = "sit-down", .seconds = 1.15, .period = 1, .ramp = .2, .tracks = 7, .track = SIT_TRACKS},
    {.name = "stand-up", .seconds = 1.15, .period = 1, .ramp = .2, .reversed = 1, .tracks = 7, .track = SIT_TRACKS},
    {.name = "stretch", .seconds = 1.7, .period = 1.5, .ramp = .3, .repeats = 1, .tracks = 7,
     .track = {
         {T(ARM_OUT, BOTH), KEYS(4, {0, 0}, {.35, 148}, {.7, 154}, {1, 0})},
         {T(ARM_TURN, BOTH), KEYS(4, {0, 0}, {.2, 80}, {.8, 80}, {1, 0})},
         {T(ELBOW, BOTH), KEYS(5, {0, 0}, {.2, 42}, {.42, 6}, {.7, 8}, {1, 0})},
         {T(PITCH, BODY), KEYS(4, {0, 0}, {.42, -13}, {.7, -11}, {1, 0})},
         {T(NOD, BODY), KEYS(4, {0, 0}, {.42, -20}, {.7, -18}, {1, 0})},
         {T(ROLL, BODY), .wave = {{0, 11}}},
         {T(UP, BODY), KEYS(4, {0, 0}, {.42, .04}, {.7, .04}, {1, 0})},
     }},
    {.name = "jump", .seconds = 1.15, .period = 1, .ramp = .2, .repeats = 1, .tracks = 6,
     .track = {
         {T(HIP, BOTH), KEYS(6, {0, 0}, {.25, 56}, {.4, 0}, {.61, 8}, {.8, 50}, {1, 0})},
         {T(KNEE, BOTH), KEYS(6, {0, 0}, {.25, 86}, {.4, 4}, {.61, 14}, {.8, 76}, {1, 0})},
         {T(PITCH, BODY), KEYS(5, {0, 0}, {.25, 30}, {.4, 0}, {.8, 24}, {1, 0})},
         {T(ARM, BOTH), KEYS(5, {0, 0}, {.16, -38}, {.47, 125}, {.68, 84}, {1, 0})},
         {T(ELBOW, BOTH), KEYS(4, {0, 0}, {.22, 16}, {.44, 10}, {1, 0})},
         {T(UP, BODY), KEYS(7, {0, 0}, {.33, 0}, {.42, .21}, {.51, .31}, {.60, .21}, {.69, 0}, {1, 0})},
     }},
    {.name = "wave", .seconds = 1.7, .period = .56, .ramp = .22, .repeats = 1, .tracks = 4,
     .track = {
         {T(ARM_OUT, MAIN), KEYS(4, {0, 0}, {.2, 92}, {.8, 96}, {1, 0})},
         {T(ARM_TURN, MAIN), KEYS(4, {0, 0}, {.15, 84}, {.85, 84}, {1, 0})},
         {T(ELBOW, MAIN), .wave = {{0, 32}}, KEYS(4, {0, 0}, {.2, 62}, {.8, 62}, {1, 0})},
         {T(ROLL, BODY), KEYS(4, {0, 0}, {.2, -3}, {.8, -3}, {1, 0})},
     }},
    {.name = "pick-up", .seconds = 1.5, .period = 1, .ramp = .2, .repeats = 1, .tracks = 8,
     .track = {
         {T(PITCH, BODY), KEYS(4, {0, 0}, {.4, 80}, {.52, 82}, {1, 0})},
         {T(HIP, BOTH), KEYS(4, {0, 0}, {.4, 46}, {.52, 46}, {1, 0})},
         {T(KNEE, BOTH), KEYS(4, {0, 0}, {.4, 60}, {.52, 60}, {1, 0})},
         {T(ARM, MAIN), KEYS(5, {0, 0}, {.4, 76}, {.52, 80}, {.78, 40}, {1, 14})},
         {T(ELBOW, MAIN), KEYS(4, {0, 0}, {.52, 2}, {.78, 76}, {1, 72})},
         {T(ARM, OTHER), KEYS(4, {0, 0}, {.4, 34}, {.52, 34}, {1, 0})},
         {T(ELBOW, OTHER), KEYS(4, {0, 0}, {.4, 60}, {.52, 60}, {1, 0})},
         {T(NOD, BODY), KEYS(3, {0, 0}, {.45, 16}, {1, 0})},
     }},
    {.name = "push", .seconds = 1.1, .period = 1, .ramp = .2, .repeats = 1, .tracks = 7,
     .track = {
         {T(ARM, BOTH), KEYS(5, {0, 0}, {.28, 34}, {.58, 80}, {.76, 78}, {1, 0})},
         {T(ELBOW, BOTH), KEYS(5, {0, 0}, {.28, 122}, {.58, 4}, {.76, 8}, {1, 0})},
         {T(ARM_OUT, BOTH), KEYS(4, {0, 0}, {.28, 22}, {.58, 2}, {1, 0})},
         {T(PITCH, BODY), KEYS(5, {0, 0}, {.28, -5}, {.58, 24}, {.76, 22}, {1, 0})},
         {T(HIP, OTHER), KEYS(4, {0, 0}, {.35, 28}, {.76, 34}, {1, 0})},
         {T(KNEE, OTHER), KEYS(4, {0, 0}, {.3, 14}, {.6, 34}, {1, 0})},
         {T(HIP, MAIN), KEYS(4, {0, 0}, {.35, -14}, {.76, -24}, {1, 0})},
     }},
    {.name = "drink", .seconds = 1.7, .period = 1, .ramp = .2, .repeats = 1, .tracks = 5,
     .track = {
         {T(ARM, MAIN), KEYS(4, {0, 0}, {.32, 48}, {.68, 58}, {1, 0})},
         {T(ELBOW, MAIN), KEYS(4, {0, 0}, {.32, 126}, {.68, 134}, {1, 0})},
         {T(ARM_TURN, MAIN), KEYS(4, {0, 0}, {.3, -34}, {.7, -34}, {1, 0})},
         {T(NOD, BODY), KEYS(5, {0, 0}, {.3, -6}, {.5, -28}, {.68, -20}, {1, 0})},
         {T(PITCH, BODY), KEYS(4, {0, 0}, {.35, -4}, {.6, -8}, {1, 0})},
     }},
    {.name = "squat", .seconds = 1.5, .period = 1, .ramp = .2, .repeats = 1, .tracks = 6,
     .track = {
         {T(HIP, BOTH), KEYS(4, {0, 0}, {.44, 112}, {.54, 112}, {1, 0})},
         {T(KNEE, BOTH), KEYS(4, {0, 0}, {.44, 124}, {.54, 124}, {1, 0})},
         {T(HIP_OUT, BOTH), KEYS(4, {0, 0}, {.44, 14}, {.54, 14}, {1, 0})},
         {T(PITCH, BODY), KEYS(4, {0, 0}, {.44, 30}, {.54, 30}, {1, 0})},
         {T(ARM, BOTH), KEYS(4, {0, 0}, {.44, 80}, {.54, 80}, {1, 0})},
         {T(NOD, BODY), KEYS(4, {0, 0}, {.44, -16}, {.54, -16}, {1, 0})},
     }},
};

const dgam_actor dgam_scene_actors[DGAM_ACTORS] = {
    {"a1", 1.64, .94, 1.00, .98, 1.08, .85, 1.06, 1, .05, {.46f, .34f, .27f}, {.05f, .04f, .03f}},
    {"a2", 1.82, 1.06, 1.02, 1.02, .92, 1.20, .94, 3, .10, {.40f, .28f, .21f}, {.06f, .05f, .04f}},
    {"a3", 1.72, 1.16, .97, 1.00, .90, .75, .92, 5, .90, {.30f, .20f, .14f}, {.04f, .04f, .04f}},
    {"a4", 1.76, .92, 1.04, 1.03, 1.15, 1.10, 1.02, 0, .10, {.48f, .36f, .30f}, {.16f, .11f, .06f}},
    {"a5", 1.58, 1.02, .98, .97, 1.00, 1.00, 1.10, 2, .20, {.42f, .31f, .24f}, {.20f, .20f, .20f}},
};

const dgam_outfit dgam_scene_outfits[DGAM_OUTFITS] = {
    {"white shirt, jeans", {.70f, .70f, .68f}, {.12f, .17f, .30f}, {.50f, .50f, .50f}, 1, 1},
    {"black coat", {.04f, .04f, .04f}, {.05f, .05f, .06f}, {.04f, .04f, .04f}, 1, 1},
    {"red hoodie", {.62f, .20f, .18f}, {.50f, .48f, .45f}, {.60f, .60f, .60f}, 1, 1},
    {"grey suit", {.10f, .10f, .11f}, {.09f, .09f, .10f}, {.05f, .04f, .04f}, 1, 1},
    {"yellow vest", {.68f, .60f, .14f}, {.10f, .10f, .12f}, {.30f, .28f, .24f}, 0, 1},
    {"blue overall", {.06f, .09f, .18f}, {.06f, .09f, .17f}, {.10f, .10f, .10f}, 1, 1},
    {"green jacket", {.07f, .12f, .06f}, {.10f, .09f, .07f}, {.40f, .30f, .20f}, 1, 1},
    {"t-shirt, shorts", {.64f, .63f, .60f}, {.52f, .48f, .40f}, {.60f, .60f, .60f}, 0, 0},
    {"black t-shirt, jeans", {.05f, .05f, .05f}, {.12f, .17f, .30f}, {.45f, .45f, .45f}, 0, 1},
    {"sports kit", {.68f, .34f, .12f}, {.60f, .60f, .62f}, {.66f, .66f, .35f}, 0, 0},
    {"brown coat", {.13f, .09f, .06f}, {.11f, .09f, .08f}, {.20f, .16f, .12f}, 1, 1},
    {"navy sweater", {.07f, .08f, .15f}, {.12f, .12f, .15f}, {.40f, .30f, .20f}, 1, 1},
    {"dark track suit", {.08f, .08f, .10f}, {.08f, .08f, .10f}, {.65f, .65f, .65f}, 1, 1},
    {"orange jacket", {.70f, .40f, .12f}, {.46f, .46f, .48f}, {.20f, .20f, .20f}, 1, 1},
    {"dark dress shirt", {.09f, .07f, .12f}, {.08f, .08f, .09f}, {.16f, .10f, .07f}, 1, 1},
    {"pink top, leggings", {.66f, .40f, .50f}, {.06f, .06f, .07f}, {.58f, .52f, .55f}, 0, 1},
    {"white sports wear", {.68f, .68f, .68f}, {.66f, .66f, .66f}, {.70f, .70f, .70f}, 0, 0},
};

const dgam_location dgam_scene_locations[DGAM_LOCATIONS] = {
    {.name = "street", .outdoor = 1, .ground = {.164f, .164f, .164f}, .wall = {.238f, .18f, .156f}, .sky = {.09f, .095f, .11f},
     .tile = 0, .grain = .35, .contrast = .45, .wall_distance = 4, .wall_height = 4.5, .panel = .5,
     .lamp = {-1.4, -3.2, 2.9}, .light = {1.12f, .93f, .65f}, .ambient = .45, .boxes = 4,
     .box = {{-3.4, 1, 1.2, 1.6, {.05f, .06f, .08f}}, {-.8, 0, 1.0, 2.1, {.10f, .07f, .05f}},
             {1.4, 1, 1.3, 1.6, {.06f, .07f, .09f}}, {4.2, 1, 1.2, 1.6, {.05f, .06f, .08f}}}},
    {.name = "park", .outdoor = 1, .ground = {.156f, .189f, .123f}, .wall = {.156f, .189f, .131f}, .sky = {.09f, .095f, .11f},
     .tile = 0, .grain = .3, .contrast = .6, .wall_distance = 6, .wall_height = 3.4, .panel = .25,
     .lamp = {1.6, -3.2, 2.7}, .light = {1.02f, .98f, .73f}, .ambient = .5, .boxes = 3,
     .box = {{-3.2, 0, .5, 6, {.15f, .12f, .09f}}, {1.9, 0, .4, 6, {.14f, .11f, .08f}}, {4.6, 0, .6, 6, {.15f, .12f, .09f}}}},
    {.name = "yard", .outdoor = 1, .ground = {.189f, .18f, .172f}, .wall = {.18f, .189f, .197f}, .sky = {.09f, .09f, .1f},
     .tile = .6, .grain = .5, .contrast = .4, .wall_distance = 3.6, .wall_height = 3.2, .panel = 1.2,
     .lamp = {.7, -3.4, 2.9}, .light = {.88f, .95f, .98f}, .ambient = .45, .boxes = 2,
     .box = {{-2.2, 0, 1.8, 2.3, {.32f, .33f, .34f}}, {2.6, 0, 1.1, 1.1, {.12f, .17f, .12f}}}},
    {.name = "office", .outdoor = 0, .ground = {.19f, .20f, .22f}, .wall = {.32f, .32f, .31f}, .sky = {.3f, .3f, .3f},
     .tile = .5, .grain = .3, .contrast = .3, .wall_distance = 2.6, .wall_height = 4, .panel = 2.4, .side = 3,
     .lamp = {.5, -2.6, 2.4}, .light = {.89f, .96f, .93f}, .ambient = .42, .boxes = 3,
     .box = {{-1.9, 0, .95, 2.05, {.14f, .10f, .07f}}, {.2, 1.1, 1.4, .9, {.46f, .46f, .45f}}, {2.3, 0, .9, 1.2, {.17f, .17f, .18f}}}},
    {.name = "corridor", .outdoor = 0, .ground = {.26f, .23f, .19f}, .wall = {.30f, .31f, .29f}, .sky = {.3f, .3f, .3f},
     .tile = .3, .grain = .3, .contrast = .4, .wall_distance = 3.4, .wall_height = 4, .panel = 1, .side = 1.9,
     .lamp = {-.3, -2.6, 2.3}, .light = {1.02f, .93f, .78f}, .ambient = .38, .boxes = 2,
     .box = {{.2, 0, 1.0, 2.1, {.09f, .08f, .07f}}, {-1.5, .6, .6, .9, {.36f, .13f, .11f}}}},
};

const char *const dgam_scene_spots[DGAM_SPOTS] = {"left", "centre", "right"};

dgam_status dgam_action_check(const dgam_action *a) {
  const char *name = a->name ? a->name : "(no name)";
  if (a->tracks < 0 || a->tracks > DGAM_TRACKS)
    return dgam_fail(DGAM_EINVAL, "action '%s' has %d tracks, expected 0 to %d", name, a->tracks, DGAM_TRACKS);
  if (!(a->period > 0) || !(a->seconds >= 0) || !(a->ramp > 0 && a->ramp <= .5) || !(a->flight >= 0) ||
      !isfinite(a->period + a->seconds + a->flight))
    return dgam_fail(DGAM_EINVAL,
                     "action '%s' has period %g, seconds %g, ramp %g, flight %g; expected period > 0, seconds >= 0, "
                     "ramp in (0, 0.5], flight >= 0, all finite", name, a->period, a->seconds, a->ramp, a->flight);
  for (int i = 0; i < a->tracks; i++) {
    const dgam_track *t = &a->track[i];
    if ((unsigned)t->dof >= DGAM_DOF_COUNT || (unsigned)t->part >= DGAM_PART_COUNT ||
        (t->part == DGAM_PART_BODY) != (t->dof < DGAM_DOF_HIP))
      return dgam_fail(DGAM_EINVAL, "action '%s', track %d: degree of freedom %d does not belong to part %d", name, i + 1,
                       (int)t->dof, (int)t->part);
    if (!isfinite(t->mean))
      return dgam_fail(DGAM_EINVAL, "action '%s', track %d has mean %g, expected a finite number", name, i + 1, t->mean);
    for (int k = 0; k < DGAM_HARMONICS; k++)
      if (!isfinite(t->wave[k][0]) || !isfinite(t->wave[k][1]))
        return dgam_fail(DGAM_EINVAL, "action '%s', track %d, wave %d is (%g, %g), expected finite numbers", name, i + 1, k + 1,
                         t->wave[k][0], t->wave[k][1]);
    if (t->keys < 0 || t->keys > DGAM_KEYS)
      return dgam_fail(DGAM_EINVAL, "action '%s', track %d has %d keys, expected 0 to %d", name, i + 1, t->keys, DGAM_KEYS);
    for (int k = 0; k < t->keys; k++)
      if (!(t->key[k][0] >= 0 && t->key[k][0] <= 1) || !isfinite(t->key[k][1]) || (k > 0 && t->key[k][0] <= t->key[k - 1][0]))
        return dgam_fail(DGAM_EINVAL, "action '%s', track %d, key %d is (%g, %g); expected rising times in 0..1", name,
                         i + 1, k + 1, t->key[k][0], t->key[k][1]);
  }
  return DGAM_OK;
}
