--- dgam.camera: a physical model of a cheap camera in the dark, from linear light to 8 bit.
--
--     local camera = require("dgam").camera
--     local c <close>, how = camera.new { camera = "brio", width = 64, height = 64, lux = 0.2 }
--     local frame = c:frame(light)             -- light float [3,H,W], 1 = white under `lux`; frame uint8 [3,H,W]
--
-- Options of camera.new, and their defaults:
--   camera     "brio", "arducam" or "c920"                                               "brio"
--   model      table of fields that differ, e.g. { read = 0, kappa = 2 }; see camera.models
--   stages     table of stages to switch off, e.g. { coring = false, temporal = false }: shot, read, pattern, quantise,
--              black, bayer, balance, temporal, spatial, coring, matrix, curve          all on
--   jitter     every noise figure and the sensitivity times its own factor in [1/jitter, jitter]   1
--   lux        illuminance of the scene                                                  1
--   mean       { r, g, b } mean light, which auto exposure meters                        0.2 each
--   light      { r, g, b } colour of the light (mean 1), which white balance undoes      white
--   target     mean that auto exposure aims at, share of white                           0.18
--   seed, stream                                                                         0, 0
--   width, height                                                                        64, 64
-- Second result: lux, time (s), gain, sensitivity, read, row, column, dsnu, dark, quality, balance, dark_sigma as used.
-- Noise depends on (seed, stream, frame number, row) only, not on threads.
local native = require "dgamnative.camera"

local camera = {}

--- List of models: tables with name, quality (JPEG), width, height (native size) and the fields of core/light/camera.h.
camera.models = native.models()

--- List of light situations: name, lux = { from, to }, target.
camera.presets = native.presets()

local function by_name(list)
  local index = {}
  for _, item in ipairs(list) do index[item.name] = item end
  return index
end

--- The same by name: camera.model.brio, camera.preset.ELL.
camera.model, camera.preset = by_name(camera.models), by_name(camera.presets)

--- A camera; see above. Methods: frame(light), raw() -> float [H,W] sensor numbers of the last frame (nil without a
-- mosaic), close().
camera.new = native.new

return camera
