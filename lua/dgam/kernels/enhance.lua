--- dgam.enhance: what one can do to a dark clip before recognising it, for two-stage baselines.
--
--     local enhance = require("dgam").enhance
--     clip = enhance.clahe(clip, { clip_limit = 3 })      -- uint8 in, uint8 out, the same shape
--     local step = enhance.by_name("lime", { gamma = 0.7 })
--     clip = step(clip)
--
-- Clips are uint8 RGB, [N, 3, T, H, W] or [T, 3, H, W]; every frame is enhanced by itself. The classical methods run in C
-- (core/light/enhance.h has their equations). Learned curves, Zero-DCE, are a model: models.zero_dce.
local torch = require "torch"
local check = require "util.check"
local suggest = require "util.suggest"
local ops = torch.ops.dgam

local enhance = {}

local TENSOR = { "a tensor", torch.is_tensor }

local function given(method, options, known) return check.names("enhance." .. method, options or {}, known) end

-- The options of a method that takes `clip`.
local function options_for(clip, method, options, known)
  check.option("enhance." .. method, "clip", clip, TENSOR)
  return given(method, options, known)
end

--- Gamma on pixel values: 255 (v / 255)^(1/gamma).
-- @param gamma a number above 0, above 1 brightens (default 2.2)
-- @param options truncate = true cuts off the fraction, as DarkLight's second path does with gamma 1.8; else rounded
function enhance.gamma(clip, gamma, options)
  options = options_for(clip, "gamma", options, { "truncate" })
  gamma = check.option("enhance.gamma", "gamma", check.default(gamma, 2.2), check.positive)
  if clip.dtype ~= "uint8" then error(("enhance.gamma: clip has type %s, expected uint8"):format(clip.dtype), 2) end
  local values = {}
  for v = 0, 255 do
    values[v + 1] = math.floor(255 * (v / 255) ^ (1 / gamma) + (options.truncate and 0 or 0.5))
  end
  local map = torch.tensor(values, { dtype = "uint8", device = clip.device })
  return map:index_select(1, clip:flatten():int() + 1):view(clip.shape)
end

--- Histogram equalisation, as OpenCV's equalizeHist.
-- @param options per_channel = true works on R, G and B by themselves, otherwise on luma only
function enhance.equalise(clip, options)
  options = options_for(clip, "equalise", options, { "per_channel" })
  return ops.equalise(clip, options.per_channel or false)
end

--- Contrast-limited adaptive histogram equalisation, as OpenCV's CLAHE.
-- @param options clip_limit = 2 (0 for no limit), tiles = {8, 8} (down, across), per_channel as above
function enhance.clahe(clip, options)
  options = options_for(clip, "clahe", options, { "clip_limit", "tiles", "per_channel" })
  return ops.clahe(clip, options.clip_limit or 2, options.tiles or { 8, 8 }, options.per_channel or false)
end

--- Multi-scale retinex, with colour restoration.
-- @param options scales = {15, 80, 250} (deviations of the surrounds in pixels, at most 1024), dynamic = 1.2 (deviations
--   either side of the mean that fill 0 .. 255), restore = false for plain retinex
function enhance.retinex(clip, options)
  options = options_for(clip, "retinex", options, { "scales", "dynamic", "restore" })
  return ops.retinex(clip, options.scales or { 15, 80, 250 }, options.dynamic or 1.2, options.restore ~= false)
end

--- LIME: every pixel divided by a smooth map of the light that falls on it.
-- @param options alpha = 0.15 (smoothness), gamma = 0.8 (exponent of the map), sigma = 2 (window of the edge weights, at
--   most 1024)
function enhance.lime(clip, options)
  options = options_for(clip, "lime", options, { "alpha", "gamma", "sigma" })
  return ops.lime(clip, options.alpha or 0.15, options.gamma or 0.8, options.sigma or 2)
end

--- The curves of Zero-DCE: x + a x (1 - x), once per group of channels of a.
-- @param x float [N, C, ...] in 0 .. 1; a float [N, I C, ...] in -1 .. 1; both may require gradients
-- @return float [N, C, ...]
function enhance.curves(x, a) return ops.dce_curve(x, a) end

local METHODS = { "none", "gamma", "equalise", "clahe", "retinex", "lime" }

--- A method by its name, with its options bound: a function from clip to clip.
-- @param name "none", "gamma", "equalise", "clahe", "retinex" or "lime"
-- @param options as above; for "gamma" also gamma = 2.2
function enhance.by_name(name, options)
  if name == "none" then
    given("none", options, {})
    return function(clip) return clip end
  elseif name == "gamma" then
    options = given("gamma", options, { "gamma", "truncate" })
    return function(clip) return enhance.gamma(clip, options.gamma, { truncate = options.truncate }) end
  end
  for _, known in ipairs(METHODS) do
    if name == known then return function(clip) return enhance[name](clip, options) end end
  end
  error("enhance.by_name: " .. suggest.unknown("method", tostring(name), METHODS), 2)
end

return enhance
