--- dgam.gic: gamma intensity correction, one expert or a mixture of them.
--
--     local gic = require("dgam").gic
--     local bright = gic.expert(clip, 2.5)                        -- [N, 3, T, H, W], normalised
--     local mixed = gic.mixture(clip, lambda, { 1, 1.5, 2, 3 })   -- lambda [N, 4]; gradients for lambda and gammas
--
-- One expert with gamma g, in the domain
--   "normalised" (default, the official code)  x = (v - mean) / std, lo and hi the frame's extremes over channels and
--                pixels:  ((x - lo) / (hi - lo + 1e-5))^(1/g) (hi - lo) + lo
--   "pixel" (the paper's equation 6)           255 (v / 255)^(1/g), normalised afterwards
-- and a mixture is the sum of lambda_e times expert e. uint8 clips on the CPU go through tables of 3 x 256 entries a
-- frame, so that sixteen experts cost what one does.
local torch = require "torch"
local check = require "util.check"
local stats = require "dgam.kernels.stats"
local ops = torch.ops.dgam

local gic = {}

--- The paper's experts.
gic.GAMMAS = { 1.0, 1.5, 2.0, 2.5, 3.0 }

local OPTIONS = { "domain", "mean", "std", "layout", "bf16", "histogram" }

--- A mixture of experts.
-- @param clip uint8 pixels or normalised floats, [N, 3, T, H, W] or [T, 3, H, W]
-- @param weights float [N, E], one row a clip; may require gradients
-- @param gammas float [E], or [N, E] where each clip has its own, or a Lua list; all above 0; may require gradients
-- @param options domain, mean, std as in dgam.stats; layout = "clip" (default) or "patches" (what a 2x4x4 patch
--   embedding multiplies: [N, T/2 * H/4 * W/4, 96], rounded up and filled with zeros, each flattened as c, t, y, x);
--   bf16 = true for bfloat16; histogram = stats.histogram(clip), if it is there already
-- @return float32 (or bfloat16) [N, 3, T, H, W] or patches
function gic.mixture(clip, weights, gammas, options)
  options = check.names("gic.mixture", options or {}, OPTIONS)
  if type(gammas) == "table" then
    gammas = torch.tensor(gammas, { dtype = "float32", device = weights.device })
  end
  return ops.gic(clip, weights, gammas, {
    domain = options.domain or "normalised",
    mean = options.mean or stats.MEAN,
    std = options.std or stats.STD,
    layout = options.layout or "clip",
    bf16 = options.bf16 or false,
    histogram = options.histogram,
  })
end

--- One expert alone.
-- @param gamma a number above 0; above 1 brightens
-- @param options as for gic.mixture
function gic.expert(clip, gamma, options)
  local clips = clip.ndim == 5 and clip:size(1) or 1
  return gic.mixture(clip, torch.ones(clips, 1, { device = clip.device }), { gamma }, options)
end

--- The curve of a gamma, for plots: y = x^(1/gamma) at n points of [0, 1] (256 unless told).
-- @return list of x, list of y
function gic.curve(gamma, n)
  check.option("gic.curve", "gamma", gamma, check.positive)
  n = n or 256
  local xs, ys = {}, {}
  for i = 1, n do
    xs[i] = (i - 1) / math.max(n - 1, 1)
    ys[i] = xs[i] ^ (1 / gamma)
  end
  return xs, ys
end

return gic
