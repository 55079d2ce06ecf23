/* camera_options.h - a camera model from Lua: shared by camera.c and scene.c. */
#ifndef DGL_CAMERA_OPTIONS_H
#define DGL_CAMERA_OPTIONS_H

#include "light/camera.h"
#include "lua/dgl.h"

/* Names of the fields read below, for dgl_checkfields. */
#define DGL_CAMERA_FIELDS "camera", "model", "stages", "jitter"

/* Reads the field `camera` (a name; default brio), changes the model by the fields of `model` (a table), and reads the set of
 * `stages` (a table name -> boolean; stages that are not named are on). Raises a Lua error that names the fault. */
void dgl_camera_options(lua_State *L, int idx, dgam_camera_model *model, unsigned *stages);

#endif
