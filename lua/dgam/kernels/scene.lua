--- dgam.scene: procedurally animated people, rendered in linear light and seen by a camera model.
--
--     local scene = require("dgam").scene
--     local clip, how = scene.film { action = "wave", light = "ELL", camera = "brio", width = 112, height = 112, frames = 16 }
--     local light = scene.film { action = "wave", linear = true }      -- before the camera
--
-- A clip is a table; every field has a default:
--   action     name, number, or a table that describes a new one (see below)           "walk"
--   actor, outfit, location, spot   name or number, see scene.cast                     the first; spot "centre"
--   scale      height of the person over the height of the frame, 0.1 to 1             0.7
--   width, height, frames           pixels and frames of the result                    64, 64, 8
--   fps, every                      sensor frames a second; which of them is kept      15, 3
--   subframes                       moments averaged over the exposure (motion blur)   5
--   light      preset: "LL", "ELL", "arid", "dark48", "bright"                         "bright"
--   lux, target                     instead of the preset's                            its middle
--   camera, model, stages, jitter   see dgam.camera; jitter is 1.5 here                "brio"
--   seed, clip                      what is random about the clip depends on these     0, 0
--   empty      true: the same clip without the person                                  false
--
-- A new action is a table of tracks, each of which moves one degree of freedom by
-- amplitude * (envelope(u) * (mean + sum of wave) + keys(u)), u = 0..1 over the action, angles in degrees:
--     { name = "bow", seconds = 1.4, tracks = {
--         { dof = "pitch", part = "body", keys = { { 0, 0 }, { 0.4, 60 }, { 0.6, 60 }, { 1, 0 } } } } }
--   action: seconds (0 = goes on), period (of the waves, s), ramp (of the envelope, 0..0.5), flight (> 0: travels),
--           repeats, reversed
--   track:  dof = pitch roll twist nod look yaw up (part = "body"), hip hip_out knee arm arm_out arm_turn elbow
--           (part = "main", "other", "both", "alternate"); mean; wave = { { cos, sin } of period 1, of period 1/2 };
--           keys = { { u, value }, ... }
local native = require "dgamnative.scene"

local scene = {}

--- Names of what exists: actions, actors, outfits, locations, spots (lists), outdoor (list of booleans by location).
scene.cast = native.cast()

--- Films a clip.
-- @param clip table as above; bytes = true gives the frames as a string [F,H,W,3], linear = true the light as float32
-- @return uint8 tensor [3,F,H,W]; table with lux, time (s), gain, sensitivity, read (of this camera unit), luma (mean),
--   zeros, low (shares of luma 0 and of at most 2). Nothing second with linear = true.
-- Errors: a field out of range or unknown.
scene.film = native.film

--- Films clips into AVI files (MJPEG), several at a time. Each clip has a `path`; a file is whole or absent,
-- and may still be in memory only when the call returns: see scene.flush.
-- @param clips list of tables as above
-- @return list of the tables that film returns second
-- Errors: as film; a file that cannot be written.
scene.write = native.write

--- Syncs everything below a folder to disk; scene.write leaves that to the end of the work.
scene.flush = native.flush

return scene
