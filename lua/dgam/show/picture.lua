--- dgam.picture: frames of dark video made visible, as tiles for dgam.plot.
--
--     local picture = require("dgam").picture
--     local tile, gain = picture.bright(frame)            -- so bright that one can see something; says how much
--     plot.page { ..., panels = { { kind = "frames", columns = 4, tiles = { tile, picture.tile(frame) } } } }
local gic = require "dgam.kernels.gic"

local picture = {}

local LEAST = 240 -- pixels: smaller frames are enlarged here, pixel by pixel, so that no viewer blurs them

--- A frame as a tile.
-- @param frame uint8 [3, H, W]
-- @return { width, height, rgb = bytes [H, W, 3] }, to which captions and marks can be added
function picture.tile(frame)
  if frame:dim() ~= 3 or frame:size(1) ~= 3 or frame.dtype ~= "uint8" then
    error(("picture.tile: frame is %s (%s), expected uint8 (3,H,W)"):format(frame.dtype, table.concat(frame.shape, ",")), 2)
  end
  local times = math.max(1, math.ceil(LEAST / frame:size(3)))
  if times > 1 then frame = frame:repeat_interleave(times, 2):repeat_interleave(times, 3) end
  return { width = frame:size(3), height = frame:size(2), rgb = frame:permute({ 2, 3, 1 }):tobytes() }
end

--- A frame times a gain, cut off at 255.
function picture.amplified(frame, gain) return (frame:float() * gain + 0.5):clamp(0, 255):to "uint8" end

--- The gain that brings the brightest half percent of a frame's values to 230; 1 or more, two digits.
function picture.gain(frame)
  local values = frame:flatten()
  local high = values:float():kthvalue(math.max(1, math.ceil(0.995 * values:size(1)))):item()
  local gain = math.max(1, 230 / math.max(high, 1))
  return tonumber(("%.2g"):format(gain))
end

--- A frame as a tile, amplified by picture.gain.
-- @return tile, gain
function picture.bright(frame)
  local gain = picture.gain(frame)
  return picture.tile(picture.amplified(frame, gain)), gain
end

--- A frame after gamma correction of its pixel values: 255 (v / 255)^(1 / gamma).
-- @return uint8 [3, H, W]
function picture.corrected(frame, gamma)
  local clip = gic.expert(frame:unsqueeze(1):contiguous(), gamma, { domain = "pixel", mean = { 0, 0, 0 }, std = { 1, 1, 1 } })
  return (clip:reshape(frame.shape) + 0.5):clamp(0, 255):to "uint8"
end

return picture
