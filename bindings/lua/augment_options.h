/* augment_options.h - options for changing the pixels of a clip, from Lua: shared by augment.c, enhance.c and video.c. */
#ifndef DGL_AUGMENT_OPTIONS_H
#define DGL_AUGMENT_OPTIONS_H

#include "lua/dgl.h"
#include "video/sample.h"

/* Names of the fields read below, for dgl_checkfields. */
#define DGL_AUGMENT_FIELDS \
  "brightness", "contrast", "saturation", "hue", "randaugment", "gamma", "erase", "erase_area", "erase_ratio", "erase_fill", "enhance"

/* Fills s->augment, s->enhance and s->enhanced from those fields of the table at idx: pairs {least, most} (randaugment: {changes,
 * magnitude}), numbers for erase and erase_fill, enhance = { name =, its options }. Raises a Lua error that names a wrong type. */
void dgl_augment_options(lua_State *L, int idx, dgam_sampling *s);

/* { name =, its options } at idx. Raises a Lua error that names what is wrong. */
dgam_enhance dgl_enhance_options(lua_State *L, int idx);

/* Pushes {kind = name, value =}, with the rectangle for erasing. */
void dgl_pushchange(lua_State *L, const dgam_change *change);

#endif
