--- dgamlua bench [NAME ...]: how near each kernel comes to the machine's limit.
--
-- Every benchmark runs in a process of its own, so that none finds the memory, the threads or the caches that another left
-- behind, and its peak memory is its own.
local argparse = require "argparse"
local json = require "dkjson"
local bench = require "bench.list"
local check = require "util.check"
local page = require "bench.page"
local shell = require "util.shell"
local suggest = require "util.suggest"

local M = {}

local EPILOG = [[
Columns and JSON fields: value is the least time of several rounds; ratio the share of limit that was reached (1 = at the
limit), limit what the machine's matrix products or memory do in the same run; peer_ratio how many times longer the composite
or libtorch path takes; peak_mb the most resident memory of the whole process while the benchmark ran.]]

-- What `bench --here ARGUMENTS` prints in a fresh process; nil if it failed (it has said why on standard error).
local function fresh(arguments, environment)
  local pipe = assert(io.popen(("%s %s bench --here %s"):format(environment or "", shell.program(), arguments), "r"))
  local said = pipe:read "a"
  local ok = pipe:close()
  return ok and json.decode(said) or nil
end

--- Runs one benchmark in a fresh process, and its peer in another where their peaks of memory are to be compared.
-- @param name of bench.list()
-- @param options rounds, peer, samples as bench.measure takes them; samples are taken on one thread
-- @return result as bench.measure makes it, with peer_peak_mb; nil if the process failed
function M.measure(name, options)
  options = options or {}
  local result = fresh(("%s %s %s %s"):format(options.rounds and "--rounds " .. options.rounds or "",
    options.peer == false and "--no-peer" or "", options.samples and "--samples" or "", shell.quote(name)),
    options.samples and "DGAMLUA_THREADS=1 OMP_NUM_THREADS=1")
  if result and result.compare_peak and options.peer ~= false then
    local peer = fresh("--peer-peak " .. shell.quote(name))
    if not peer then return nil end
    result.peer_peak_mb = peer.peak_mb
    result.note = ("%.0f%% of the composite's %.0f MB"):format(100 * result.peak_mb / peer.peak_mb, peer.peak_mb)
  end
  return result
end

-- One benchmark in this process, as M.measure asks for it.
local function here(options)
  local name = options.name[1]
  if options.peer_peak then
    print(json.encode { peak_mb = bench.peer_peak(name) })
  else
    print(bench.encode(bench.measure(name, { rounds = options.rounds, peer = not options.no_peer, samples = options.samples })))
  end
  return 0
end

-- The benchmarks that `words` mean: a name, or the beginning of some.
local function chosen(words)
  local all, names, list, seen = bench.list(), {}, {}, {}
  if #words == 0 then return all end
  for i, b in ipairs(all) do names[i] = b.name end
  for _, word in ipairs(words) do
    local found = false
    for _, b in ipairs(all) do
      if b.name:sub(1, #word) == word then
        found = true
        if not seen[b.name] then list[#list + 1] = b end
        seen[b.name] = true
      end
    end
    if not found then error(suggest.unknown("benchmark", word, names), 0) end
  end
  return list
end

local function say(line)
  print(line)
  io.stdout:flush()
end

-- --record and --against.
local function recorded(options)
  local record = require "bench.record"
  local names
  if #options.name > 0 then
    names = {}
    for i, b in ipairs(chosen(options.name)) do names[i] = b.name end
  end
  if options.record then
    record.update(options.record, names or record.NAMES, M.measure, say)
    return 0
  end
  local fell = record.check(options.against, names, M.measure, say)
  if #fell > 0 then
    io.stderr:write(("dgamlua: slower than recorded in %s: %s\n"):format(options.against, table.concat(fell, ", ")))
  end
  return #fell > 0 and 1 or 0
end

-- Each of these is a whole command; what else was asked for would be ignored.
local function alone(options)
  for _, mode in ipairs { "list", "record", "against" } do
    for _, other in ipairs { "record", "against", "markdown", "json", "rounds", "no_peer" } do
      if options[mode] and options[other] and mode ~= other then
        error(("--%s and --%s do not go together"):format(mode, (other:gsub("_", "-"))), 0)
      end
    end
  end
end

local FORM = "%-24s %11s %7s %13s %7s %9s"

local function row(r)
  if r.left_out then return ("%-24s left out: %s"):format(r.name, r.left_out) end
  local line = FORM:format(r.name, ("%.2f %-2s"):format(r.value, r.unit), r.ratio and ("%.0f%%"):format(100 * r.ratio) or "",
    page.rate(r.limit, r.limit_unit), r.peer_ratio and ("%.1fx"):format(r.peer_ratio) or "",
    r.peak_mb and ("%.0f MB"):format(r.peak_mb) or "")
  return (r.note and line .. "  " .. r.note or line):gsub("%s+$", "")
end

--- The command.
-- @tparam {string} args
-- @treturn integer exit status
function M.run(args)
  local parser = argparse("dgamlua bench", "Measures the kernels against the machine's limit.", EPILOG)
  parser:argument("name", "benchmarks to run (all by default); a name, or the beginning of some"):args "*"
  parser:flag("--json", "one JSON object a line")
  parser:flag("--list", "only list the benchmarks")
  parser:option("--rounds", "time each so many times"):convert(check.argument("--rounds", check.whole(1)))
  parser:flag("--no-peer", "leave out the composite and libtorch paths")
  parser:option("--markdown", "put the results into the table of a page, such as docs/performance.md"):argname "FILE"
  parser:option("--record", "keep the ratios of short benchmarks, for this kind of machine, in FILE"):argname "FILE"
  parser:option("--against", "measure those again; status 1 if one fell by more than 15% with p <= 0.05"):argname "FILE"
  parser:flag("--here"):hidden(true)
  parser:flag("--samples"):hidden(true)
  parser:flag("--peer-peak"):hidden(true)
  local options = parser:parse(args)
  if options.here then return here(options) end
  alone(options)
  if options.record or options.against then return recorded(options) end

  local list, results, status = chosen(options.name), {}, 0
  if options.list then
    for _, b in ipairs(list) do print(("%-24s %s"):format(b.name, b.what)) end
    return 0
  end
  if options.markdown then page.check(options.markdown, list) end
  if not options.json then print(FORM:format("benchmark", "time", "ratio", "limit", "peer", "peak")) end
  for _, b in ipairs(list) do
    local r = M.measure(b.name, { rounds = options.rounds, peer = not options.no_peer })
    if r then
      r.compare_peak = nil
      if not r.left_out then results[#results + 1] = r end
      say(options.json and bench.encode(r) or row(r))
    else
      io.stderr:write(("dgamlua: the benchmark %s failed\n"):format(b.name))
      status = 1
    end
  end
  if options.markdown then page.update(options.markdown, results) end
  return status
end

return M
