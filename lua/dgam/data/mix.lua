--- dgam.data.mix: mixup and cutmix, which blend the clips of a batch and their labels.
--
-- As in torchvision.transforms.v2: every clip is blended with the one before it in the batch (the first with the last), all by the
-- same lambda, drawn per batch from Beta(alpha, alpha). mixup adds pixels, lambda x + (1 - lambda) y, rounded; cutmix
-- pastes a rectangle of y, the same in all frames, and lambda becomes the share of x that is left.
local torch = require "torch"
local rng = require "dgam.kernels.rng"

local mix = {}

-- Gamma(shape, 1): Marsaglia and Tsang 2000; below 1 through shape + 1.
local function gamma(r, shape)
  if shape < 1 then return gamma(r, shape + 1) * (1 - r:uniform()) ^ (1 / shape) end
  local d = shape - 1 / 3
  while true do
    local x = r:normal()
    local v = (1 + x / math.sqrt(9 * d)) ^ 3
    if v > 0 and math.log(1 - r:uniform()) < 0.5 * x * x + d - d * v + d * math.log(v) then return d * v end
  end
end

--- A draw from Beta(alpha, alpha).
-- @param r dgam.rng generator
-- @param alpha above 0
function mix.beta(r, alpha)
  local x, y = gamma(r, alpha), gamma(r, alpha)
  return x + y > 0 and x / (x + y) or 0.5
end

--- cutmix's rectangle around a point: 0-based edges x1, y1, x2, y2 (x2, y2 outside), and the share that stays.
function mix.box(lambda, x, y, width, height)
  local r = 0.5 * math.sqrt(1 - lambda)
  local half_w, half_h = math.floor(r * width), math.floor(r * height)
  local x1, y1 = math.max(x - half_w, 0), math.max(y - half_h, 0)
  local x2, y2 = math.min(x + half_w, width), math.min(y + half_h, height)
  return { x1, y1, x2, y2 }, 1 - (x2 - x1) * (y2 - y1) / (width * height)
end

--- Draws how a batch is blended.
-- @param options mixup, cutmix = alpha of either, 0 for none; with both, a coin decides for every batch
-- @return { kind = "mixup" | "cutmix", lambda =, box = } for mix.apply
function mix.draw(options, width, height, seed, epoch, batch)
  local r = rng.new(seed, epoch, batch, 0x6d6978)
  local kind = options.mixup > 0 and "mixup" or "cutmix"
  if options.mixup > 0 and options.cutmix > 0 and r:below(2) == 1 then kind = "cutmix" end
  local how = { kind = kind, lambda = mix.beta(r, options[kind]) }
  if kind == "cutmix" then
    local x, y = r:below(width), r:below(height)
    how.box, how.lambda = mix.box(how.lambda, x, y, width, height)
  end
  return how
end

--- Blends a batch.
-- @param clip uint8 [N V, ...,H,W], changed in place; the V views of a sample lie side by side
-- @param label int64 [N] from 1
-- @param classes number of classes
-- @param how from mix.draw
-- @return float [N, classes]: the share of every class in every sample
function mix.apply(clip, label, classes, how)
  local n = label:size(1)
  local views = clip:size(1) // n
  local last = clip:narrow(1, clip:size(1) - views + 1, views):clone()
  for i = clip:size(1), 1, -1 do -- from the end, so that the clip before is still itself
    local x, y = clip[i], i > views and clip[i - views] or last[i]
    if how.kind == "mixup" then
      x:copy_((x:float() * how.lambda + y:float() * (1 - how.lambda)):round())
    else
      local x1, y1, x2, y2 = table.unpack(how.box)
      if x2 > x1 and y2 > y1 then
        local function part(t) return t:narrow(-1, x1 + 1, x2 - x1):narrow(-2, y1 + 1, y2 - y1) end
        part(x):copy_(part(y))
      end
    end
  end
  local one_hot = torch.one_hot(label, classes):float()
  return one_hot * how.lambda + one_hot:roll({ 1 }, { 1 }) * (1 - how.lambda)
end

return mix
