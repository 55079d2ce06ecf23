--- dgam.progress: how far a long job is. On a terminal one line that redraws itself; elsewhere a plain line now and
-- then. Everything goes to standard error, so that a table on standard output can be piped.
--
--     local bar = progress.new("stage 0, epoch 3", steps)
--     bar:advance(1, { loss = 1.2, accuracy = 0.4 }, clips)     -- clips: how many were processed, for clips/s
--     bar:finish "validation top-1 41.2%"
local sys = require "dgamnative.sys"
local system = require "system"
local term = require "term"

local progress = {}
local Bar = {}
Bar.__index = Bar

local REDRAW, PLAIN = 0.1, 10 -- seconds between redraws, and between plain lines
local WIDTH = 24 -- of the bar, where the terminal has room for it

--- The first `n` characters of a UTF-8 text.
local function cut(line, n)
  local last = utf8.len(line) and utf8.offset(line, n + 1)
  return last and line:sub(1, last - 1) or line
end

--- The line that a terminal of `columns` shows: where it does not fit, the bar becomes shorter, then goes, then the end is
-- left out. A line that wrapped could not be drawn over.
-- @param share of the work that is done, 0 to 1
function progress.line(label, share, counts, values, columns)
  local length = function(s) return utf8.len(s) or #s end
  local room = columns - 1 - length(label) - length(counts) - length(values) - 6 -- spaces and brackets
  if room < 4 then return cut(("%s %s  %s"):format(label, counts, values), columns - 1) end
  local width = math.min(WIDTH, room)
  local filled = math.floor(width * share)
  return ("%s [%s%s] %s  %s"):format(label, ("#"):rep(filled), ("."):rep(width - filled), counts, values)
end

--- Seconds from some fixed moment.
progress.now = system.monotime

--- "1:02:03", "4:05"
function progress.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  return ("%d:%02d"):format(s // 60, s % 60)
end

--- A bar over `total` steps.
-- @param label what is being done
-- @param total number of steps
-- @param options done = steps already done before (a resumed job), unit = name of what is counted ("clips")
function progress.new(label, total, options)
  options = options or {}
  return setmetatable({ label = label, total = total, done = options.done or 0, first = options.done or 0,
    unit = options.unit or "clips", items = 0, started = progress.now(), drawn = 0, values = {},
    terminal = term.isatty(io.stderr) }, Bar)
end

local function text(bar)
  local parts = {}
  local names = {}
  for name in pairs(bar.values) do names[#names + 1] = name end
  table.sort(names, function(a, b) return a > b end) -- loss before accuracy
  for _, name in ipairs(names) do
    local v = bar.values[name]
    parts[#parts + 1] = name == "accuracy" and ("accuracy %.1f%%"):format(100 * v) or ("%s %.4g"):format(name, v)
  end
  local elapsed = progress.now() - bar.started
  if bar.items > 0 and elapsed > 0 then parts[#parts + 1] = ("%.1f %s/s"):format(bar.items / elapsed, bar.unit) end
  local fresh = bar.done - bar.first
  if fresh > 0 and bar.done < bar.total then
    parts[#parts + 1] = progress.duration(elapsed / fresh * (bar.total - bar.done)) .. " left"
  end
  return table.concat(parts, "  ")
end

local function draw(bar)
  bar.drawn = progress.now()
  if bar.terminal then
    local line = progress.line(bar.label, bar.total > 0 and bar.done / bar.total or 1, ("%d/%d"):format(bar.done, bar.total),
      text(bar), sys.terminal_width() or 80)
    io.stderr:write("\r", line, "\27[K")
  else
    io.stderr:write(("%s %d/%d  %s\n"):format(bar.label, bar.done, bar.total, text(bar)))
  end
  io.stderr:flush()
end

--- `steps` more are done; `values` (name -> number) are shown from now on; `items` were processed.
function Bar:advance(steps, values, items)
  self.done, self.items = self.done + (steps or 1), self.items + (items or 0)
  for k, v in pairs(values or {}) do self.values[k] = v end
  if progress.now() - self.drawn >= (self.terminal and REDRAW or PLAIN) then draw(self) end
end

--- Ends the bar; `note` stands in place of the time left.
function Bar:finish(note)
  local elapsed = progress.duration(progress.now() - self.started)
  io.stderr:write(("%s%s: %s%s in %s%s\n"):format(self.terminal and "\r" or "", self.label, text(self),
    note and "  " .. note or "", elapsed, self.terminal and "\27[K" or ""))
  io.stderr:flush()
end

return progress
