--- Ratios recorded for a machine, and whether those measured now have fallen below them.
--
-- A ratio is a share of what the same machine does in the same second, so it outlives a change of machine better than a
-- time; but what a kernel reaches still differs between kinds of processors and versions of oneDNN, so ratios are
-- recorded for each kind, and a machine of another kind is not compared with any. What is recorded is measured on one
-- thread and in CPU time, which other programs on the machine disturb least.
local json = require "dkjson"
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local keys_of = require "util.keys"
local sys = require "dgamnative.sys"

local record = {}

--- What a change must do to be a regression: lower the median by more than FALL, with a chance of P or less that the new
-- ratios are no lower than the recorded ones.
record.FALL, record.P = 0.15, 0.05

-- Short benchmarks that together see every kernel.
record.NAMES = { "linear", "adamw", "light_agc", "kernel_block_bf16", "kernel_block_train", "kernel_patch_embed", "kernel_patch_merge",
  "kernel_gic_gradient" }

-- Samples come from several processes, since where a process's memory lies is part of the noise.
local PROCESSES, ROUNDS, ATTEMPTS = 3, 5, 3

--- What kind of machine this is: processor, vector level, oneDNN.
function record.machine()
  local info = {}
  for line in io.lines "/proc/cpuinfo" do
    local k, v = line:match "^([^\t:]+)%s*:%s*(.*)$"
    if k and not info[k] then info[k] = v end
  end
  return ("%s %s-%s, %s, oneDNN %s"):format(info.vendor_id or "unknown", info["cpu family"] or "?", info.model or "?",
    sys.cpu_level(), sys.versions().onednn:match "^%d+%.%d+" or "?")
end

-- What is wrong with a decoded file; nil if nothing is.
local function flaw(machines)
  local function object(v) return type(v) == "table" and getmetatable(v).__jsontype == "object" end
  if not object(machines) then return "no JSON object" end
  for machine, benchmarks in pairs(machines) do
    if not object(benchmarks) or not next(benchmarks) then return ("'%s' has no benchmarks"):format(machine) end
    for name, ratios in pairs(benchmarks) do
      local list = type(ratios) == "table" and not object(ratios) and #ratios > 0
      for _, ratio in ipairs(list and ratios or {}) do list = list and type(ratio) == "number" and ratio > 0 and ratio < math.huge end
      if not list then return ("%s of '%s' is not a list of ratios above 0"):format(name, machine) end
    end
  end
end

--- The file's table: machine -> benchmark -> list of ratios.
function record.load(path)
  local f <close>, missing = io.open(path, "r")
  if not f then error(missing, 0) end
  local text, unread = f:read "a"
  if not text then error(("%s: %s"):format(path, unread), 0) end
  local machines, _, why = json.decode(text)
  why = why or flaw(machines)
  if why then error(("%s: not a file of recorded ratios: %s"):format(path, why), 0) end
  return machines
end

--- Writes it, one line a benchmark.
function record.save(path, machines)
  local blocks = {}
  for i, machine in ipairs(keys_of(machines)) do
    local lines = {}
    for k, name in ipairs(keys_of(machines[machine])) do
      local values = {}
      for v, ratio in ipairs(machines[machine][name]) do values[v] = ("%.4g"):format(ratio) end
      lines[k] = ("    %s: [%s]"):format(json.quotestring(name), table.concat(values, ", "))
    end
    blocks[i] = ("  %s: {\n%s\n  }"):format(json.quotestring(machine), table.concat(lines, ",\n"))
  end
  fs.write(path, "{\n" .. table.concat(blocks, ",\n") .. "\n}\n")
end

local function median(values)
  local t = table.move(values, 1, #values, 1, {})
  table.sort(t)
  local n = #t
  return n % 2 == 1 and t[n // 2 + 1] or (t[n // 2] + t[n // 2 + 1]) / 2
end

--- How likely values as low as `new`, against `old`, are if both come from one distribution: Mann and Whitney's U, one-sided,
-- exact; ties count against a difference.
function record.p_lower(new, old)
  local n, m, above = #new, #old, 0
  for _, x in ipairs(new) do
    for _, y in ipairs(old) do
      if x >= y then above = above + 1 end
    end
  end
  -- ways[u]: in how many of the C(n+m, n) orders u pairs are that way round: coefficients of the Gaussian binomial, by
  -- multiplying with (1 - q^(m+i)) / (1 - q^i) for i = 1 .. n.
  local ways = { [0] = 1.0 }
  for u = 1, n * m do ways[u] = 0.0 end
  for i = 1, n do
    for u = n * m, m + i, -1 do ways[u] = ways[u] - ways[u - m - i] end
    for u = i, n * m do ways[u] = ways[u] + ways[u - i] end
  end
  local below, all = 0, 0
  for u = 0, n * m do
    all = all + ways[u]
    if u <= above then below = below + ways[u] end
  end
  return below / all
end

--- Whether ratios have fallen: { fell = boolean, fall = share of the old median that is gone, p =, now =, was = medians }.
function record.compare(new, old)
  local now, was = median(new), median(old)
  local fall, p = 1 - now / was, record.p_lower(new, old)
  return { fell = fall > record.FALL and p <= record.P, fall = fall, p = p, now = now, was = was }
end

-- Ratios of one benchmark from several processes, through measure(name, options) as the command has it.
local function sample(measure, name)
  local list = {}
  for _ = 1, PROCESSES do
    local r = measure(name, { rounds = ROUNDS, peer = false, samples = true })
    if not r then error(("the benchmark %s failed"):format(name), 0) end
    if not r.samples or #r.samples == 0 then error(("the benchmark %s has no ratio to a limit that could be recorded"):format(name), 0) end
    table.move(r.samples, 1, #r.samples, #list + 1, list)
  end
  return list
end

--- Measures `names` and writes their ratios into the file in place of this machine's older ones, each as soon as it is known.
-- A file that is none, or cannot be written, is an error before anything is measured.
-- @param measure function(name, options) -> result of bench.measure, in a fresh process
-- @param say where lines of text go, a function
function record.update(path, names, measure, say)
  local machines, machine = lfs.attributes(path, "mode") and record.load(path) or {}, record.machine()
  record.save(path, machines)
  say(machine)
  for _, name in ipairs(names) do
    local ratios = sample(measure, name)
    machines[machine] = machines[machine] or {}
    machines[machine][name] = ratios
    record.save(path, machines)
    say(("%-24s %8.3f"):format(name, median(ratios)))
  end
end

--- Measures what is recorded for this machine and says what has fallen. A benchmark that seems to have is measured again,
-- and has only if it does so every time.
-- @param names only these; all that are recorded by default
-- @param measure, say as for update
-- @return names that fell
function record.check(path, names, measure, say)
  local machine, fell = record.machine(), {}
  local recorded = record.load(path)[machine]
  if not recorded then
    say(("no ratios are recorded for this kind of machine (%s): nothing to compare"):format(machine))
    say(("`dgamlua bench --record %s` on an idle one records them"):format(path))
    return fell
  end
  names = names or keys_of(recorded)
  for _, name in ipairs(names) do
    if not recorded[name] then error(("no ratios of %s are recorded for this kind of machine"):format(name), 0) end
  end
  say(machine)
  say(("%-24s %8s %8s %7s %8s"):format("benchmark", "recorded", "now", "change", "p"))
  for _, name in ipairs(names) do
    local c
    for _ = 1, ATTEMPTS do
      c = record.compare(sample(measure, name), recorded[name])
      say(("%-24s %8.3f %8.3f %6.1f%% %8.2g%s"):format(name, c.was, c.now, -100 * c.fall, c.p,
        c.fell and "  fell" or ""))
      if not c.fell then break end
    end
    if c.fell then fell[#fell + 1] = name end
  end
  return fell
end

return record
