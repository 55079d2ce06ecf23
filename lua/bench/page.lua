--- The table of results in a page of text: lines between two marks, one a benchmark, replaced as they are measured anew.
local fs = require "dgamnative.fs"
local bench = require "bench.list"
local record = require "bench.record"

local page = {}

local BEGIN, END = "<!-- dgamlua bench --markdown: begin -->", "<!-- end -->"
local HEAD = "| benchmark | what | time | of the limit | limit | peer takes | peak memory | to reach | remark |\n"
  .. "|---|---|--:|--:|--:|--:|--:|---|---|"

--- A rate for a person: "215 GFLOP/s", "58.7 GB/s"; "" for nil.
function page.rate(value, unit)
  if not value then return "" end
  if unit == "FLOP/s" then return ("%.0f GFLOP/s"):format(value / 1e9) end
  return ("%.1f GB/s"):format(value / 1e9)
end

local function row(b, r)
  return ("| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |"):format(r.name, b.what, ("%.2f %s"):format(r.value, r.unit),
    r.ratio and ("%.0f%%"):format(100 * r.ratio) or "", page.rate(r.limit, r.limit_unit),
    r.peer_ratio and ("%.1fx"):format(r.peer_ratio) or "", r.peak_mb and ("%.0f MB"):format(r.peak_mb) or "", b.goal or "",
    r.note or "")
end

-- The page: its text, where what stands between the marks begins and ends, and the lines of its table by benchmark. A line that
-- is not `done` anew and comes from another machine is an error: it would be compared with what it cannot be compared with.
local function read(path, machine, done)
  local f <close>, missing = io.open(path, "r")
  if not f then error(missing, 0) end
  local text, unread = f:read "a"
  if not text then error(("%s: %s"):format(path, unread), 0) end
  local _, first = text:find(BEGIN, 1, true)
  local last = first and text:find(END, first, true)
  if not last then error(("%s: the marks '%s' and '%s' are not in it"):format(path, BEGIN, END), 0) end
  local old, rows = text:sub(first + 1, last - 1), {}
  for line in old:gmatch "[^\n]+" do
    local name = line:match "^| `([%w_]+)` |"
    if name then rows[name] = line end
  end
  for _, b in ipairs(bench.list()) do
    if rows[b.name] and not done[b.name] and not old:find(machine, 1, true) then
      error(("%s: its table is of another machine; run all benchmarks that are in it, %s too"):format(path, b.name), 0)
    end
  end
  return { text = text, first = first, last = last, rows = rows }
end

local function this_machine()
  return ("Measured on: %s, %d threads."):format(record.machine(), require("dgamnative.sys").threads())
end

local function by_name(list)
  local set = {}
  for _, item in ipairs(list) do set[item.name] = item end
  return set
end

--- Whether results of the benchmarks of `list` can be put into the page, before they are measured; an error says why not.
function page.check(path, list)
  fs.write(path, read(path, this_machine(), by_name(list)).text) -- as it was: the file can be written
end

--- Puts results into the page. Lines of benchmarks that were not run stay, if they are of the same kind of machine.
-- @param path of the page, which has both marks in it
-- @param results list of results of bench.measure
function page.update(path, results)
  local machine, done = this_machine(), by_name(results)
  local old, lines = read(path, machine, done), { HEAD }
  for _, b in ipairs(bench.list()) do
    lines[#lines + 1] = done[b.name] and row(b, done[b.name]) or old.rows[b.name]
  end
  fs.write(path, old.text:sub(1, old.first) .. "\n" .. machine .. "\n\n" .. table.concat(lines, "\n") .. "\n" .. old.text:sub(old.last))
end

return page
