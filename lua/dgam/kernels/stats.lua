--- dgam.stats: the light of a clip in numbers: histograms, and the statistics that the gate reads.
--
--     local stats = require("dgam").stats
--     local counts = stats.histogram(clip)          -- int32 [N, T, 3, 256]
--     local light = stats.frames(clip)              -- [N, 3T]: mean, deviation, entropy of frame 1, of frame 2, ...
--     print(stats.table(light)[1][1].entropy)       -- clip 1, frame 1, in nats
--
-- A clip is [N, 3, T, H, W], or [T, 3, H, W] for one: uint8 RGB pixels, or floats that are normalised already.
local torch = require "torch"
local check = require "util.check"
local ops = torch.ops.dgam

local stats = {}

--- ImageNet's normalisation in pixel units, RGB: the default everywhere.
stats.MEAN, stats.STD = ops.imagenet()

local OPTIONS = { "domain", "mean", "std", "histogram" }

--- How often each value occurs in each channel of each frame.
-- @param clip uint8 [N, 3, T, H, W] or [T, 3, H, W]
-- @return int32 [N, T, 3, 256]; entry v + 1 counts pixels of value v
function stats.histogram(clip) return ops.histogram(clip) end

--- Mean, unbiased standard deviation and entropy (nats, of 256 bins between the frame's extremes) of every frame, over
-- its channels and pixels together. No gradient.
-- @param clip uint8 or float, [N, 3, T, H, W] or [T, 3, H, W]
-- @param options domain = "normalised" (default: values after mean and std, as the official code does) or "pixel"
--   (values / 255); mean, std = three numbers each; histogram = stats.histogram(clip), if it is there already
-- @return [N, 3T] in the order m1, s1, e1, m2, s2, e2, ...
function stats.frames(clip, options)
  options = check.names("stats.frames", options or {}, OPTIONS)
  return ops.frame_stats(clip, {
    domain = options.domain or "normalised",
    mean = options.mean or stats.MEAN,
    std = options.std or stats.STD,
    histogram = options.histogram,
  })
end

--- What stats.frames returned as a Lua table: t[clip][frame] = { mean =, std =, entropy = }.
function stats.table(features)
  local clips = features:totable()
  for n, row in ipairs(clips) do
    local frames = {}
    for i = 1, #row, 3 do frames[#frames + 1] = { mean = row[i], std = row[i + 1], entropy = row[i + 2] } end
    clips[n] = frames
  end
  return clips
end

return stats
