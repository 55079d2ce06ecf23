--- dgam.survey: the light of a whole dataset in numbers, measured from its videos alone.
--
--     local survey = require("dgam").survey
--     local s = survey.measure(dgam.data.open "data/ellar.lua", { frames = 16 })
--     print(s.n, s.luma[1], s.snr[1], #s.unreadable)
--
-- Of every clip some frames are read, spread evenly over it, at the size they are stored in. Luma is .299 R + .587 G +
-- .114 B, rounded to 0..255; everything below follows from its 256 counts (the C kernel dgam.stats.histogram) except the SNR.
--
-- SNR: two frames far apart see the same scene through different noise. Over the pixels that stand still, their
-- correlation rho is the share of the scene in the variance, so scene over noise is sqrt(rho / (1 - rho)), 10 log10(rho /
-- (1 - rho)) in dB. The frames are `lag` apart, 8 unless told: nearer ones share noise where the camera averages over
-- time. A clip too short for that gives the frames farthest apart that it has, and `lag` of that clip says how far; its SNR is then
-- at best an upper bound. What moved is left out: 8 x 8 blocks whose mean changed by more than two levels and by more than
-- three times what most blocks' means did. Where nothing varies at all there is no scene to be seen: -40 dB, the least.
local torch = require "torch"
local progress = require "dgam.show.progress"
local stats = require "dgam.kernels.stats"
local check = require "util.check"
local video = require "dgam.kernels.video"

local survey = {}

-- Least and largest rho that are told apart from 0 and 1: -40 and 60 dB.
local LEAST_RHO, MOST_RHO = 1e-4, 1 - 1e-6
local BLOCK = 8 -- pixels: the blocks of a JPEG, so that their borders fall together
survey.GRID = 16 -- the map of motion is GRID x GRID

--- 10 log10(rho / (1 - rho)), within -40 and 60 dB; -40 for NaN.
function survey.decibels(rho)
  if rho ~= rho then rho = 0 end
  rho = math.min(math.max(rho, LEAST_RHO), MOST_RHO)
  return 10 * math.log(rho / (1 - rho), 10)
end

-- Frame by frame below, so that what is in between stays in the cache.

--- Luma of a clip, rounded: uint8 [3, T, H, W] -> float32 [T, H, W].
function survey.luma(clip)
  local red, green, blue = clip[1], clip[2], clip[3]
  local luma = torch.empty(red.shape)
  for t = 1, red:size(1) do
    luma[t]:copy_(red[t]):mul_(0.299):add_(green[t]:float(), { alpha = 0.587 }):add_(blue[t]:float(), { alpha = 0.114 }):add_(0.5):floor_()
  end
  return luma
end

--- How often each level occurs in each frame: [T, H, W] of 0..255 -> int32 [T, 256].
function survey.counts(luma)
  local t, h, w = luma:size(1), luma:size(2), luma:size(3)
  local third = (t + 2) // 3 -- the kernel counts three channels; here they are three parts of the clip
  local levels = torch.zeros({ 3 * third, h, w }, { dtype = "uint8" })
  levels:narrow(1, 1, t):copy_(luma)
  local counts = stats.histogram(levels:view(1, 3, third, h, w))[1]
  return counts:permute({ 2, 1, 3 }):reshape(3 * third, 256):narrow(1, 1, t)
end

--- What follows from counts: [T, 256] float -> { luma (mean), zeros, low (shares of luma 0 and at most 2), entropy (bits, mean over
-- frames) }.
function survey.from_counts(counts)
  local n = counts:sum()
  local share = counts / counts:sum({ 2 }, true)
  local entropy = (share * share:clamp_min(1e-30):log2()):sum({ 2 }):neg():mean()
  local all = counts:sum({ 1 })
  local values = torch.arange(256):to(counts.dtype)
  return { luma = (all * values):sum():div(n):item(), zeros = all[1]:div(n):item(),
    low = all[{ { 1, 3 } }]:sum():div(n):item(), entropy = entropy:item() }
end

-- Means over blocks of n frames f(1), f(2) ... of [H, W]: [n, H / B * W / B]. What is left over at the right and lower
-- edge is not used.
local function block_means(n, b, f)
  local means = {}
  for t = 1, n do means[t] = f(t):unsqueeze(1):unsqueeze(1):avg_pool2d({ b, b }, { b, b }):flatten() end
  return torch.stack(means):double()
end

--- Correlation of what stands still between frames that are `step` apart in `luma` [T, H, W]; NaN where there is
-- nothing to correlate (one frame, one grey level).
function survey.correlation(luma, step)
  local t, h, w = luma:size(1), luma:size(2), luma:size(3)
  if step < 1 or step >= t then return 0 / 0 end
  local block = math.min(BLOCK, h, w)
  local mean = block_means(t, block, function(i) return luma[i] end)
  local square = block_means(t, block, function(i) return luma[i] * luma[i] end)
  local ab = block_means(t - step, block, function(i) return luma[i] * luma[i + step] end)
  local a, b = mean:narrow(1, 1, t - step), mean:narrow(1, step + 1, t - step)
  local aa, bb = square:narrow(1, 1, t - step), square:narrow(1, step + 1, t - step)
  local change = b - a
  change = (change - change:median(2, true)):abs()
  local usual = change:median(2, true) * 1.4826
  local still = change:le((usual * 3):clamp_min(2)):double() -- in the dark most blocks do not change at all
  local n = still:sum({ 2 }, true)
  local function over(x) return (x * still):sum({ 2 }, true) / n end
  local ma, mb = over(a), over(b)
  local cov = (over(ab) - ma * mb):sum():item()
  local va, vb = (over(aa) - ma * ma):sum():item(), (over(bb) - mb * mb):sum():item()
  if not (va > 1e-9 and vb > 1e-9) then return 0 / 0 end
  return cov / math.sqrt(va * vb)
end

--- Where in the frame something moves: variance over time of the means of GRID x GRID cells, over what is usual in this
-- clip, less 1. [T, H, W] -> [GRID, GRID], 0 to 20.
function survey.motion(luma)
  if luma:size(1) < 2 then return torch.zeros(survey.GRID, survey.GRID) end
  local cells = luma:unsqueeze(2):adaptive_avg_pool2d({ survey.GRID, survey.GRID }):squeeze(2)
  local change = (cells - cells:mean({ 2, 3 }, true)):var({ 1 })
  local usual = change:median():item()
  return (change / math.max(usual, 0.05) - 1):clamp(0, 20) -- 0.05: what rounding to whole levels does
end

--- The spot a map of motion points at, in shares of the frame: { x, y, w, h } (centre; four standard deviations), or nil where nothing
-- stands out.
function survey.spot(map)
  map = map:unsqueeze(1):avg_pool2d({ 3, 3 }, { 1, 1 }, { 1, 1 }, false, false)[1]
  local peak, rest = map:max():item(), map:median():item()
  -- what noise does, told by the quarter that moves least: 0.6745 standard deviations below the middle
  local usual = (rest - map:flatten():kthvalue(survey.GRID * survey.GRID // 4):item()) / 0.6745
  if peak < rest + math.max(6 * usual, 0.2) then return nil end
  local weight = (map - (rest + 0.25 * (peak - rest))):clamp_min(0)
  weight = weight / weight:sum()
  local centre = (torch.arange(survey.GRID):float() + 0.5) / survey.GRID
  local function along(dim)
    local share = weight:sum({ dim })
    local mean = (share * centre):sum():item()
    return mean, math.sqrt((share * (centre - mean) ^ 2):sum():item())
  end
  local x, dx = along(1)
  local y, dy = along(2)
  if 16 * dx * dy > 0.4 then return nil end -- all over the frame
  return { x = x, y = y, w = math.max(4 * dx, 0.12), h = math.max(4 * dy, 0.12) }
end

--- Which frames of n are read, and how far they are apart for the SNR.
-- @return count, interval, step (in sampled frames), lag (in frames)
local function plan(n, frames, lag)
  local count = math.max(1, math.min(n, frames))
  local interval = math.max(1, n // count)
  local step = math.min(math.ceil(lag / interval), count - 1)
  return count, interval, step, step * interval
end

--- Measures a dataset.
-- @param dataset from dgam.data.open
-- @param options frames = 16 (read of every clip), lag = 8 (between frames for the SNR), threads = 2 (decoding), limits, bar
-- @return { n = clips read, unreadable = list of messages, index = position of each clip in dataset.items, lists with one number a clip:
--   frames, width, height, fps, luma, zeros, low, entropy (bits), rho (NaN where nothing varies), snr (dB; NaN of one frame),
--   lag (frames);
--   histogram = int32 [n, 256] (luma of the frames read), motion = float32 [n, GRID, GRID] }
-- A clip that cannot be read is reported on standard error and left out. Errors: none can be read.
function survey.measure(dataset, options)
  check.names("survey", options or {}, { "frames", "lag", "threads", "limits", "bar" })
  local o = check.filled(options, { frames = 16, lag = 8, threads = 2 })
  check.fields("survey", o, { frames = check.whole(1), lag = check.whole(1), threads = check.whole(1, video.max_threads) })
  local threads = torch.threads()
  torch.threads(1) -- the cores decode
  local guard <close> = setmetatable({}, { __close = function() torch.threads(threads) end }) -- luacheck: ignore
  local items, s = dataset.items, { n = 0, unreadable = {}, index = {}, histogram = {}, motion = {} }
  local LISTS = { "frames", "width", "height", "fps", "luma", "zeros", "low", "entropy", "rho", "snr", "lag" }
  for _, name in ipairs(LISTS) do s[name] = {} end
  local bar = o.bar or progress.new("reading " .. dataset.name, #items)
  local pool <close> = video.pool(o.threads, o.limits)
  local waiting, sent = {}, 0
  local room = torch.empty({ 0 }, { dtype = "uint8" }) -- for the clip in hand; as large as the largest was

  local function unreadable(message)
    s.unreadable[#s.unreadable + 1] = message
    io.stderr:write("\ndgamlua: left out a clip: ", message, "\n")
    bar:advance(1)
  end

  -- Looks at the head of the next file and hands it to the decoding threads.
  local function send()
    sent = sent + 1
    local ok, info = pcall(video.info, items[sent].path, o.limits)
    if not ok then return unreadable(tostring(info)) end
    local count, interval, step, lag = plan(info.frames, o.frames, o.lag)
    pool:submit(items[sent].path, video.sampling { rule = "test", clip_len = count, interval = interval, crop = "none",
      width = info.width, height = info.height })
    waiting[#waiting + 1] = { at = sent, info = info, count = count, step = step, lag = lag }
  end

  local function take(job)
    local info = job.info
    local clip = room:resize_ { 3, job.count, info.height, info.width }
    local got, message = pool:next(clip, 1)
    if not got then return unreadable(message) end
    local luma = survey.luma(clip)
    local counts = survey.counts(luma)
    local light = survey.from_counts(counts:double())
    s.n = s.n + 1
    s.index[s.n] = job.at
    for name, v in pairs(light) do s[name][s.n] = v end
    for _, name in ipairs { "frames", "width", "height", "fps" } do s[name][s.n] = info[name] + 0.0 end
    s.rho[s.n] = survey.correlation(luma, job.step)
    s.snr[s.n], s.lag[s.n] = job.lag > 0 and survey.decibels(s.rho[s.n]) or 0 / 0, job.lag + 0.0
    s.histogram[s.n] = counts:sum({ 1 }):to "int32"
    s.motion[s.n] = survey.motion(luma)
    bar:advance(1, nil, 1)
  end

  while sent < #items or #waiting > 0 do
    while sent < #items and #waiting <= 2 * o.threads do send() end
    if #waiting > 0 then take(table.remove(waiting, 1)) end
  end
  bar:finish(#s.unreadable > 0 and ("%d of %d clips could not be read"):format(#s.unreadable, #items) or nil)
  if s.n == 0 then error(("%s: none of its %d clips could be read"):format(dataset.name, #items), 0) end
  s.histogram, s.motion = torch.stack(s.histogram), torch.stack(s.motion)
  return s
end

--- One frame of a clip, no wider than `most` pixels (every second, third ... pixel of larger ones, which keeps their noise).
-- @return uint8 [3, h, w]
function survey.frame(path, number, most)
  local v <close> = video.open(path)
  local frame = v:frames(number, number)[1]
  local step = math.ceil(frame:size(3) / most)
  if step > 1 then frame = frame[{ {}, { 1, -1, step }, { 1, -1, step } }] end
  return frame:contiguous()
end

return survey
