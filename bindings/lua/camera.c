/* camera.c - dgamnative.camera: the camera model of core/light/camera.h. Documented for users in lua/dgam/kernels/camera.lua. */
#include <string.h>

#include "lua/camera_options.h"

/* --- options --- */

typedef struct number_field {
  const char *name;
  size_t offset;
} number_field;

#define FIELD(f) {#f, offsetof(dgam_camera_model, f)}
static const number_field number_fields[] = {
    FIELD(sensitivity), FIELD(dark), FIELD(prnu), FIELD(read), FIELD(read_slope), FIELD(tukey), FIELD(row), FIELD(column),
    FIELD(dsnu), FIELD(k0), FIELD(gain_most), FIELD(black), FIELD(black_error), FIELD(exposure_most), FIELD(alpha),
    FIELD(mix), FIELD(kappa)};
enum { NUMBERS = sizeof number_fields / sizeof *number_fields };

static void numbers(lua_State *L, int idx, const char *name, double *out, int n) {
  if (lua_getfield(L, idx, name) != LUA_TNIL) {
    if (!lua_istable(L, -1) || lua_rawlen(L, -1) != (lua_Unsigned)n)
      dgl_error(L, "camera model: '%s' is %s, expected a list of %d numbers", name, luaL_tolstring(L, -1, NULL), n);
    for (int i = 0; i < n; i++) {
      lua_rawgeti(L, -1, i + 1);
      int ok;
      out[i] = lua_tonumberx(L, -1, &ok);
      if (!ok) dgl_error(L, "camera model: '%s' holds %s, expected numbers", name, luaL_tolstring(L, -1, NULL));
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

void dgl_camera_options(lua_State *L, int idx, dgam_camera_model *model, unsigned *stages) {
  static const char *known[NUMBERS + 5];
  const dgam_camera_model *m = dgam_camera_find(dgl_optfield_string(L, idx, "camera", "brio"));
  if (!m) dgl_error(L, "%s", dgam_error());
  *model = *m;
  *stages = DGAM_CAMERA_ALL;
  if (lua_isnoneornil(L, idx)) return;
  idx = lua_absindex(L, idx);
  if (lua_getfield(L, idx, "model") != LUA_TNIL) {
    int at = lua_absindex(L, -1);
    if (!lua_istable(L, at)) dgl_error(L, "option 'model' is %s, expected a table", luaL_tolstring(L, -1, NULL));
    for (int i = 0; i < NUMBERS; i++) known[i] = number_fields[i].name;
    known[NUMBERS] = "cfa", known[NUMBERS + 1] = "matrix", known[NUMBERS + 2] = "quality", known[NUMBERS + 3] = NULL;
    dgl_checkfields(L, at, known);
    for (int i = 0; i < NUMBERS; i++) {
      double *value = (double *)((char *)model + number_fields[i].offset);
      *value = dgl_optfield_number(L, at, number_fields[i].name, *value);
    }
    model->quality = (int)dgl_optfield_integer(L, at, "quality", model->quality);
    numbers(L, at, "cfa", model->cfa, 3);
    numbers(L, at, "matrix", model->matrix, 9);
  }
  lua_pop(L, 1);
  dgl_check(L, dgam_camera_check(model));
  if (lua_getfield(L, idx, "stages") != LUA_TNIL) {
    int at = lua_absindex(L, -1);
    const char *names[DGAM_CAMERA_STAGES + 1] = {0};
    memcpy(names, dgam_camera_stage_names, sizeof dgam_camera_stage_names);
    dgl_checkfields(L, at, names);
    for (int i = 0; i < DGAM_CAMERA_STAGES; i++)
      if (!dgl_optfield_boolean(L, at, names[i], 1)) *stages &= ~(1u << i);
  }
  lua_pop(L, 1);
}

/* --- describing --- */

static void set_number(lua_State *L, const char *name, double v) {
  lua_pushnumber(L, v);
  lua_setfield(L, -2, name);
}

static void set_list(lua_State *L, const char *name, const double *v, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushnumber(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, name);
}

/* models() -> list of { name=, sensitivity=, ... }, presets() -> list of { name=, lux={from,to}, target= } */
static int camera_models(lua_State *L) {
  lua_createtable(L, DGAM_CAMERA_MODELS, 0);
  for (int i = 0; i < DGAM_CAMERA_MODELS; i++) {
    const dgam_camera_model *m = &dgam_camera_models[i];
    lua_newtable(L);
    lua_pushstring(L, m->name);
    lua_setfield(L, -2, "name");
    for (int f = 0; f < NUMBERS; f++) set_number(L, number_fields[f].name, *(const double *)((const char *)m + number_fields[f].offset));
    set_list(L, "cfa", m->cfa, 3);
    set_list(L, "matrix", m->matrix, 9);
    lua_pushinteger(L, m->quality);
    lua_setfield(L, -2, "quality");
    lua_pushinteger(L, m->width);
    lua_setfield(L, -2, "width");
    lua_pushinteger(L, m->height);
    lua_setfield(L, -2, "height");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int camera_presets(lua_State *L) {
  lua_createtable(L, DGAM_CAMERA_PRESETS, 0);
  for (int i = 0; i < DGAM_CAMERA_PRESETS; i++) {
    const dgam_camera_preset *p = &dgam_camera_presets[i];
    lua_newtable(L);
    lua_pushstring(L, p->name);
    lua_setfield(L, -2, "name");
    set_list(L, "lux", p->lux, 2);
    set_number(L, "target", p->target);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* --- filming --- */

#define CAMERA "dgam.camera"

typedef struct handle {
  dgam_camera *camera;
  int width, height, quality;
  uint8_t *rgb; /* [H,W,3], inside this userdata */
} handle;

static handle *check_handle(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CAMERA);
  if (!h->camera) dgl_error(L, "the camera is closed");
  return h;
}

/* new{ width=, height=, camera=, model=, stages=, jitter=, lux=, mean=, light=, target=, seed=, stream= } -> camera, info */
static int camera_new(lua_State *L) {
  static const char *const known[] = {"width", "height", "lux", "mean", "light", "target", "seed", "stream",
                                      DGL_CAMERA_FIELDS, NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  dgl_checkfields(L, 1, known);
  dgam_camera_model m;
  dgam_camera_exposure x;
  unsigned stages;
  dgl_camera_options(L, 1, &m, &stages);
  double mean[3] = {.2, .2, .2}, light[3] = {1, 1, 1};
  numbers(L, 1, "mean", mean, 3);
  numbers(L, 1, "light", light, 3);
  lua_Integer width = dgl_optfield_integer(L, 1, "width", 64), height = dgl_optfield_integer(L, 1, "height", 64);
  uint64_t seed = (uint64_t)dgl_optfield_integer(L, 1, "seed", 0), stream = (uint64_t)dgl_optfield_integer(L, 1, "stream", 0);
  if (width < 2 || width > 16384 || height < 2 || height > 16384)
    return dgl_error(L, "frame is %I x %I, expected 2 to 16384 each", width, height);
  dgl_check(L, dgam_camera_jitter(&m, dgl_optfield_number(L, 1, "jitter", 1), seed, stream));
  float colour[3] = {(float)light[0], (float)light[1], (float)light[2]};
  dgam_camera_balance(&m, colour);
  dgl_check(L, dgam_camera_expose(&m, dgl_optfield_number(L, 1, "lux", 1), mean, dgl_optfield_number(L, 1, "target", .18), &x));
  size_t bytes = 3 * (size_t)width * (size_t)height;
  handle *h = lua_newuserdatauv(L, sizeof *h + bytes, 0);
  *h = (handle){.width = (int)width, .height = (int)height, .quality = m.quality, .rgb = (uint8_t *)(h + 1)};
  luaL_setmetatable(L, CAMERA);
  dgl_check(L, dgam_camera_open(&h->camera, &m, (int)width, (int)height, &x, stages, seed, stream));
  double sigma[3];
  dgam_camera_dark_sigma(h->camera, sigma);
  lua_newtable(L);
  set_number(L, "lux", x.lux);
  set_number(L, "time", x.time);
  set_number(L, "gain", x.gain);
  set_number(L, "sensitivity", m.sensitivity);
  set_number(L, "read", m.read);
  set_number(L, "row", m.row);
  set_number(L, "column", m.column);
  set_number(L, "dsnu", m.dsnu);
  set_number(L, "dark", m.dark);
  set_number(L, "quality", m.quality);
  set_list(L, "balance", m.balance, 3);
  set_list(L, "dark_sigma", sigma, 3);
  return 2;
}

/* camera:frame(light float [3,H,W]) -> uint8 [3,H,W] */
static int camera_frame(lua_State *L) {
  handle *h = check_handle(L);
  dgl_view light, out;
  dgl_checktensor(L, 2, DGL_F32, 3, "light", &light);
  if (light.sizes[0] != 3 || light.sizes[1] != h->height || light.sizes[2] != h->width)
    return dgl_error(L, "light is (%I,%I,%I), expected (3,%d,%d)", (lua_Integer)light.sizes[0], (lua_Integer)light.sizes[1],
                      (lua_Integer)light.sizes[2], h->height, h->width);
  int64_t sizes[3] = {3, h->height, h->width};
  dgl_newtensor(L, DGL_U8, 3, sizes, &out);
  dgl_check(L, dgam_camera_frame(h->camera, light.data, h->rgb));
  size_t area = (size_t)h->width * (size_t)h->height;
  uint8_t *to = out.data;
  for (size_t k = 0; k < 3; k++)
    for (size_t i = 0; i < area; i++) to[k * area + i] = h->rgb[3 * i + k];
  return 1;
}

/* camera:raw() -> float [H,W], DN of the last frame; nil before the first and without a mosaic */
static int camera_raw(lua_State *L) {
  handle *h = check_handle(L);
  const float *raw = dgam_camera_raw(h->camera);
  if (!raw) return 0;
  dgl_view out;
  int64_t sizes[2] = {h->height, h->width};
  dgl_newtensor(L, DGL_F32, 2, sizes, &out);
  memcpy(out.data, raw, out.count * sizeof *raw);
  return 1;
}

static int camera_close(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, CAMERA);
  dgam_camera_close(&h->camera);
  return 0;
}

DGL_EXPORT int luaopen_dgamnative_camera(lua_State *L);
int luaopen_dgamnative_camera(lua_State *L) {
  static const luaL_Reg methods[] = {{"frame", camera_frame}, {"raw", camera_raw}, {"close", camera_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"models", camera_models}, {"presets", camera_presets}, {"new", camera_new}, {NULL, NULL}};
  luaL_newmetatable(L, CAMERA);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, camera_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, camera_close);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, functions);
  return 1;
}
