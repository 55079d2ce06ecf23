/* video.c - dgamnative.video: reading, sampling and writing videos, and decoding threads. dgam.video documents it.
 *
 * Frame numbers count from 1 here, as every index does in Lua.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "lua/augment_options.h"
#include "lua/dgl.h"
#include "video/decode.h"
#include "video/encode.h"
#include "video/pool.h"
#include "video/sample.h"

#define VIDEO "dgam.video"
#define SAMPLING "dgam.sampling"
#define POOL "dgam.pool"
#define ENCODER "dgam.encoder"

static const char *const option_names[] = {"seconds", "pixels", "bytes", "index", "index_bytes", NULL};

/* The index folder's name stays in the table at idx. */
static dgam_video_options options_at(lua_State *L, int idx) {
  dgl_checkfields(L, idx, option_names);
  dgam_video_options o = {.seconds = dgl_optfield_number(L, idx, "seconds", 0), .index = dgl_optfield_string(L, idx, "index", NULL)};
  lua_Integer pixels = dgl_optfield_integer(L, idx, "pixels", 0), bytes = dgl_optfield_integer(L, idx, "bytes", 0);
  lua_Integer index_bytes = dgl_optfield_integer(L, idx, "index_bytes", 0);
  if (o.seconds < 0 || pixels < 0 || bytes < 0 || index_bytes < 0) dgl_error(L, "video: a limit is below 0");
  o.pixels = (size_t)pixels;
  o.bytes = (size_t)bytes;
  o.index_bytes = (size_t)index_bytes;
  return o;
}

static void push_info(lua_State *L, const dgam_video_info *i) {
  lua_createtable(L, 0, 14);
#define FIELD(push, name, value) (push(L, value), lua_setfield(L, -2, name))
  FIELD(lua_pushinteger, "width", i->width);
  FIELD(lua_pushinteger, "height", i->height);
  FIELD(lua_pushinteger, "rotation", i->rotation);
  FIELD(lua_pushboolean, "mirrored", i->mirrored);
  FIELD(lua_pushinteger, "frames", i->frames);
  FIELD(lua_pushnumber, "fps", i->fps);
  FIELD(lua_pushboolean, "intra", i->intra);
  FIELD(lua_pushboolean, "counted", i->counted);
  if (i->content) {
    char hex[24];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)i->content);
    FIELD(lua_pushstring, "content", hex);
  }
  if (*i->damage) FIELD(lua_pushstring, "damage", i->damage);
  FIELD(lua_pushstring, "codec", i->codec);
  FIELD(lua_pushstring, "pixels", i->pixels);
  FIELD(lua_pushstring, "format", i->format);
#undef FIELD
}

/* --- sampling --- */

static const char *const rule_names[] = {"train", "test", "test-1.x", "dense", "dense-test", NULL};
static const char *const crop_names[] = {"none", "centre", "three", "ten", "random", NULL};

static int choice(lua_State *L, int idx, const char *field, const char *const *names, int def) {
  const char *word = dgl_optfield_string(L, idx, field, names[def]);
  for (int i = 0; names[i]; i++)
    if (strcmp(word, names[i]) == 0) return i;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; names[i]; i++) {
    if (i) luaL_addstring(&b, ", ");
    luaL_addstring(&b, names[i]);
  }
  luaL_pushresult(&b);
  return dgl_error(L, "option '%s' is '%s', expected one of %s", field, word, lua_tostring(L, -1));
}

static int whole(lua_State *L, int idx, const char *field, int def) {
  lua_Integer v = dgl_optfield_integer(L, idx, field, def);
  if (v < INT32_MIN || v > INT32_MAX) dgl_error(L, "option '%s' is %I, which is out of range", field, (LUAI_UACINT)v);
  return (int)v;
}

static dgam_sampling *check_sampling(lua_State *L, int idx) { return luaL_checkudata(L, idx, SAMPLING); }

static int sampling_new(lua_State *L) {
  static const char *const names[] = {"clip_len", "interval", "clips", "rule", "window", "positions", "crop", "short", "size", "width",
                                      "height", "area", "ratio", "flip", "layout", "seed", DGL_AUGMENT_FIELDS, NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  dgl_checkfields(L, 1, names);
  dgam_sampling s = dgam_sampling_defaults();
  s.clips_rule = (dgam_clips)choice(L, 1, "rule", rule_names, 0);
  s.crop = (dgam_crop)choice(L, 1, "crop", crop_names, DGAM_CROP_RANDOM);
  s.clip_len = whole(L, 1, "clip_len", s.clip_len);
  s.interval = whole(L, 1, "interval", s.interval);
  s.clips = whole(L, 1, "clips", s.clips);
  s.window = whole(L, 1, "window", s.window);
  s.positions = whole(L, 1, "positions", s.positions);
  s.out_w = s.out_h = whole(L, 1, "size", s.out_w);
  s.out_w = whole(L, 1, "width", s.out_w);
  s.out_h = whole(L, 1, "height", s.out_h);
  s.short_side = whole(L, 1, "short", s.out_w > s.out_h ? s.out_w : s.out_h);
  dgl_optfield_pair(L, 1, "area", "{least, most}", s.area);
  dgl_optfield_pair(L, 1, "ratio", "{least, most}", s.ratio);
  s.flip = dgl_optfield_number(L, 1, "flip", s.flip);
  static const char *const layouts[] = {"CTHW", "TCHW", NULL};
  s.frames_first = choice(L, 1, "layout", layouts, 0);
  s.seed = (uint64_t)dgl_optfield_integer(L, 1, "seed", 0);
  dgl_augment_options(L, 1, &s);
  dgl_check(L, dgam_sampling_check(&s));
  memcpy(lua_newuserdatauv(L, sizeof s, 0), &s, sizeof s);
  luaL_setmetatable(L, SAMPLING);
  return 1;
}

/* The stream of a sample: the numbers from argument `first` on, e.g. epoch and position in the dataset. */
static uint64_t stream_at(lua_State *L, int first) {
  uint64_t stream = 0;
  for (int i = first; i <= lua_gettop(L); i++) stream = dgam_rng_mix(stream, (uint64_t)luaL_checkinteger(L, i));
  return stream;
}

static void view_shape(const dgam_sampling *s, int64_t shape[5]) {
  shape[0] = dgam_sampling_views(s);
  shape[1] = s->frames_first ? s->clip_len : 3;
  shape[2] = s->frames_first ? 3 : s->clip_len;
  shape[3] = s->out_h;
  shape[4] = s->out_w;
}

/* sampling:shape() -> views, 3, T, H, W (or T, 3) */
static int sampling_shape(lua_State *L) {
  int64_t shape[5];
  view_shape(check_sampling(L, 1), shape);
  for (int i = 0; i < 5; i++) lua_pushinteger(L, shape[i]);
  return 5;
}

/* sampling:views{width=, height=, frames=}, ... -> list of {frames = {..}, x, y, width, height, to = {w, h}, window = {x, y, w, h}, flip} */
static int sampling_views(lua_State *L) {
  dgam_sampling s = *check_sampling(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  dgam_video_info info = {.width = whole(L, 2, "width", 0), .height = whole(L, 2, "height", 0)};
  info.frames = dgl_optfield_integer(L, 2, "frames", 0);
  if (info.width < 1 || info.height < 1)
    dgl_error(L, "video of %d x %d pixels, expected width and height of 1 or more", info.width, info.height);
  s.stream = stream_at(L, 3);
  size_t n = (size_t)dgam_sampling_views(&s), length = (size_t)s.clip_len;
  dgam_view *views = lua_newuserdatauv(L, n * sizeof *views, 0);
  int64_t *frames = lua_newuserdatauv(L, n * length * sizeof *frames, 0);
  dgl_check(L, dgam_sample_views(&s, &info, frames, views, NULL));
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    const dgam_view *v = &views[i];
    const int numbers[] = {v->x, v->y, v->resize.w, v->resize.h, v->resize.rw, v->resize.rh, v->resize.ox, v->resize.oy, v->resize.ow, v->resize.oh};
    static const char *const names[] = {"x", "y", "width", "height", "to_width", "to_height", "window_x", "window_y", "out_width", "out_height"};
    lua_createtable(L, 0, 12);
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) lua_pushinteger(L, numbers[k]), lua_setfield(L, -2, names[k]);
    lua_pushboolean(L, v->resize.flip);
    lua_setfield(L, -2, "flip");
    lua_createtable(L, (int)length, 0);
    for (size_t t = 0; t < length; t++) lua_pushinteger(L, v->frames[t] + 1), lua_rawseti(L, -2, (lua_Integer)t + 1);
    lua_setfield(L, -2, "frames");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* sampling:changes(...) -> list of {kind = name, value =, x =, y =, width =, height =}; the numbers choose the draws */
static int sampling_changes(lua_State *L) {
  dgam_sampling s = *check_sampling(L, 1);
  s.stream = stream_at(L, 2);
  dgam_change changes[DGAM_CHANGES];
  int n = dgam_sampling_changes(&s, changes);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    dgl_pushchange(L, &changes[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* --- video --- */

static dgam_video **video_slot(lua_State *L) { return luaL_checkudata(L, 1, VIDEO); }

static dgam_video *check_video(lua_State *L) {
  dgam_video **v = video_slot(L);
  if (!*v) dgl_error(L, "this video is closed");
  return *v;
}

static int video_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  dgam_video_options options = options_at(L, 2);
  dgam_video **v = lua_newuserdatauv(L, sizeof *v, 0);
  *v = NULL;
  luaL_setmetatable(L, VIDEO);
  dgl_check_file(L, dgam_video_open(v, path, &options));
  return 1;
}

static int video_close(lua_State *L) {
  dgam_video **v = video_slot(L);
  dgam_video_close(*v);
  *v = NULL;
  return 0;
}

static int video_info(lua_State *L) {
  dgam_video_info info;
  dgam_video_get_info(check_video(L), &info);
  push_info(L, &info);
  return 1;
}

/* video:count() -> frames, damage or nil */
static int video_count(lua_State *L) {
  dgam_video *v = check_video(L);
  dgl_check_file(L, dgam_video_count(v));
  dgam_video_info info;
  dgam_video_get_info(v, &info);
  lua_pushinteger(L, info.frames);
  if (*info.damage) lua_pushstring(L, info.damage);
  else lua_pushnil(L);
  return 2;
}

static int video_tostring(lua_State *L) {
  dgam_video **v = video_slot(L);
  if (!*v) {
    lua_pushliteral(L, "video (closed)");
    return 1;
  }
  dgam_video_info i;
  dgam_video_get_info(*v, &i);
  lua_pushfstring(L, "video (%s, %d x %d, %I frames, %f per second)", i.codec, i.width, i.height, (LUAI_UACINT)i.frames, i.fps);
  return 1;
}

/* Frame numbers: {n, n, ...}, or first and last (default: all), as 0-based numbers in a userdata on the stack. */
static int64_t *frame_numbers(lua_State *L, const dgam_video_info *info, size_t *n) {
  int64_t *numbers;
  if (lua_istable(L, 2)) {
    *n = (size_t)luaL_len(L, 2);
    numbers = lua_newuserdatauv(L, (*n + 1) * sizeof *numbers, 0);
    for (size_t i = 0; i < *n; i++) {
      int ok;
      lua_geti(L, 2, (lua_Integer)i + 1);
      numbers[i] = lua_tointegerx(L, -1, &ok) - 1;
      if (!ok) dgl_error(L, "frame number %d is %s, expected a whole number", (int)i + 1, luaL_tolstring(L, -1, NULL));
      lua_pop(L, 1);
    }
  } else {
    int64_t first = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, lua_isnoneornil(L, 2) ? info->frames : first);
    if (first < 1 || last > info->frames) dgl_error(L, "frames %I to %I are wanted, the video has 1 to %I", (LUAI_UACINT)first,
                                                     (LUAI_UACINT)last, (LUAI_UACINT)info->frames);
    *n = last >= first ? (size_t)(last - first + 1) : 0;
    numbers = lua_newuserdatauv(L, (*n + 1) * sizeof *numbers, 0);
    for (size_t i = 0; i < *n; i++) numbers[i] = first - 1 + (int64_t)i;
  }
  for (size_t i = 0; i < *n; i++)
    if (numbers[i] < 0 || numbers[i] >= info->frames)
      dgl_error(L, "frame %I is wanted, the video has 1 to %I", (LUAI_UACINT)(numbers[i] + 1), (LUAI_UACINT)info->frames);
  return numbers;
}

static int video_frames(lua_State *L) {
  dgam_video *v = check_video(L);
  dgam_video_info info;
  dgam_video_get_info(v, &info);
  size_t n;
  int64_t *numbers = frame_numbers(L, &info, &n);
  dgl_view out;
  dgl_newtensor(L, DGL_U8, 4, (int64_t[]){(int64_t)n, 3, info.height, info.width}, &out);
  dgl_check_file(L, dgam_video_frames(v, numbers, n, out.data));
  return 1;
}

static int video_sample(lua_State *L) {
  dgam_video *v = check_video(L);
  dgam_sampling s = *check_sampling(L, 2);
  s.stream = stream_at(L, 3);
  int64_t shape[5];
  view_shape(&s, shape);
  dgl_view out;
  dgl_newtensor(L, DGL_U8, 5, shape, &out);
  dgl_check_file(L, dgam_video_sample(v, &s, out.data));
  return 1;
}

/* --- decoding threads --- */

static dgam_pool **pool_slot(lua_State *L) { return luaL_checkudata(L, 1, POOL); }

static dgam_pool *check_pool(lua_State *L) {
  dgam_pool **p = pool_slot(L);
  if (!*p) dgl_error(L, "these decoding threads were ended");
  return *p;
}

/* pool(threads, options, cache): cache = { folder =, bytes = } */
static int pool_new(lua_State *L) {
  static const char *const names[] = {"folder", "bytes", NULL};
  lua_Integer threads = luaL_checkinteger(L, 1);
  dgam_video_options options = options_at(L, 2);
  dgl_checkfields(L, 3, names);
  const char *folder = dgl_optfield_string(L, 3, "folder", NULL);
  lua_Integer bytes = dgl_optfield_integer(L, 3, "bytes", 0);
  dgam_pool **p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = NULL;
  luaL_setmetatable(L, POOL);
  dgl_check(L, dgam_pool_create(p, threads < 0 || threads > 100000 ? 0 : (int)threads, &options));
  if (folder) {
    dgam_clip_cache *cache;
    dgl_check(L, dgam_clip_cache_open(&cache, folder, bytes < 0 ? 0 : (uint64_t)bytes));
    dgam_pool_use_cache(*p, cache);
  }
  return 1;
}

static int pool_close(lua_State *L) {
  dgam_pool **p = pool_slot(L);
  dgam_pool_destroy(*p);
  *p = NULL;
  return 0;
}

static int pool_cancel(lua_State *L) { return dgam_pool_cancel(check_pool(L)), 0; }
static int pool_pending(lua_State *L) { return lua_pushinteger(L, (lua_Integer)dgam_pool_pending(check_pool(L))), 1; }

/* pool:submit(path, sampling | nil, epoch, position, ...): nil only counts frames. The numbers choose the draws; a table of numbers before
 * them those of frames, crop and flip, the rest then only those of changes of pixels. */
static int pool_submit(lua_State *L) {
  dgam_pool *p = check_pool(L);
  const char *path = luaL_checkstring(L, 2);
  if (lua_isnoneornil(L, 3)) {
    dgl_check(L, dgam_pool_submit(p, path, NULL));
    return 0;
  }
  dgam_sampling s = *check_sampling(L, 3);
  int table = lua_istable(L, 4);
  s.stream = stream_at(L, table ? 5 : 4);
  if (table) {
    s.changes = s.stream, s.stream = 0;
    for (lua_Integer i = 1; i <= luaL_len(L, 4); i++) {
      lua_geti(L, 4, i);
      s.stream = dgam_rng_mix(s.stream, (uint64_t)luaL_checkinteger(L, -1));
      lua_pop(L, 1);
    }
  }
  dgl_check(L, dgam_pool_submit(p, path, &s));
  return 0;
}

/* pool:next(tensor, row): the oldest job's views into tensor rows (row-1) V + 1 .. row V -> info, or nil and the message.
 * Without a tensor the views are dropped. Ctrl-C is an error. */
static int pool_next(lua_State *L) {
  dgam_pool *p = check_pool(L);
  dgl_view to = {0};
  int given = !lua_isnoneornil(L, 2);
  if (given) dgl_checktensor(L, 2, DGL_U8, -1, "tensor for the views", &to);
  lua_Integer row = given ? luaL_checkinteger(L, 3) : 1;
  dgam_pool_result r;
  dgl_check(L, dgam_pool_next(p, &r));
  int fits = !given || !r.views || (row >= 1 && (size_t)row <= to.count / r.bytes);
  if (given && fits && r.views) memcpy((uint8_t *)to.data + (size_t)(row - 1) * r.bytes, r.views, r.bytes);
  dgam_pool_release(p, &r);
  if (!fits) return dgl_error(L, "row %I of %I bytes does not fit a tensor of %I bytes", (LUAI_UACINT)row, (LUAI_UACINT)r.bytes,
                               (LUAI_UACINT)to.count);
  if (r.status != DGAM_OK) {
    lua_pushnil(L);
    lua_pushstring(L, *r.message ? r.message : dgam_status_name(r.status));
    return 2;
  }
  push_info(L, &r.info);
  lua_pushnumber(L, r.seconds);
  lua_setfield(L, -2, "seconds");
  lua_pushboolean(L, r.cached);
  lua_setfield(L, -2, "cached");
  return 1;
}

/* pool:cache_failure(): why views can no longer be entered in the cache, once; else nil. */
static int pool_cache_failure(lua_State *L) {
  char why[DGAM_ERROR_ROOM];
  if (!dgam_pool_cache_failure(check_pool(L), why, sizeof why)) return 0;
  lua_pushstring(L, why);
  return 1;
}

/* --- encoder --- */

typedef struct writer {
  dgam_encoder *e;
  int width, height;
} writer;

static writer *check_writer(lua_State *L) {
  writer *w = luaL_checkudata(L, 1, ENCODER);
  if (!w->e) dgl_error(L, "this video file is finished");
  return w;
}

static int encoder_new(lua_State *L) {
  static const char *const names[] = {"width", "height", "fps", "quality", "codec", "pixels", "options", "bt709", "full_range", NULL};
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  dgl_checkfields(L, 2, names);
  double fps = dgl_optfield_number(L, 2, "fps", 30);
  if (!(fps > 0 && fps <= 100000)) dgl_error(L, "option 'fps' is %f, expected more than 0", fps);
  /* 29.97 and its like are multiples of 1/1.001; anything else is taken to a thousandth */
  int broadcast = fps * 1.001 - (int)(fps * 1.001 + 0.5) < 1e-4 && (int)(fps * 1.001 + 0.5) - fps * 1.001 < 1e-4 && fps != (int)fps;
  dgam_encoder_spec s = dgam_encoder_defaults(whole(L, 2, "width", 0), whole(L, 2, "height", 0),
                                              broadcast ? (int)(fps * 1.001 + 0.5) * 1000 : (int)(fps * 1000 + 0.5), broadcast ? 1001 : 1000);
  if (fps == (int)fps) s.fps_num = (int)fps, s.fps_den = 1;
  s.quality = whole(L, 2, "quality", s.quality);
  s.codec = dgl_optfield_string(L, 2, "codec", s.codec);
  s.pixels = dgl_optfield_string(L, 2, "pixels", NULL);
  s.options = dgl_optfield_string(L, 2, "options", NULL);
  s.bt709 = dgl_optfield_boolean(L, 2, "bt709", 0);
  s.full_range = dgl_optfield_boolean(L, 2, "full_range", strcmp(s.codec, "mjpeg") == 0);
  writer *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (writer){NULL, s.width, s.height};
  luaL_setmetatable(L, ENCODER);
  dgl_check_file(L, dgam_encoder_open(&w->e, path, &s));
  return 1;
}

/* encoder:write(frames): uint8 [3,H,W] or [T,3,H,W] */
static int encoder_write(lua_State *L) {
  writer *w = check_writer(L);
  dgl_view v;
  dgl_checktensor(L, 2, DGL_U8, -1, "frames", &v);
  if ((v.ndim != 3 && v.ndim != 4) || v.sizes[v.ndim - 3] != 3 || v.sizes[v.ndim - 2] != w->height || v.sizes[v.ndim - 1] != w->width)
    dgl_error(L, "frames must be uint8 [3,%d,%d] or [T,3,%d,%d]", w->height, w->width, w->height, w->width);
  size_t plane = (size_t)w->width * (size_t)w->height;
  uint8_t *rgb = lua_newuserdatauv(L, 3 * plane, 0);
  for (size_t t = 0; t < v.count / (3 * plane); t++) {
    const uint8_t *from = (const uint8_t *)v.data + 3 * plane * t;
    for (size_t i = 0; i < plane; i++)
      for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = from[c * plane + i];
    dgl_check_file(L, dgam_encoder_rgb(w->e, rgb, 0));
  }
  return 0;
}

static int encoder_finish(lua_State *L) {
  dgl_check_file(L, dgam_encoder_finish(&check_writer(L)->e));
  return 0;
}

static int encoder_abandon(lua_State *L) {
  writer *w = luaL_checkudata(L, 1, ENCODER);
  dgam_encoder_abandon(&w->e);
  return 0;
}

/* --- module --- */

static void make_class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

DGL_EXPORT int luaopen_dgamnative_video(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg video_meta[] = {{"__gc", video_close}, {"__close", video_close}, {"__tostring", video_tostring}, {NULL, NULL}};
  static const luaL_Reg video_methods[] = {{"info", video_info},     {"frames", video_frames}, {"sample", video_sample},
                                           {"count", video_count},   {"close", video_close},   {NULL, NULL}};
  static const luaL_Reg sampling_methods[] = {{"shape", sampling_shape}, {"views", sampling_views}, {"changes", sampling_changes}, {NULL, NULL}};
  static const luaL_Reg pool_meta[] = {{"__gc", pool_close}, {"__close", pool_close}, {NULL, NULL}};
  static const luaL_Reg pool_methods[] = {{"submit", pool_submit}, {"next", pool_next},   {"pending", pool_pending}, {"cache_failure", pool_cache_failure},
                                          {"cancel", pool_cancel}, {"close", pool_close}, {NULL, NULL}};
  static const luaL_Reg encoder_meta[] = {{"__gc", encoder_abandon}, {"__close", encoder_abandon}, {NULL, NULL}};
  static const luaL_Reg encoder_methods[] = {{"write", encoder_write}, {"finish", encoder_finish}, {"abandon", encoder_abandon}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"open", video_open}, {"sampling", sampling_new}, {"pool", pool_new}, {"encoder", encoder_new}, {NULL, NULL}};
  make_class(L, VIDEO, video_meta, video_methods);
  make_class(L, SAMPLING, none, sampling_methods);
  make_class(L, POOL, pool_meta, pool_methods);
  make_class(L, ENCODER, encoder_meta, encoder_methods);
  luaL_newlib(L, functions);
  lua_pushinteger(L, DGAM_POOL_THREADS);
  lua_setfield(L, -2, "max_threads");
  return 1;
}
