/* augment.c - dgamnative.augment: changes of the pixels of a clip. dgam.augment documents it. */
#include <stdlib.h>

#include "lua/augment_options.h"
#include "lua/dgl.h"

/* --- options --- */

static size_t optfield_size(lua_State *L, int idx, const char *field, size_t def) {
  lua_Integer v = dgl_optfield_integer(L, idx, field, (lua_Integer)def);
  return v < 0 ? 0 : (size_t)v;
}

void dgl_augment_options(lua_State *L, int idx, dgam_sampling *s) {
  dgam_augment *a = &s->augment;
  idx = lua_absindex(L, idx);
  dgl_optfield_pair(L, idx, "brightness", "{least, most}", a->brightness);
  dgl_optfield_pair(L, idx, "contrast", "{least, most}", a->contrast);
  dgl_optfield_pair(L, idx, "saturation", "{least, most}", a->saturation);
  dgl_optfield_pair(L, idx, "hue", "{least, most}", a->hue);
  dgl_optfield_pair(L, idx, "gamma", "{least, most}", a->gamma);
  double rand[2] = {0, a->magnitude};
  dgl_optfield_pair(L, idx, "randaugment", "{changes, magnitude}", rand);
  for (int i = 0; i < 2; i++)
    if (!(rand[i] >= 0 && rand[i] <= 1000)) dgl_error(L, "randaugment is %f, expected 0 or more", rand[i]);
  a->ops = (int)rand[0], a->magnitude = (int)rand[1];
  a->erase = dgl_optfield_number(L, idx, "erase", 0);
  dgl_optfield_pair(L, idx, "erase_area", "{least, most}", a->erase_area);
  dgl_optfield_pair(L, idx, "erase_ratio", "{least, most}", a->erase_ratio);
  lua_Integer fill = dgl_optfield_integer(L, idx, "erase_fill", 0);
  a->erase_fill = fill < -1 || fill > 255 ? 256 : (int)fill;
  if (lua_getfield(L, idx, "enhance") != LUA_TNIL) {
    s->enhance = dgl_enhance_options(L, lua_gettop(L));
    s->enhanced = 1;
  }
  lua_pop(L, 1);
}

void dgl_pushchange(lua_State *L, const dgam_change *c) {
  lua_createtable(L, 0, 6);
  lua_pushstring(L, dgam_change_name(c->kind));
  lua_setfield(L, -2, "kind");
  lua_pushnumber(L, c->value);
  lua_setfield(L, -2, "value");
  if (c->kind != DGAM_ERASE) return;
  const int numbers[] = {c->x + 1, c->y + 1, c->w, c->h};
  static const char *const names[] = {"x", "y", "width", "height"};
  for (int i = 0; i < 4; i++) lua_pushinteger(L, numbers[i]), lua_setfield(L, -2, names[i]);
  lua_pushboolean(L, c->noisy);
  lua_setfield(L, -2, "noise");
}

/* --- functions --- */

/* apply(clip uint8 [3,T,H,W], {kind =, value =, x =, y =, width =, height =}): in place */
static int augment_apply(lua_State *L) {
  static const char *const names[] = {"kind", "value", "x", "y", "width", "height", NULL};
  dgl_view v;
  dgl_checktensor(L, 1, DGL_U8, 4, "clip", &v);
  luaL_checktype(L, 2, LUA_TTABLE);
  dgl_checkfields(L, 2, names);
  if (v.sizes[0] != 3 || v.count == 0 || v.sizes[2] > 32768 || v.sizes[3] > 32768)
    dgl_error(L, "the clip is not uint8 [3,T,H,W] of 1 to 32768 pixels a side");
  const char *kind = dgl_optfield_string(L, 2, "kind", "");
  dgam_change c = {.kind = dgam_change_kind_of(kind), .value = dgl_optfield_number(L, 2, "value", 0)};
  if (c.kind == DGAM_CHANGE_KINDS) dgl_error(L, "there is no change '%s'", kind);
  c.x = (int)optfield_size(L, 2, "x", 1) - 1, c.y = (int)optfield_size(L, 2, "y", 1) - 1;
  c.w = (int)optfield_size(L, 2, "width", 0), c.h = (int)optfield_size(L, 2, "height", 0);
  dgam_pixels clip = {.data = v.data, .frames = (size_t)v.sizes[1], .w = (int)v.sizes[3], .h = (int)v.sizes[2]};
  clip.frame = (size_t)v.sizes[2] * (size_t)v.sizes[3];
  clip.plane = clip.frame * clip.frames;
  void *scratch = malloc(dgam_change_scratch(clip.w, clip.h));
  dgam_status s = scratch ? dgam_change_run(&c, &clip, scratch) : dgam_fail(DGAM_ENOMEM, "no memory to change a clip");
  free(scratch);
  dgl_check(L, s);
  lua_settop(L, 1);
  return 1;
}

DGL_EXPORT int luaopen_dgamnative_augment(lua_State *L);
int luaopen_dgamnative_augment(lua_State *L) {
  static const luaL_Reg functions[] = {{"apply", augment_apply}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
