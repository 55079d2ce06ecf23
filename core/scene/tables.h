/* tables.h - the cast of the built-in dataset as data: actions, actors, outfits, locations.
 *
 * An action is a list of tracks. A track moves one degree of freedom of the body by
 *
 *     amplitude * ( envelope(u) * (mean + sum_k cos_k cos(2 pi k p) + sin_k sin(2 pi k p)) + keys(u) )
 *
 * where u runs 0..1 over one execution of the action, p counts periods, keys(u) is a cubic through (u, value) pairs
 * (0 where there are none) and the envelope rises and falls over the first and last part of u. Angles are in degrees,
 * UP is in metres. A new action is a new entry; no code knows an action by name.
 */
#ifndef DGAM_SCENE_TABLES_H
#define DGAM_SCENE_TABLES_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Degrees of freedom. Those from DGAM_DOF_HIP on exist once per side. */
typedef enum dgam_dof {
  DGAM_DOF_PITCH,    /* trunk forward */
  DGAM_DOF_ROLL,     /* trunk sideways, to the main side */
  DGAM_DOF_TWIST,    /* shoulders against pelvis */
  DGAM_DOF_NOD,      /* head forward */
  DGAM_DOF_LOOK,     /* head about the vertical */
  DGAM_DOF_YAW,      /* whole body about the vertical */
  DGAM_DOF_UP,       /* metres above ground contact */
  DGAM_DOF_HIP,      /* thigh forward */
  DGAM_DOF_HIP_OUT,  /* thigh sideways */
  DGAM_DOF_KNEE,     /* shank backward */
  DGAM_DOF_ARM,      /* upper arm forward */
  DGAM_DOF_ARM_OUT,  /* upper arm sideways */
  DGAM_DOF_ARM_TURN, /* where the elbow bends to: 0 forward, 90 outward (or up, for a level arm), < 0 inward */
  DGAM_DOF_ELBOW,    /* forearm flexed */
  DGAM_DOF_COUNT
} dgam_dof;

typedef enum dgam_part {
  DGAM_PART_BODY,      /* the degree of freedom exists once */
  DGAM_PART_MAIN,      /* the side of the preferred hand */
  DGAM_PART_OTHER,     /* the other side */
  DGAM_PART_BOTH,      /* both sides alike */
  DGAM_PART_ALTERNATE, /* both sides, the other one half a period later */
  DGAM_PART_COUNT
} dgam_part;

enum { DGAM_HARMONICS = 2, DGAM_KEYS = 8, DGAM_TRACKS = 12 };

typedef struct dgam_track {
  dgam_dof dof;
  dgam_part part;
  double mean;
  double wave[DGAM_HARMONICS][2]; /* cos, sin */
  int keys;
  double key[DGAM_KEYS][2]; /* u (rising, 0..1), value */
} dgam_track;

typedef struct dgam_action {
  const char *name;
  double seconds; /* one execution at cadence 1; 0: goes on through the whole clip */
  double period;  /* seconds, of the Fourier terms */
  double ramp;    /* share of u over which the envelope rises, and falls */
  double flight;  /* speed over the ground relative to what the planted foot gives; 0: stays in place, feet planted */
  int repeats;    /* 1: a long clip may show it several times */
  int reversed;   /* 1: u runs from 1 to 0 */
  int tracks;
  dgam_track track[DGAM_TRACKS];
} dgam_action;

typedef struct dgam_actor {
  const char *name;
  double height;       /* metres */
  double girth;        /* radii of trunk and limbs, 1 = average */
  double legs, arms;   /* lengths, 1 = average */
  double stride, swing; /* gait: amplitude of legs and of arms */
  double tempo;        /* cadence */
  double lean;         /* degrees the trunk is held forward */
  double left_handed;  /* probability */
  float skin[3], hair[3];
} dgam_actor;

typedef struct dgam_outfit {
  const char *name;
  float top[3], bottom[3], shoes[3]; /* albedo */
  int long_sleeves, long_legs;
} dgam_outfit;

enum { DGAM_LOCATION_BOXES = 5 };

typedef struct dgam_location {
  const char *name;
  int outdoor;
  float ground[3], wall[3], sky[3]; /* albedo; sky: radiance where no wall is */
  double tile, grain, contrast;     /* ground pattern: tile size (m), noise size (m), share of albedo that varies */
  double wall_distance;             /* metres behind the spot */
  double wall_height;               /* metres */
  double panel;                     /* width of the wall's panels or bricks, metres */
  double side;                      /* half distance of side walls, 0: none */
  double lamp[3];                   /* x right, y away from the camera, z up, relative to the central spot */
  float light[3];                   /* colour of the lamp, mean 1 */
  double ambient;                   /* share of the light at the spot that comes from everywhere */
  int boxes;                        /* windows, doors, trees: rectangles on the wall */
  struct { double x, z, w, h; float albedo[3]; } box[DGAM_LOCATION_BOXES];
} dgam_location;

enum { DGAM_ACTIONS = 12, DGAM_ACTORS = 5, DGAM_OUTFITS = 17, DGAM_LOCATIONS = 5, DGAM_SPOTS = 3 };

DGAM_API extern const dgam_action dgam_scene_actions[DGAM_ACTIONS];
DGAM_API extern const dgam_actor dgam_scene_actors[DGAM_ACTORS];
DGAM_API extern const dgam_outfit dgam_scene_outfits[DGAM_OUTFITS];
DGAM_API extern const dgam_location dgam_scene_locations[DGAM_LOCATIONS]; /* outdoor ones first */
DGAM_API extern const char *const dgam_scene_spots[DGAM_SPOTS];

/* EINVAL, naming the fault, unless every number of the action makes sense. For actions that a user wrote. */
DGAM_API dgam_status dgam_action_check(const dgam_action *action);

#ifdef __cplusplus
}
#endif
#endif
