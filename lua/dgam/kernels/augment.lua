--- dgam.augment: random changes of the pixels of a clip, the same for all of its frames.
--
--     local augment = require("dgam").augment
--     augment.apply(clip, "rotate", 12)                        -- uint8 [3,T,H,W], in place
--     augment.apply(clip, "erase", 0, { x = 5, y = 1, width = 20, height = 9 })
--
-- The loader draws changes per (seed, epoch, clip) and makes them in its decoding threads; see dgam.data.loader for its options.
-- Values and rounding are torchvision's for uint8 tensors (core/video/augment.h has the equations): brightness, contrast,
-- saturation, sharpness by a factor; hue by turns; posterise to bits; solarise from a value on; autocontrast; equalise; shear_x,
-- shear_y, translate_x, translate_y by pixels; rotate by degrees; and gamma: 255 (v / 255)^(1 / gamma), above 1 brightens.
local native = require "dgamnative.augment"
local check = require "util.check"

local augment = {}

--- Makes one change to a clip, in place.
-- @param clip uint8 [3, T, H, W]
-- @param kind see above; an unknown one is an error
-- @param value how strongly; 0 for those that have no strength
-- @param rectangle for "erase": { x =, y = (from 1), width =, height = }; value is what it is filled with, 0 to 255
-- @return clip
function augment.apply(clip, kind, value, rectangle)
  check.option("augment.apply", "rectangle", rectangle, check.optional(check.table))
  local change = { kind = kind, value = value }
  for k, v in pairs(rectangle or {}) do change[k] = v end
  return native.apply(clip, change)
end

--- The names that augment.options takes, as keys.
augment.is_option = { jitter = true, randaugment = true, gamma_jitter = true, erasing = true }

local JITTER = { "brightness", "contrast", "saturation", "hue" }

local PAIR = { "{least, most}", check.table[2] }
local FILL = { 'a whole number from 0 to 255, or "noise"', function(v) return v == "noise" or check.whole(0, 255)[2](v) end }

-- The name may be a path ("jitter: hue"), so it stands where the error of check.option has `where`.
local function checked(name, v, kind)
  local fault = check.fault(name, v, kind)
  if fault then error(fault, 0) end
  return v
end

local function number(name, v, least, most) return checked(name, v, check.number(least, most)) end

--- {least, most} as given.
local function pair(name, v, least, most)
  checked(name, v, PAIR)
  return { number(name .. "[1]", v[1], least, most), number(name .. "[2]", v[2], least, most) }
end

--- {least, most} as given, or around `centre` by v.
local function range(name, v, centre, least, most)
  if type(v) == "table" then return pair(name, v, least, most) end
  number(name, v, 0, most - centre)
  return { math.max(least, centre - v), centre + v }
end

--- Options as a person gives them -> fields of dgamnative.video.sampling.
-- @param o table with any of
--   jitter       0.4: brightness, contrast and saturation by factors of 0.6 to 1.4; or { brightness = 0.4, contrast = { 0.5, 2 },
--                saturation =, hue = 0.1 }: numbers or ranges, in an order that is drawn
--   randaugment  9: two changes of strength 9 of 30; or { ops = 2, magnitude = 9 }
--   gamma_jitter 1.5: gamma from 1 / 1.5 to 1.5; or { 0.8, 2 }; uniform in its logarithm
--   erasing      0.25: with that probability a rectangle is filled with 0; or { probability = 0.25, area = { 0.02, 0.33 },
--                ratio = { 0.3, 3.3 }, fill = 0 to 255 or "noise" }
-- 0 or false switches any of them off.
function augment.options(o)
  local s = {}
  local jitter = o.jitter
  if jitter and jitter ~= 0 then
    if type(jitter) ~= "table" then
      number("jitter", jitter, 0, 254)
      jitter = { brightness = jitter, contrast = jitter, saturation = jitter }
    end
    check.names("jitter", jitter, JITTER)
    for _, name in ipairs(JITTER) do
      if jitter[name] and name == "hue" then
        s.hue = range("jitter: hue", jitter.hue, 0, -0.5, 0.5)
      elseif jitter[name] then
        s[name] = range("jitter: " .. name, jitter[name], 1, 0, 255)
      end
    end
  end
  local rand = o.randaugment
  if rand and rand ~= 0 then
    if type(rand) ~= "table" then rand = { magnitude = rand } end
    check.names("randaugment", rand, { "ops", "magnitude" })
    s.randaugment = {}
    for i, known in ipairs { { "ops", 2, 8 }, { "magnitude", 9, 30 } } do
      local v = rand[known[1]] or known[2]
      s.randaugment[i] = math.tointeger(v) and number("randaugment: " .. known[1], v, 0, known[3]) or
        error(("randaugment: %s is %s, expected a whole number from 0 to %d"):format(known[1], tostring(v), known[3]), 0)
    end
  end
  local gamma = o.gamma_jitter
  if gamma and gamma ~= 0 then
    if type(gamma) ~= "table" then gamma = { 1 / number("gamma_jitter", gamma, 1, 1000), gamma } end
    s.gamma = range("gamma_jitter", gamma, 1, 1e-3, 1e3)
  end
  local erasing = o.erasing
  if erasing and erasing ~= 0 then
    if type(erasing) ~= "table" then erasing = { probability = erasing } end
    check.names("erasing", erasing, { "probability", "area", "ratio", "fill" })
    s.erase = number("erasing: probability", erasing.probability or 0.5, 0, 1)
    s.erase_area = erasing.area ~= nil and pair("erasing: area", erasing.area, 0, 1) or nil
    s.erase_ratio = erasing.ratio ~= nil and pair("erasing: ratio", erasing.ratio, 1e-3, 1e3) or nil
    local fill = checked("erasing: fill", check.default(erasing.fill, 0), FILL)
    s.erase_fill = fill == "noise" and -1 or fill
  end
  return s
end

return augment
