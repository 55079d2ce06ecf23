--- The table of results in a page of text: lines between two marks, one a benchmark, replaced as they are measured anew.
local fs = require "dgamnative.fs"
local bench = require "dgam.bench"
local record = require "dgam.bench.record"

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

--- Puts results into the page. Lines of benchmarks that were not run stay, if they are of the same kind of machine; else they
-- would be compared with what they cannot be compared with, which is an error.
-- @param path of the page, which has both marks in it
-- @param results list of results of bench.measure
function page.update(path, results)
  local f = assert(io.open(path, "r"))
  local text = f:read "a"
  f:close()
  local from, first = text:find(BEGIN, 1, true)
  local last = first and text:find(END, first, true)
  if not last then error(("%s: the marks '%s' and '%s' are not in it"):format(path, BEGIN, END), 0) end
  local rows, threads = {}, require("dgamnative.sys").threads()
  local machine = ("Measured on: %s, %d threads."):format(record.machine(), threads)
  local before = text:sub(first + 1, last - 1)
  for line in before:gmatch "[^\n]+" do
    local name = line:match "^| `([%w_]+)` |"
    if name then rows[name] = line end
  end
  local done = {}
  for _, r in ipairs(results) do done[r.name] = r end
  local lines = { HEAD }
  for _, b in ipairs(bench.list()) do
    if done[b.name] then rows[b.name] = row(b, done[b.name])
    elseif rows[b.name] and not before:find(machine, 1, true) then
      error(("%s: its table is of another machine; run all benchmarks that are in it, %s too"):format(path, b.name), 0)
    end
    lines[#lines + 1] = rows[b.name]
  end
  fs.write(path, text:sub(1, from - 1) .. BEGIN .. "\n" .. machine .. "\n\n" .. table.concat(lines, "\n") .. "\n" .. text:sub(last))
end

return page
