/* scene.c - dgamnative.scene: clips of the built-in dataset, in memory or as files. Documented for users in
 * lua/dgam/kernels/scene.lua. */
#define _GNU_SOURCE /* syncfs */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"
#include "lua/camera_options.h"
#include "scene/clip.h"

/* --- the cast --- */

static void push_names(lua_State *L, const char *field, const char *first, size_t stride, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, *(const char *const *)(first + stride * (size_t)i));
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, field);
}
#define NAMES(L, field, table, n) push_names(L, field, (const char *)&(table)[0], sizeof(table)[0], n)

/* cast() -> { actions=, actors=, outfits=, locations=, spots= } lists of names, outdoor = list of booleans */
static int scene_cast(lua_State *L) {
  lua_newtable(L);
  NAMES(L, "actions", dgam_scene_actions, DGAM_ACTIONS);
  NAMES(L, "actors", dgam_scene_actors, DGAM_ACTORS);
  NAMES(L, "outfits", dgam_scene_outfits, DGAM_OUTFITS);
  NAMES(L, "locations", dgam_scene_locations, DGAM_LOCATIONS);
  NAMES(L, "spots", dgam_scene_spots, DGAM_SPOTS);
  lua_createtable(L, DGAM_LOCATIONS, 0);
  for (int i = 0; i < DGAM_LOCATIONS; i++) {
    lua_pushboolean(L, dgam_scene_locations[i].outdoor);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "outdoor");
  return 1;
}

/* --- actions written in Lua --- */

static const char *const dof_names[] = {"pitch", "roll", "twist", "nod", "look", "yaw", "up", "hip", "hip_out", "knee", "arm",
                                        "arm_out", "arm_turn", "elbow", NULL};
static const char *const part_names[] = {"body", "main", "other", "both", "alternate", NULL};

static int name_index(lua_State *L, int idx, const char *field, const char *const *names) {
  const char *s = dgl_optfield_string(L, idx, field, "");
  for (int i = 0; names[i]; i++)
    if (strcmp(names[i], s) == 0) return i;
  return dgl_error(L, "track: %s is '%s', which is not one of them; the first is '%s'", field, s, names[0]);
}

/* Pairs { {a, b}, ... } in field; returns how many. */
static int pairs(lua_State *L, int idx, const char *field, double (*out)[2], int most) {
  int n = 0;
  if (lua_getfield(L, idx, field) != LUA_TNIL) {
    if (!lua_istable(L, -1)) dgl_error(L, "track: '%s' is %s, expected a list of pairs", field, luaL_tolstring(L, -1, NULL));
    lua_Unsigned count = lua_rawlen(L, -1);
    if (count > (lua_Unsigned)most) dgl_error(L, "track: '%s' has %I pairs, expected at most %d", field, (lua_Integer)count, most);
    for (; n < (int)count; n++) {
      lua_rawgeti(L, -1, n + 1);
      if (!lua_istable(L, -1)) dgl_error(L, "track: '%s' holds %s, expected pairs", field, luaL_tolstring(L, -1, NULL));
      for (int k = 0; k < 2; k++) {
        lua_rawgeti(L, -1, k + 1);
        int ok;
        out[n][k] = lua_tonumberx(L, -1, &ok);
        if (!ok) dgl_error(L, "track: '%s' holds %s, expected numbers", field, luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
  return n;
}

/* The action table at idx; its name stays alive as long as the table. */
static void read_action(lua_State *L, int idx, dgam_action *a) {
  static const char *const known[] = {"name", "seconds", "period", "ramp", "flight", "repeats", "reversed", "tracks", NULL};
  static const char *const track_known[] = {"dof", "part", "mean", "wave", "keys", NULL};
  idx = lua_absindex(L, idx);
  dgl_checkfields(L, idx, known);
  *a = (dgam_action){.name = dgl_optfield_string(L, idx, "name", "own action"),
                     .seconds = dgl_optfield_number(L, idx, "seconds", 1.2),
                     .period = dgl_optfield_number(L, idx, "period", 1),
                     .ramp = dgl_optfield_number(L, idx, "ramp", .2),
                     .flight = dgl_optfield_number(L, idx, "flight", 0),
                     .repeats = dgl_optfield_boolean(L, idx, "repeats", 0),
                     .reversed = dgl_optfield_boolean(L, idx, "reversed", 0)};
  if (lua_getfield(L, idx, "tracks") != LUA_TTABLE) dgl_error(L, "action '%s' has no list 'tracks'", a->name);
  lua_Unsigned n = lua_rawlen(L, -1);
  if (n > DGAM_TRACKS) dgl_error(L, "action '%s' has %I tracks, expected at most %d", a->name, (lua_Integer)n, DGAM_TRACKS);
  for (int i = 0; i < (int)n; i++) {
    dgam_track *t = &a->track[a->tracks++];
    lua_rawgeti(L, -1, i + 1);
    int at = lua_absindex(L, -1);
    dgl_checkfields(L, at, track_known);
    t->dof = (dgam_dof)name_index(L, at, "dof", dof_names);
    t->part = (dgam_part)name_index(L, at, "part", part_names);
    t->mean = dgl_optfield_number(L, at, "mean", 0);
    pairs(L, at, "wave", t->wave, DGAM_HARMONICS);
    t->keys = pairs(L, at, "keys", t->key, DGAM_KEYS);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  dgl_check(L, dgam_action_check(a));
}

/* --- clips --- */

typedef struct job {
  dgam_clip_spec spec;
  dgam_action action; /* if it was written in Lua */
  const char *path;
  dgam_clip_result result;
} job;

/* A 1-based number or a name -> 0-based number. */
static int choice(lua_State *L, int idx, const char *field, const char *first, size_t stride, int n, int def) {
  int i = def;
  if (lua_getfield(L, idx, field) == LUA_TSTRING) {
    const char *s = lua_tostring(L, -1);
    for (i = 0; i < n && strcmp(*(const char *const *)(first + stride * (size_t)i), s) != 0; i++) continue;
    if (i == n) dgl_error(L, "no %s is called '%s'", field, s);
  } else if (!lua_isnil(L, -1)) {
    int ok;
    lua_Integer v = lua_tointegerx(L, -1, &ok);
    if (!ok || v < 1 || v > n) dgl_error(L, "%s is %s, expected a name or a number from 1 to %d", field, luaL_tolstring(L, -1, NULL), n);
    i = (int)v - 1;
  }
  lua_pop(L, 1);
  return i;
}
#define CHOICE(L, idx, field, table, n, def) choice(L, idx, field, (const char *)&(table)[0], sizeof(table)[0], n, def)

static int small_integer(lua_State *L, int idx, const char *field, int def) {
  lua_Integer v = dgl_optfield_integer(L, idx, field, def);
  if (v < -2147483647 || v > 2147483647) dgl_error(L, "%s is %I, which is out of range", field, v);
  return (int)v;
}

static void read_job(lua_State *L, int idx, job *j) {
  static const char *const known[] = {"seed", "clip", "action", "actor", "outfit", "location", "spot", "scale", "width",
                                      "height", "frames", "every", "fps", "subframes", "lux", "target", "light", "empty",
                                      "path", "bytes", "linear", DGL_CAMERA_FIELDS, NULL};
  luaL_checktype(L, idx, LUA_TTABLE);
  idx = lua_absindex(L, idx);
  dgl_checkfields(L, idx, known);
  dgam_clip_spec *s = &j->spec;
  *s = dgam_clip_defaults();
  s->scene.seed = (uint64_t)dgl_optfield_integer(L, idx, "seed", 0);
  s->scene.clip = (uint64_t)dgl_optfield_integer(L, idx, "clip", 0);
  if (lua_getfield(L, idx, "action") == LUA_TTABLE) {
    read_action(L, -1, &j->action);
    s->scene.action = &j->action;
  } else {
    s->scene.action = &dgam_scene_actions[CHOICE(L, idx, "action", dgam_scene_actions, DGAM_ACTIONS, 0)];
  }
  lua_pop(L, 1);
  s->scene.actor = CHOICE(L, idx, "actor", dgam_scene_actors, DGAM_ACTORS, 0);
  s->scene.outfit = CHOICE(L, idx, "outfit", dgam_scene_outfits, DGAM_OUTFITS, 0);
  s->scene.location = CHOICE(L, idx, "location", dgam_scene_locations, DGAM_LOCATIONS, 0);
  s->scene.spot = CHOICE(L, idx, "spot", dgam_scene_spots, DGAM_SPOTS, 1);
  s->scene.scale = dgl_optfield_number(L, idx, "scale", s->scene.scale);
  s->scene.width = small_integer(L, idx, "width", s->scene.width);
  s->scene.height = small_integer(L, idx, "height", s->scene.height);
  s->scene.empty = dgl_optfield_boolean(L, idx, "empty", 0);
  s->frames = small_integer(L, idx, "frames", s->frames);
  s->every = small_integer(L, idx, "every", s->every);
  s->fps_num = small_integer(L, idx, "fps", s->fps_num);
  s->subframes = small_integer(L, idx, "subframes", s->subframes);
  const dgam_camera_preset *light = dgam_camera_preset_find(dgl_optfield_string(L, idx, "light", "bright"));
  if (!light) dgl_error(L, "%s", dgam_error());
  s->target = dgl_optfield_number(L, idx, "target", light->target);
  s->lux = dgl_optfield_number(L, idx, "lux", .5 * (light->lux[0] + light->lux[1]));
  dgl_camera_options(L, idx, &s->camera, &s->stages);
  s->jitter = dgl_optfield_number(L, idx, "jitter", 1.5);
}

static void push_result(lua_State *L, const job *j) {
  const dgam_clip_result *r = &j->result;
  const struct { const char *name; double value; } field[] = {
      {"lux", j->spec.lux}, {"time", r->time}, {"gain", r->gain}, {"sensitivity", r->sensitivity},
      {"read", r->read},    {"luma", r->luma}, {"zeros", r->zeros}, {"low", r->low}};
  lua_createtable(L, 0, 8);
  for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
    lua_pushnumber(L, field[i].value);
    lua_setfield(L, -2, field[i].name);
  }
}

/* film(clip) -> uint8 tensor [3,F,H,W], result; with bytes = true a string [F,H,W,3] instead; with linear = true the
 * light before the camera, float [3,F,H,W] */
static int scene_film(lua_State *L) {
  job *j = lua_newuserdatauv(L, sizeof *j, 0);
  read_job(L, 1, j);
  dgam_clip_spec *s = &j->spec;
  if (s->frames < 1 || s->scene.width < 8 || s->scene.height < 8 || s->frames > 100000 || s->scene.width > 8192 || s->scene.height > 8192)
    return dgl_error(L, "clip is %d frames of %d x %d, expected 1 to 100000 of 8 to 8192 each", s->frames, s->scene.width, s->scene.height);
  size_t frames = (size_t)s->frames, area = (size_t)s->scene.width * (size_t)s->scene.height;
  int64_t sizes[4] = {3, s->frames, s->scene.height, s->scene.width};
  dgl_view out;
  if (dgl_optfield_boolean(L, 1, "linear", 0)) {
    float *rgb = lua_newuserdatauv(L, 3 * frames * area * sizeof *rgb, 0);
    dgl_newtensor(L, DGL_F32, 4, sizes, &out);
    dgl_check(L, dgam_clip_light(s, rgb));
    for (size_t f = 0; f < frames; f++)
      for (size_t k = 0; k < 3; k++) memcpy((float *)out.data + (k * frames + f) * area, rgb + (f * 3 + k) * area, area * sizeof *rgb);
    return 1;
  }
  uint8_t *rgb = lua_newuserdatauv(L, 3 * frames * area, 0);
  if (dgl_optfield_boolean(L, 1, "bytes", 0)) {
    dgl_check(L, dgam_clip_film(s, rgb, &j->result));
    lua_pushlstring(L, (const char *)rgb, 3 * frames * area);
  } else {
    dgl_newtensor(L, DGL_U8, 4, sizes, &out);
    dgl_check(L, dgam_clip_film(s, rgb, &j->result));
    uint8_t *to = out.data;
    for (size_t k = 0; k < 3; k++)
      for (size_t i = 0; i < frames * area; i++) to[k * frames * area + i] = rgb[3 * i + k];
  }
  push_result(L, j);
  return 2;
}

static dgam_status write_jobs(void *ctx, size_t begin, size_t end, int ith, int nth) {
  job *jobs = ctx;
  (void)ith, (void)nth;
  for (size_t i = begin; i < end; i++) DGAM_TRY(dgam_clip_write(&jobs[i].spec, jobs[i].path, &jobs[i].result));
  return DGAM_OK;
}

/* write(list of clips, each with `path`) -> list of results. Clips are shared among threads; the files do not depend on
 * how many there are. */
static int scene_write(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 1);
  if (n > 100000) return dgl_error(L, "%I clips in one call, expected at most 100000", (lua_Integer)n);
  job *jobs = lua_newuserdatauv(L, (n ? n : 1) * sizeof *jobs, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    read_job(L, -1, &jobs[i]);
    jobs[i].path = dgl_optfield_string(L, -1, "path", NULL); /* stays alive: the list holds it */
    if (!jobs[i].path) return dgl_error(L, "clip %I has no path", (lua_Integer)i + 1);
    lua_pop(L, 1);
  }
  dgl_check(L, dgam_parallel(n, write_jobs, jobs));
  lua_createtable(L, (int)n, 0);
  for (lua_Unsigned i = 0; i < n; i++) {
    push_result(L, &jobs[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* flush(folder): what was written below it reaches the disk before this returns. */
static int scene_flush(lua_State *L) {
  int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int bad = fd < 0 || syncfs(fd) != 0 ? errno : 0;
  if (fd >= 0) close(fd);
  return bad ? dgl_error(L, "%s: cannot be synced to disk: %s", luaL_checkstring(L, 1), strerror(bad)) : 0;
}

DGL_EXPORT int luaopen_dgamnative_scene(lua_State *L);
int luaopen_dgamnative_scene(lua_State *L) {
  static const luaL_Reg functions[] = {{"cast", scene_cast}, {"film", scene_film}, {"write", scene_write}, {"flush", scene_flush}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
