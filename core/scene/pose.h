/* pose.h - from an action and a moment to the place of every joint.
 *
 * The body is 16 joints: pelvis, chest, neck, head and, per side, shoulder, elbow, wrist, hip, knee, ankle. Angles come
 * from the action's tracks (tables.h) over a resting pose; lengths from the actor. Heights follow from ground contact:
 * the lower sole touches z = 0 unless the action lifts the body. Actions that do not travel keep their feet planted:
 * the pelvis moves instead. World axes: x right, y away from the camera, z up, metres.
 */
#ifndef DGAM_SCENE_POSE_H
#define DGAM_SCENE_POSE_H

#include "scene/tables.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_vec3 {
  double x, y, z;
} dgam_vec3;

/* What one clip does with its action. Angles in radians, times in seconds. */
typedef struct dgam_motion {
  const dgam_action *action;
  const dgam_actor *actor;
  double duration;    /* of the clip */
  double cadence;     /* 1 = the action's own speed */
  double amplitude;   /* 1 = the action's own size */
  double phase;       /* of the Fourier terms, 0..1 */
  double heading;     /* 0 = towards the camera, positive to the person's left */
  int left_handed;    /* 1: the main side is the left one */
  double idle;        /* share 0..1 of the spare time that lies before the action */
  double sway[4];     /* size and phases of the idle sway */
  double place[2];    /* x, y on the ground; for actions that travel, half-way through */
  double travel_most; /* longest way over the ground, metres */
} dgam_motion;

enum { DGAM_LEFT = 0, DGAM_RIGHT = 1 };

typedef struct dgam_pose {
  dgam_vec3 pelvis, chest, neck, head, face; /* face: a little before the head */
  dgam_vec3 shoulder[2], elbow[2], wrist[2], hand[2], hip[2], knee[2], ankle[2], toe[2];
} dgam_pose;

/* When the action runs: begin and length of one execution, how many there are and the pause between them. */
typedef struct dgam_timing {
  double begin, length, pause;
  int times;
} dgam_timing;

DGAM_API dgam_timing dgam_motion_timing(const dgam_motion *m);

/* Joints at `time` (seconds; before 0 and after the end the person idles). Never fails: see dgam_action_check. */
DGAM_API void dgam_pose_at(const dgam_motion *m, double time, dgam_pose *out);

#ifdef __cplusplus
}
#endif
#endif
