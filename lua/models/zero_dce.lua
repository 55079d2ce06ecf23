--- models.zero_dce: Zero-DCE (Guo et al., CVPR 2020), a small network that brightens by curves and is trained without any
-- bright reference. 79,416 parameters, named as in the public checkpoint (e_conv1.weight ...).
--
--     local net = models.zero_dce()
--     local bright, curves = net(frames)                  -- frames float [M, 3, H, W] in 0 .. 1
--     net.loss(frames, bright, curves):backward()
--     clip = net:enhance(clip)                            -- uint8 to uint8, no gradient
local torch = require "torch"
local nn = require "dgam.nn"
local enhance = require "dgam.kernels.enhance"
local check = require "util.check"

local TENSOR = { "a tensor", torch.is_tensor }

local Conv2d = nn.class "Conv2d"
function Conv2d:init(inputs, outputs)
  self:parameter("weight", torch.no_grad(function() return torch.randn(outputs, inputs, 3, 3) * 0.02 end))
  self:parameter("bias", torch.zeros(outputs))
end
function Conv2d:forward(x) return torch.conv2d(x, self.weight, self.bias, { 1, 1 }, { 1, 1 }) end

--- models.zero_dce([{iterations = 8, width = 32}]): DCE-Net, seven 3 x 3 convolutions with skips.
local ZeroDCE = nn.class "ZeroDCE"

function ZeroDCE:init(options)
  options = check.names("ZeroDCE", options or {}, { "iterations", "width" })
  local width, iterations = check.default(options.width, 32), check.default(options.iterations, 8)
  check.fields("ZeroDCE", { width = width, iterations = iterations }, { width = check.whole(1), iterations = check.whole(1, 64) })
  local outputs = 3 * iterations
  for i = 1, 4 do self:add("e_conv" .. i, Conv2d(i == 1 and 3 or width, width)) end
  for i = 5, 7 do self:add("e_conv" .. i, Conv2d(2 * width, i == 7 and outputs or width)) end
end

--- @param x float [M, 3, H, W] in 0 .. 1 -> enhanced [M, 3, H, W], curves [M, 3 I, H, W]
function ZeroDCE:forward(x)
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
function ZeroDCE:enhance(clip)
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
function ZeroDCE.loss(x, y, a, options)
  options = check.names("ZeroDCE.loss", options or {}, { "exposure", "weights" })
  local weights = check.names("ZeroDCE.loss", options.weights or {},
    { "contrast", "exposed", "colour", "smooth" })
  check.fields("ZeroDCE.loss", { x = x, y = y, a = a }, { x = TENSOR, y = TENSOR, a = TENSOR })
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

return ZeroDCE
