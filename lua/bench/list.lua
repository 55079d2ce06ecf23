--- dgam.bench: what is measured, and how one benchmark is timed. `dgamlua bench` runs each in a process of its own.
local json = require "dkjson"
local progress = require "dgam.show.progress"

local bench = {}

-- name, file of this folder that has its setup function under that name, what must be reached, what it does.
local LIST = {
  { "gemm_f32", "limits", nil, "oneDNN matrix products, float32, the best of several shapes" },
  { "gemm_bf16", "limits", nil, "the same in bfloat16" },
  { "stream", "limits", nil, "memory bandwidth: four arrays read and three written in place, the best of several ways" },
  { "swin_b_forward", "nn", "75%, composite 10x, 900 MB", "Video Swin B, 1x3x32x224x224, float32" },
  { "swin_b_forward_bf16", "nn", "0.60 of float32", "the same in bfloat16" },
  { "swin_t_train", "nn", "60%, composite 5x, half its memory", "Video Swin T, 1x3x32x224x224, forward + backward + AdamW, float32" },
  { "swin_t_train_recompute", "nn", "half the composite's memory", "the same, saving less and computing it again" },
  { "swin_t_train_bf16", "nn", "0.65 of float32", "the same as swin_t_train in bfloat16" },
  { "linear", "nn", "90%", "Linear 4096 x 768 -> 3072, float32; peer: libtorch" },
  { "adamw", "nn", "80%", "AdamW over 88 M parameters" },
  { "light_agc", "light", "7 ms on two threads", "uint8 clip 3x32x224x224 -> statistics -> gate -> 5-expert mixture -> patches" },
  { "light_agc_1_thread", "light", "12 ms", "the same on one thread" },
  { "decode_clip_mjpeg", "data", "60 ms", "MJPEG 720p 4 s, 32 frames stride 2 -> 256 -> 224, CPU time" },
  { "decode_clip_mpeg4", "data", "60 ms", "the same from MPEG-4" },
  { "decode_clip_h264", "data", "150 ms", "the same from H.264" },
  { "decode_clip_2_threads", "data", "95% (1.9x)", "8 MJPEG clips on two threads; ratio: half the speed-up; peer: one thread" },
  { "loader", "data", "95%", "an epoch of the tiny dataset training swin-micro; ratio: share of the time spent computing" },
  { "startup", "program", "15 ms", "dgamlua --version, a new process" },
  { "startup_lua", "program", "15 ms", "dgamlua -e 'print(1)', a new process" },
  { "startup_torch", "program", "1 s", "first use of torch, a new process" },
  { "ablation", "program", "300 s", "dgamlua experiments/ablation.lua, profile quick, data there already" },
  { "kernel_block", "kernels", nil, "one Swin block, 16x14x14 tokens, 512 channels, 16 heads, forward" },
  { "kernel_block_bf16", "kernels", nil, "the same in bfloat16" },
  { "kernel_block_train", "kernels", nil, "the same block forward and backward, float32" },
  { "kernel_patch_embed", "kernels", nil, "patches of a 3x32x224x224 clip -> 128 channels, with norm" },
  { "kernel_patch_merge", "kernels", nil, "16x56x56 tokens of 128 channels -> 16x28x28 of 256" },
  { "kernel_histogram", "kernels", nil, "256-bin histograms of a 3x32x224x224 uint8 clip" },
  { "kernel_gic", "kernels", nil, "the same clip through a five-expert mixture into float32 patches" },
  { "kernel_gic_bf16", "kernels", nil, "the same into bfloat16 patches" },
  { "kernel_gic_gradient", "kernels", nil, "the mixture forward and backward, gradients of weights and gammas" },
}

--- All benchmarks: list of { name =, goal = text or nil, what = }. Loads no libtorch.
function bench.list()
  local list = {}
  for i, b in ipairs(LIST) do list[i] = { name = b[1], goal = b[3], what = b[4] } end
  return list
end

local function proc_status(field)
  for line in io.lines "/proc/self/status" do
    local kb = line:match("^" .. field .. ":%s+(%d+)")
    if kb then return tonumber(kb) / 1024 end
  end
end

-- Resets the kernel's record of this process's peak memory, where that is possible; else the peak is the process's own.
local function reset_peak()
  local f = io.open("/proc/self/clear_refs", "w")
  if not f then return end
  f:write "5"
  f:close()
end

--- What a benchmark's setup function returns, a *case*:
--   run()        the thing measured
--   work         what one run does, in FLOP or bytes; with `limit`, a function of a clock that measures once what the machine
--                can do, in the same unit a second, and `limit_unit` ("FLOP/s" or "B/s"): ratio = work / time of run / limit
--   pace         a limit, steadier than the own one, that samples are taken against
--   peer()       the composite or libtorch path; peer_rounds how often (default: as often as run)
--   others       name -> function, timed in turn with run; handed to extra and note
--   ratio(t)     the ratio, where no limit gives it
--   extra(t), note(t)   further fields; a remark. t = { run =, peer =, limit =, others' names = } in seconds and units a second
--   rounds       how often each is timed (default 5), in turn; the minimum counts
--   least        seconds that a round of run lasts at least, by repetition (default 0.03)
--   cold = true  no run to warm up before; cpu = true counts the CPU time of this process
--   compare_peak = true   the peer's peak memory is of interest; see bench.peer_peak
--   unit         "ms" (default) or "s"; peak() MB, where it is not this process's; close()
local function setup(name)
  for _, b in ipairs(LIST) do
    if b[1] == name then
      local group = require("bench." .. b[2])
      return (group.benchmarks or group)[name]()
    end
  end
  error("bench: no benchmark is called " .. name, 0)
end

local WARM = 0.1 -- seconds of warming up

local function timed(f, clock)
  local start = clock()
  f()
  return clock() - start
end

local function lower(t, name, value) t[name] = math.min(t[name] or math.huge, value) end

--- Runs one benchmark in this process. Machines drift, so the thing, its limit and its peer are timed in turn, and the best
-- of each counts.
-- @param name of the list
-- @param options rounds = another number of rounds; peer = false leaves out peer and others;
--   samples = true counts CPU time and keeps the ratio of every round
-- @return { name, value, unit, ratio, limit, limit_unit, peer_ratio, peak_mb, note, samples, and what the case adds }; samples are
--   ratios, or for a case with a pace runs in the time of 10^9 FLOP of it
function bench.measure(name, options)
  options = options or {}
  collectgarbage()
  local case = setup(name)
  local clock = (case.cpu or options.samples) and os.clock or progress.now
  local rounds, t, samples = options.rounds or case.rounds or 5, {}, {}
  local repeats, peak = 1, nil
  if not case.cold then
    reset_peak()
    local spent = timed(case.run, clock)
    peak = proc_status "VmHWM"
    local best = spent
    while spent < WARM do -- pages, caches, clock rate
      local seconds = timed(case.run, clock)
      spent, best = spent + math.max(seconds, 1e-5), math.min(best, seconds)
    end
    repeats = math.max(1, math.min(30, math.ceil((case.least or 0.03) / best)))
  end
  local full = options.peer ~= false
  local others = full and case.others or {}
  for round = 1, rounds do
    local seconds = math.huge
    for _ = 1, repeats do
      seconds = math.min(seconds, timed(case.run, clock))
      for other, f in pairs(others) do lower(t, other, timed(f, clock)) end
    end
    lower(t, "run", seconds)
    if case.limit then
      local limit = case.limit(clock)
      t.limit = math.max(t.limit or 0, limit)
      if options.samples then
        samples[round] = case.pace and 1e9 / seconds / case.pace(clock) or case.work / seconds / limit
      end
    end
    if full and case.peer and round <= (case.peer_rounds or rounds) then lower(t, "peer", timed(case.peer, clock)) end
  end
  local unit = case.unit or "ms"
  if case.peak then peak = case.peak() end
  local result = { name = name, value = t.run * (unit == "s" and 1 or 1000), unit = unit, peak_mb = peak,
    limit = t.limit, limit_unit = case.limit_unit, samples = options.samples and samples, compare_peak = case.compare_peak }
  if case.limit then result.ratio = case.work / t.run / t.limit end
  if case.ratio then result.ratio = case.ratio(t) end
  if t.peer then result.peer_ratio = t.peer / t.run end
  if full and case.extra then
    for k, v in pairs(case.extra(t)) do result[k] = v end
  end
  if full and case.note then result.note = case.note(t) end
  if case.close then case.close() end
  return result
end

--- The peak memory of the peer alone, MB: one run in this process, which should be a fresh one. nil where there is no peer.
function bench.peer_peak(name)
  local case = setup(name)
  if not case.peer then return nil end
  reset_peak()
  case.peer()
  local peak = proc_status "VmHWM"
  if case.close then case.close() end
  return peak
end

--- A result as one line of JSON.
function bench.encode(result)
  return json.encode(result, { keyorder = { "name", "value", "unit", "ratio", "limit", "limit_unit", "peer_ratio", "peak_mb" } })
end

return bench
