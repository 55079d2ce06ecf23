--- dgamlua bench [name ...] [--json]: how near each kernel comes to the machine's limit.
--
-- Every benchmark runs in turn with what it is held against (the limit, and the composite or libtorch path), several
-- rounds, and the minimum of each counts: machines drift, ratios within one run hold. ratio is the share of the limit
-- that was reached (1 = at the limit), peer_ratio how many times longer the peer takes.
local argparse = require "argparse"
local json = require "dkjson"
local suggest = require "dgam.suggest"
local progress = require "dgam.progress"

local bench = {}

-- In this order; each file dgam/bench/NAME.lua adds its own.
local GROUPS = { "limits", "nn", "light", "data", "program" }

--- All benchmarks: list of { name =, what =, setup = function() -> case }. A case has
--   run()        the thing measured
--   limit()      runs what sets the limit (optional), with work and limit_work in one unit (FLOP, bytes): ratio is
--                (work / time of run) / (limit_work / time of limit)
--   peer()       the composite or libtorch path (optional)
--   rounds       how often (default 5), unit of the value (default "ms"), cpu = true to count CPU time
function bench.list()
  local list = {}
  for _, group in ipairs(GROUPS) do
    if package.searchpath("dgam.bench." .. group, package.path) then
      for _, b in ipairs(require("dgam.bench." .. group)) do list[#list + 1] = b end
    end
  end
  return list
end

local function proc_status(field)
  for line in io.lines "/proc/self/status" do
    local kb = line:match("^" .. field .. ":%s+(%d+)")
    if kb then return tonumber(kb) / 1024 end
  end
end

-- Resets the kernel's record of this process's peak memory; nil where that is not possible.
local function reset_peak()
  local f = io.open("/proc/self/clear_refs", "w")
  if not f then return nil end
  f:write "5"
  f:close()
  return proc_status "VmRSS"
end

local function timed(f, cpu)
  local clock = cpu and os.clock or progress.now
  local start = clock()
  f()
  return clock() - start
end

--- Runs one benchmark and returns what is printed: name, what, value (ms), unit, ratio, limit, peer_ratio, peak_mb.
function bench.run(b)
  collectgarbage()
  local case = b.setup()
  local best = { run = math.huge, limit = math.huge, peer = math.huge }
  local base = reset_peak()
  best.run = timed(case.run, case.cpu) -- warm-up, and the peak
  local peak = base and proc_status "VmHWM"
  if case.limit then case.limit() end
  local rounds = case.rounds or 5
  for round = 1, rounds do
    best.run = math.min(round == 1 and math.huge or best.run, timed(case.run, case.cpu))
    if case.limit then best.limit = math.min(best.limit, timed(case.limit, case.cpu)) end
    if case.peer and round <= (case.peer_rounds or rounds) then best.peer = math.min(best.peer, timed(case.peer, case.cpu)) end
    if dgamlua.interrupted() then error("interrupted", 0) end
  end
  if case.close then case.close() end
  local result = { name = b.name, what = b.what, value = best.run * 1000, unit = case.unit or "ms", peak_mb = peak }
  if case.limit then
    result.ratio = (case.work / best.run) / (case.limit_work / best.limit)
    result.limit = case.limit_work / best.limit
    result.limit_unit = case.limit_unit
  end
  if case.ratio then result.ratio = case.ratio(best.run) end
  if case.peer then result.peer_ratio = best.peer / best.run end
  if case.note then result.note = case.note(best.run) end
  return result
end

local function rate(value, unit)
  if not value then return "" end
  if unit == "FLOP/s" then return ("%.0f GFLOP/s"):format(value / 1e9) end
  if unit == "B/s" then return ("%.1f GB/s"):format(value / 1e9) end
  return ("%.3g %s"):format(value, unit or "")
end

function bench.main(args)
  local parser = argparse("dgamlua bench", "Measure the kernels against the machine's limit.")
  parser:argument("name", "benchmarks to run (all by default); a name, or the beginning of some"):args "*"
  parser:flag("--json", "one JSON object a line")
  parser:flag("--list", "only list the benchmarks")
  local options = parser:parse(args)

  local all, chosen, names = bench.list(), {}, {}
  for _, b in ipairs(all) do names[#names + 1] = b.name end
  for _, want in ipairs(options.name) do
    local before = #chosen
    for _, b in ipairs(all) do
      if b.name:sub(1, #want) == want then chosen[#chosen + 1] = b end
    end
    if #chosen == before then error(suggest.unknown("benchmark", want, names), 0) end
  end
  if #options.name == 0 then chosen = all end

  if options.list then
    for _, b in ipairs(chosen) do print(("%-24s %s"):format(b.name, b.what)) end
    return 0
  end
  if not options.json then
    print(("%-24s %12s %8s %16s %8s %9s"):format("benchmark", "time", "ratio", "limit", "peer", "peak"))
  end
  for _, b in ipairs(chosen) do
    local r = bench.run(b)
    if options.json then
      print(json.encode(r, { keyorder = { "name", "value", "unit", "ratio", "limit", "limit_unit", "peer_ratio", "peak_mb" } }))
    else
      print(("%-24s %9.2f %-2s %8s %16s %8s %9s%s"):format(r.name, r.value, r.unit, r.ratio and ("%.0f%%"):format(100 * r.ratio) or "",
        rate(r.limit, r.limit_unit), r.peer_ratio and ("%.1fx"):format(r.peer_ratio) or "",
        r.peak_mb and ("%.0f MB"):format(r.peak_mb) or "", r.note and "  " .. r.note or ""))
    end
    io.stdout:flush()
  end
  return 0
end

return { run = bench.main, list = bench.list, measure = bench.run }
