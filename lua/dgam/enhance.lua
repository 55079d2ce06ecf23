--- dgam.enhance: what one can do to a dark clip before recognising it, for two-stage baselines.
--
--     local enhance = require "dgam.enhance"
--     clip = enhance.clahe(clip, { clip_limit = 3 })      -- uint8 in, uint8 out, the same shape
--     local step = enhance.by_name("lime", { gamma = 0.7 })
--     clip = step(clip)
--
-- Clips are uint8 RGB, [N, 3, T, H, W] or [T, 3, H, W]; every frame is enhanced by itself. The classical methods run in C
-- (core/light/enhance.h has their equations). Zero-DCE is a small network, trained without any bright reference:
--
--     local net = enhance.ZeroDCE()
--     local bright, curves = net(frames)                  -- frames float [M, 3, H, W] in 0 .. 1
--     enhance.zero_dce_loss(frames, bright, curves):backward()
--     clip = net:enhance(clip)                            -- uint8 to uint8, no gradient
local torch = require "torch"
local nn = require "dgam.nn"
local check = require "dgam.check"
local suggest = require "dgam.suggest"
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

-- --- Zero-DCE (Guo et al., CVPR 2020) ---

local Conv2d = nn.class "Conv2d"
function Conv2d:init(inputs, outputs)
  self:parameter("weight", torch.no_grad(function() return torch.randn(outputs, inputs, 3, 3) * 0.02 end))
  self:parameter("bias", torch.zeros(outputs))
end
function Conv2d:forward(x) return torch.conv2d(x, self.weight, self.bias, { 1, 1 }, { 1, 1 }) end

--- ZeroDCE([{iterations = 8, width = 32}]): DCE-Net, seven 3 x 3 convolutions with skips; parameters are named as in the
-- public checkpoint (e_conv1.weight ...). 79,416 of them.
enhance.ZeroDCE = nn.class "ZeroDCE"

function enhance.ZeroDCE:init(options)
  options = given("ZeroDCE", options, { "iterations", "width" })
  local width, iterations = check.default(options.width, 32), check.default(options.iterations, 8)
  check.fields("ZeroDCE", { width = width, iterations = iterations }, { width = check.whole(1), iterations = check.whole(1, 64) })
  local outputs = 3 * iterations
  for i = 1, 4 do self:add("e_conv" .. i, Conv2d(i == 1 and 3 or width, width)) end
  for i = 5, 7 do self:add("e_conv" .. i, Conv2d(2 * width, i == 7 and outputs or width)) end
end

--- @param x float [M, 3, H, W] in 0 .. 1 -> enhanced [M, 3, H, W], curves [M, 3 I, H, W]
function enhance.ZeroDCE:forward(x)
  local x1 = self.e_conv1(x):relu()
  local x2 = self.e_conv2(x1):relu()
  local x3 = self.e_conv3(x2):relu()
  local x4 = self.e_conv4(x3):relu()
  local x5 = self.e_conv5(torch.cat({ x3, x4 }, 2)):relu()
  local x6 = self.e_conv6(torch.cat({ x2, x5 }, 2)):relu()
  local a = self.e_conv7(torch.cat({ x1, x6 }, 2)):tanh()
  return enhance.curves(x, a), a
end

--- A whole clip, frame by frame in batches of 8: uint8 to uint8, no gradient.
function enhance.ZeroDCE:enhance(clip)
  if not torch.is_tensor(clip) or clip.dtype ~= "uint8" or (clip.ndim ~= 4 and clip.ndim ~= 5) then
    error("ZeroDCE: expected a uint8 clip [N, 3, T, H, W] or [T, 3, H, W]", 2)
  end
  return torch.no_grad(function()
    local folded = clip.ndim == 5 and clip:transpose(2, 3) or clip
    local frames = folded:flatten(1, -4)
    local done = {}
    for first = 1, frames:size(1), 8 do
      local some = frames:narrow(1, first, math.min(8, frames:size(1) - first + 1))
      local bright = self(some:float() / 255)
      done[#done + 1] = (bright * 255):round():clamp(0, 255):to "uint8"
    end
    local out = torch.cat(done, 1):view(folded.shape)
    return clip.ndim == 5 and out:transpose(2, 3):contiguous() or out
  end)
end

-- Mean over channels and k x k cells, one value a cell.
local function cells(x, k)
  k = math.min(k, x:size(3), x:size(4))
  return torch.avg_pool2d(x:mean({ 2 }, { keepdim = true }), { k, k })
end

-- Differences to the right and lower neighbour, or nil where there is none.
local function differences(x)
  local h, w = x:size(3), x:size(4)
  return w > 1 and x:narrow(4, 2, w - 1) - x:narrow(4, 1, w - 1) or nil,
    h > 1 and x:narrow(3, 2, h - 1) - x:narrow(3, 1, h - 1) or nil
end

--- What Zero-DCE trains on: contrast between neighbouring 4 x 4 cells is kept, 16 x 16 cells are well exposed, channels
-- balance, curves are smooth.
-- @param x, y frames before and after, float [M, 3, H, W]; a curves [M, 3 I, H, W]
-- @param options exposure = 0.6, weights {contrast = 1, exposed = 10, colour = 5, smooth = 200} as published
-- @return loss (scalar), {contrast =, exposed =, colour =, smooth =} before weighting
function enhance.zero_dce_loss(x, y, a, options)
  options = given("zero_dce_loss", options, { "exposure", "weights" })
  local weights = check.names("enhance.zero_dce_loss", options.weights or {},
    { "contrast", "exposed", "colour", "smooth" })
  check.fields("enhance.zero_dce_loss", { x = x, y = y, a = a }, { x = TENSOR, y = TENSOR, a = TENSOR })
  local parts = {}

  local before, after = { differences(cells(x, 4)) }, { differences(cells(y, 4)) }
  parts.contrast = y:sum() * 0
  for i = 1, 2 do -- every pair of neighbours counts from both sides, as in the paper's sum over four neighbours
    if before[i] then
      parts.contrast = parts.contrast + 2 * (after[i]:abs() - before[i]:abs()):pow(2):sum() / cells(x, 4):numel()
    end
  end
  parts.exposed = (cells(y, 16) - (options.exposure or 0.6)):pow(2):mean()
  local means = y:mean({ 3, 4 })
  local r, g, b = means:select(2, 1), means:select(2, 2), means:select(2, 3)
  parts.colour = ((r - g):pow(2) + (r - b):pow(2) + (g - b):pow(2)):mean()
  parts.smooth = a:sum() * 0
  local right, down = differences(a)
  for _, d in ipairs { right or false, down or false } do
    if d then parts.smooth = parts.smooth + d:pow(2):mean() end
  end

  local loss = parts.contrast * (weights.contrast or 1) + parts.exposed * (weights.exposed or 10) +
    parts.colour * (weights.colour or 5) + parts.smooth * (weights.smooth or 200)
  return loss, parts
end

return enhance
