--- dgam.plot: charts, tables and sheets of frames as SVG and PNG, drawn by gnuplot.
--
--     plot.bars  { file = "table7", groups = {"a", "b"}, series = {{ name = "top-1", values = {1, 2}, errors = {.1, .2} }} }
--     plot.lines { file = "loss", series = {{ name = "training", x = {1, 2}, y = {3, 2} }}, xlabel = "epoch" }
--     plot.page  { file = "figure1", width = 900, height = 400, panels = {
--       { kind = "lines", box = { 0, 0, 450, 400 }, series = ... }, { kind = "bars", box = { 450, 0, 450, 400 }, ... } } }
--
-- All write FILE.svg and FILE.png (twice as many pixels) and return the two paths. The files appear whole; when gnuplot
-- fails, old ones stay. Lengths are pixels of the SVG, from the upper left corner. Text is drawn as it stands, whatever
-- is in it: it never reaches gnuplot as a command nor as mark-up. A value that is NaN or infinite is left out.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local sorted_keys = require "util.keys"
local check = require "util.check"
local suggest = require "util.suggest"
local clean = require("util.text").clean

local plot = {}

--- Colours that stay apart in grey and for colour-blind readers (Okabe and Ito 2008).
plot.COLOURS = { "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000" }
local DASHES = { "solid", "(12,4)", "(4,3)", "(12,4,3,4)" } -- for the ninth curve and on, and for print without colour

local FONT = "DejaVu Sans"
local SIZE, SMALL, LINE = 12, 11, 15 -- pixels: text, tic labels and notes, from one line to the next
local INK, GREY, RULE = "#222222", "#666666", "#e0e0e0"

local function colour(i) return plot.COLOURS[(i - 1) % #plot.COLOURS + 1] end

-- --- text ---

-- For gnuplot: in double quotes, everything but letters as its octal number. (Single quotes will not do: a
-- text that begins with a quote ends them.)
local function quoted(text)
  return '"' .. clean(text):gsub("[^%a \x80-\xff]", function(c) return ("\\%03o"):format(c:byte()) end) .. '"'
end

local function is_finite(v) return v == v and math.abs(v) < math.huge end

-- For gnuplot, to which an infinite value is an unknown name: as NaN it is left out.
local function number(v) return is_finite(v) and ("%.9g"):format(v) or "NaN" end

local NARROW = {}
for c in ("ijlI.,:;'|!"):gmatch "." do NARROW[c:byte()] = 0.31 end
for c in ("ftr()[]{}-/\\\" "):gmatch "." do NARROW[c:byte()] = 0.39 end
for c in ("mwMW%@+=<>"):gmatch "." do NARROW[c:byte()] = 0.9 end

--- About how many pixels a text takes (DejaVu Sans).
-- @param size of the font, in pixels (12 unless told)
function plot.text_width(text, size)
  local em = 0
  for _, c in utf8.codes(clean(text)) do
    em = em + (NARROW[c] or c >= 0x2E80 and 1 or c >= 65 and c <= 90 and 0.71 or 0.62)
  end
  return em * (size or SIZE)
end

--- The beginning of a text that fits into so many pixels, with an ellipsis where something was cut off.
function plot.fitted(text, width, size)
  text = clean(text)
  if plot.text_width(text, size) <= width then return text end
  local kept = ""
  for _, c in utf8.codes(text) do
    local longer = kept .. utf8.char(c)
    if plot.text_width(longer .. "…", size) > width then break end
    kept = longer
  end
  return kept:gsub("%s+$", "") .. "…"
end

--- A text in at most `most` lines of so many pixels.
-- @return list of lines
function plot.wrapped(text, width, most, size)
  local lines = { "" }
  for word in clean(text):gmatch "%S+" do
    local row = lines[#lines]
    if row == "" then lines[#lines] = word
    elseif #lines < most and plot.text_width(row .. " " .. word, size) > width then lines[#lines + 1] = word
    else lines[#lines] = row .. " " .. word end
  end
  for i, row in ipairs(lines) do lines[i] = plot.fitted(row, width, size) end
  return lines
end

-- --- gnuplot ---

local function folder_of(options)
  local base = options.file
  if type(base) ~= "string" then error("plot: file is missing, expected a path without ending", 4) end
  local folder = base:match "^(.*)/[^/]*$"
  if folder and folder ~= "" and lfs.attributes(folder, "mode") ~= "directory" then
    error(("plot: cannot write '%s': there is no folder '%s'"):format(base, folder), 4)
  end
  return base
end

local function write_file(path, ...)
  local f <close> = assert(io.open(path, "wb"))
  assert(f:write(...))
end

-- Runs a gnuplot script and returns what it drew. Script and picture go through files whose names we choose, so that
-- nothing of a user's is parsed by a shell; -d: the user's own settings of gnuplot stay out of it.
local function gnuplot(script)
  local name, picture = os.tmpname(), os.tmpname()
  write_file(name, "set output ", quoted(picture), "\n", script, "\nunset multiplot\nunset output\n")
  local p = assert(io.popen(("gnuplot -d %s 2>&1 </dev/null"):format(name), "r"))
  local said = p:read "a"
  local ok = p:close()
  local drawn = io.open(picture, "rb")
  local bytes = drawn and drawn:read "a"
  if drawn then drawn:close() end
  os.remove(name)
  os.remove(picture)
  if not ok or not bytes or #bytes == 0 then
    if said:find "not found" then said = "the program is missing; the package gnuplot-nox provides it" end
    error("plot: gnuplot failed: " .. said:gsub("%s+$", ""), 0)
  end
  return bytes
end

-- A page under construction: the commands so far, and where pixel (x, y) is for gnuplot.
local Page = {}
Page.__index = Page

-- A data block for gnuplot: rows of numbers.
function Page:data(name, rows)
  self[#self + 1] = "$" .. name .. " << END"
  for _, row in ipairs(rows) do
    for i, v in ipairs(row) do row[i] = number(v) end
    self[#self + 1] = table.concat(row, " ")
  end
  self[#self + 1] = "END"
end

function Page:say(format, ...) self[#self + 1] = select("#", ...) > 0 and format:format(...) or format end

function Page:at(x, y) return ("screen %.6f, screen %.6f"):format(x / self.width, 1 - y / self.height) end

-- Options: size, bold, colour, align = "left", "center" or "right", rotate = degrees, at = a gnuplot position, not x and y.
function Page:text(text, x, y, o)
  o = o or {}
  local font = ("%s%s,%g"):format(FONT, o.bold and ":Bold" or "", o.size or SIZE)
  self:say("set label %s at %s %s noenhanced front font '%s' tc rgb '%s'%s", quoted(text), o.at or self:at(x, y),
    o.align or "left", font, o.colour or INK, o.rotate and (" rotate by %g"):format(o.rotate) or "")
end

function Page:rectangle(x, y, w, h, fill)
  self:say("set object rectangle from %s to %s front fs solid 1 noborder fc rgb '%s'", self:at(x, y + h), self:at(x + w, y), fill)
end

function Page:stroke(x0, y0, x1, y1, o)
  o = o or {}
  self:say("set arrow from %s to %s nohead front lw %g lc rgb '%s' dt %s", self:at(x0, y0), self:at(x1, y1), o.width or 1,
    o.colour or INK, o.dash or "solid")
end

-- The picture part of a panel, in pixels: what is left of its box within the margins.
function Page:area(left, top, right, bottom)
  self:say("set lmargin at screen %.6f\nset rmargin at screen %.6f\nset tmargin at screen %.6f\nset bmargin at screen %.6f",
    left / self.width, right / self.width, 1 - top / self.height, 1 - bottom / self.height)
end

function Page:axes()
  self:say("set border 3 lc rgb '#444444'\nset tics nomirror out scale 0.5 font ',%d' textcolor rgb '%s'", SMALL, INK)
  self:say("set grid ytics lt 1 lw 0.8 dt solid lc rgb '%s'\nset style fill solid 1 noborder\nset key off", RULE)
end

-- Names of series with their colours, in as many rows as it takes. Returns the height.
function Page:legend(series, x, y, width, mark)
  if #series < 2 and not (series[1] and series[1].name) then return 0 end
  local left, row = x, y + 8
  for i, s in ipairs(series) do
    local name = plot.fitted(s.name or tostring(i), width - 26)
    local wide = 24 + plot.text_width(name) + 12
    if left > x and left + wide > x + width + 12 then left, row = x, row + 18 end
    if mark == "line" then
      self:stroke(left, row, left + 18, row, { colour = s.colour or colour(i), width = 2, dash = s.dash })
    else
      self:rectangle(left, row - 6, 12, 12, s.colour or colour(i))
    end
    self:text(name, left + (mark == "line" and 23 or 17), row)
    left = left + wide
  end
  return row + 14 - y
end

-- Title and legend. Returns how far down they reach.
function Page:header(panel, box, series, mark)
  local y = box[2]
  if panel.title then
    self:text(plot.fitted(panel.title, box[3] - 16, 13), box[1] + 8, y + 14, { bold = true, size = 13 })
    y = y + 26
  end
  return y + self:legend(series, box[1] + 8, y, box[3] - 16, mark) + 8
end

local function note_lines(panel, width) return panel.note and plot.wrapped(panel.note, width - 16, 4, SMALL) or {} end

-- Notes below the chart, from the bottom up. Returns where they begin.
function Page:footer(panel, box)
  local bottom, lines = box[2] + box[4] - 4, note_lines(panel, box[3])
  if #lines == 0 then return bottom end
  for i = #lines, 1, -1 do
    self:text(lines[i], box[1] + 8, bottom - 7, { size = SMALL, colour = GREY })
    bottom = bottom - LINE
  end
  return bottom - 4
end

-- Labels below the x axis at positions 1, 2, ... Returns the height they take, and what draws them. Never slanted: Cairo
-- turns a character that no font has into a shape as large as the page when it is rotated.
function Page:group_labels(groups, slot)
  local most, rows = 1, {}
  for g, label in ipairs(groups) do
    rows[g] = plot.wrapped(label, slot - 6, 3)
    most = math.max(most, #rows[g])
  end
  return most * LINE + 6, function(bottom)
    for g, lines in ipairs(rows) do
      for i, line in ipairs(lines) do
        self:text(line, 0, 0, { align = "center", at = ("first %d, screen %.6f"):format(g, 1 - (bottom + LINE * i - 2) / self.height) })
      end
    end
  end
end

-- --- kinds of panels ---

local kinds = {}
local KNOWN = { -- options of each kind, besides kind and box
  bars = { "groups", "series", "title", "ylabel", "line", "note", "after", "format", "range" },
  across = { "groups", "series", "title", "xlabel", "note", "stacked", "format" },
  lines = { "series", "title", "xlabel", "ylabel", "logx", "logy", "note", "xtics", "xrange", "yrange" },
  table = { "head", "rows", "title", "note", "rules" },
  frames = { "tiles", "columns", "tile", "title", "note", "gap" },
}

local function y_title(page, panel, box, top, bottom)
  if not panel.ylabel then return end
  page:text(plot.fitted(panel.ylabel, bottom - top + 20), box[1] + 12, (top + bottom) / 2, { rotate = 90, align = "center" })
end

-- Value of a bar and the ends of its error bar: both the value itself where there is none.
local function span(s, g)
  local v = s.values[g] or 0 / 0
  local from, to = s.low and s.low[g], s.high and s.high[g]
  if s.errors and s.errors[g] then from, to = v - s.errors[g], v + s.errors[g] end
  return is_finite(v) and v or 0 / 0, from and is_finite(from) and from or v, to and is_finite(to) and to or v
end

function kinds.bars(page, p, box)
  local n, k = #p.groups, #p.series
  if n == 0 or k == 0 then error("plot.bars: there is nothing to draw, expected groups and series", 0) end
  local low, high = p.line and math.min(p.line.value, 0) or 0, p.line and math.max(p.line.value, 0) or 0
  for _, s in ipairs(p.series) do
    for g = 1, n do
      local v, from, to = span(s, g)
      if v == v then low, high = math.min(low, from), math.max(high, to) end
    end
  end
  if high - low <= 0 then high = 1 end
  if p.range then low, high = p.range[1], p.range[2] end

  local top, bottom = page:header(p, box, p.series), page:footer(p, box)
  local line_label = p.line and tostring(p.line.label) or ""
  local left = box[1] + (p.ylabel and 60 or 44)
  local right = box[1] + box[3] - (p.line and plot.text_width(line_label, SMALL) + 14 or 12)
  local slot = (right - left) / (n + 0.2)
  local high_label, labels = page:group_labels(p.groups, slot)
  bottom = bottom - high_label
  local wide = 0.82 / k -- of a bar
  local format, longest = p.format or (high - low < 10 and "%.2f" or "%.1f"), 0
  for _, s in ipairs(p.series) do
    for g = 1, n do
      local v = s.values[g]
      if v and is_finite(v) then longest = math.max(longest, plot.text_width(format:format(v), 10)) end
    end
  end
  local values = longest <= slot * wide + 2
  high = high + (high - low) * (values and 0.09 or 0.04)
  if low < 0 then low = low - (high - low) * (values and 0.09 or 0.04) end

  page:area(left, top, right, bottom)
  page:axes()
  page:say("unset xtics\nset xrange [0.4:%g]\nset yrange [%s:%s]", n + 0.6, number(low), number(high))
  y_title(page, p, box, top, bottom)
  labels(bottom)
  if p.line then
    page:say("set arrow from graph 0, first %s to graph 1, first %s nohead back dt (8,5) lc rgb '%s'", number(p.line.value),
      number(p.line.value), GREY)
    page:text(line_label, 0, 0, { size = SMALL, colour = GREY, at = ("graph 1, first %s offset 0.8,0"):format(number(p.line.value)) })
  end
  if low < 0 then page:say("set arrow from graph 0, first 0 to graph 1, first 0 nohead back lc rgb '#444444'") end
  for _, g in ipairs(p.after or {}) do
    page:say("set arrow from first %g, graph 0 to first %g, graph 1 nohead back dt (2,4) lc rgb '%s'", g + 0.5, g + 0.5, GREY)
  end
  local curves = {}
  for i, s in ipairs(p.series) do
    local rows = {}
    for g = 1, n do
      local v, from, to = span(s, g)
      local x, side = g + (i - (k + 1) / 2) * wide, v < 0 and -1 or 1
      rows[g] = { x, v, to > from and from or 0 / 0, to - from }
      if values and v == v then
        page:text(format:format(v), 0, 0, { size = 10, align = "center", colour = "#444444",
          at = ("first %s, first %s offset 0,%g"):format(number(x), number(v < 0 and from or to), 0.6 * side) })
      end
    end
    page:data("s" .. i, rows)
    curves[#curves + 1] = ("$s%d using 1:2:(%g) with boxes fc rgb '%s'"):format(i, wide * 0.94, s.colour or colour(i))
    if s.errors or s.low then -- not yerrorbars, which put a point of size 0 into the SVG that some readers choke on
      curves[#curves + 1] = ("$s%d using 1:3:(0):4 with vectors heads size screen %.6f,90 lw 1.2 lc rgb '%s'"):format(i,
        math.min(4, slot * wide / 4) / page.width, INK)
    end
  end
  page:say("plot " .. table.concat(curves, ", \\\n  "))
end

-- Bars from left to right, one below the other: for many groups and long names.
function kinds.across(page, p, box)
  local n, k = #p.groups, #p.series
  if n == 0 or k == 0 then error("plot.across: there is nothing to draw, expected groups and series", 0) end
  local top, bottom = page:header(p, box, p.series), page:footer(p, box)
  local longest, high = 0, 0
  for g, label in ipairs(p.groups) do
    longest = math.max(longest, plot.text_width(label))
    local sum = 0
    for _, s in ipairs(p.series) do
      local v = s.values[g]
      v = v and is_finite(v) and v or 0
      sum = p.stacked and sum + v or math.max(sum, v)
    end
    high = math.max(high, sum)
  end
  longest = math.min(longest, box[3] * 0.4)
  local left, right = box[1] + longest + 18, box[1] + box[3] - 50
  bottom = bottom - (p.xlabel and 42 or 24)
  page:area(left, top, right, bottom)
  page:axes()
  page:say("unset ytics\nset grid noytics xtics lt 1 lw 0.8 dt solid lc rgb '%s'", RULE)
  page:say("set xrange [0:%s]\nset yrange [%g:0.4]", number(high > 0 and high or 1), n + 0.6)
  if p.xlabel then page:text(plot.fitted(p.xlabel, right - left), (left + right) / 2, bottom + 32, { align = "center" }) end
  local slot = (bottom - top) / (n + 0.2)
  local wide, curves, from = p.stacked and 0.8 or 0.82 / k, {}, setmetatable({}, { __index = function() return 0 end })
  for i, s in ipairs(p.series) do
    local rows = {}
    for g = 1, n do
      local v = s.values[g] and is_finite(s.values[g]) and s.values[g] or 0 / 0
      local y = p.stacked and g or g + (i - (k + 1) / 2) * wide
      local start = p.stacked and from[g] or 0
      local stop = start + (v == v and v or 0)
      rows[g] = { start, stop, y - wide * 0.47, y + wide * 0.47 }
      if p.stacked then from[g] = stop end
      if v == v and (not p.stacked or i == k) and slot * wide >= 9 then
        page:text((p.format or "%.1f"):format(p.stacked and stop or v), 0, 0, { size = 10, colour = "#444444",
          at = ("first %s, first %s offset 0.6,0"):format(number(stop), number(y)) })
      end
    end
    page:data("s" .. i, rows)
    curves[i] = ("$s%d using 1:3:1:2:3:4 with boxxyerror fc rgb '%s'"):format(i, s.colour or colour(i))
  end
  for g, label in ipairs(p.groups) do
    page:text(plot.fitted(label, longest), left - 8, top + (g - 0.4) * slot, { align = "right" })
  end
  page:say("plot " .. table.concat(curves, ", \\\n  "))
end

function kinds.lines(page, p, box)
  if #p.series == 0 then error("plot.lines: there is nothing to draw, expected series", 0) end
  for i, s in ipairs(p.series) do s.dash = s.dash or DASHES[(i - 1) // #plot.COLOURS % #DASHES + 1] end
  local top, bottom = page:header(p, box, p.series, "line"), page:footer(p, box)
  local left, right = box[1] + (p.ylabel and 70 or 52), box[1] + box[3] - 16
  bottom = bottom - (p.xlabel and 42 or 24)
  page:area(left, top, right, bottom)
  page:axes()
  page:say("set grid xtics")
  if p.xlabel then page:text(plot.fitted(p.xlabel, right - left), (left + right) / 2, bottom + 32, { align = "center" }) end
  y_title(page, p, box, top, bottom)
  if p.logx then page:say("set logscale x") end
  if p.logy then page:say("set logscale y\nset format y '10^{%T}'\nset ytics enhanced") end
  for _, name in ipairs { "xrange", "yrange" } do
    if p[name] then page:say("set %s [%s:%s]", name, number(p[name][1]), number(p[name][2])) end
  end
  if p.xtics then
    local tics = {}
    for i, t in ipairs(p.xtics) do -- a tic's own label would be a format
      tics[i] = "'' " .. number(t[1])
      page:text(t[2], 0, 0, { size = SMALL, align = "center",
        at = ("first %s, screen %.6f"):format(number(t[1]), 1 - (bottom + 13) / page.height) })
    end
    page:say("set xtics (%s)", table.concat(tics, ", "))
  end
  local curves = {}
  for i, s in ipairs(p.series) do
    local rows = {}
    for k, y in ipairs(s.y) do rows[k] = { s.x and s.x[k] or k, y } end
    page:data("s" .. i, rows)
    curves[i] = ("$s%d using 1:2 with lines lw 2 dt %s lc rgb '%s'"):format(i, s.dash, s.colour or colour(i))
  end
  page:say("plot " .. table.concat(curves, ", \\\n  "))
end

-- A panel that is only labels and strokes still needs something to plot.
local function nothing(page)
  page:area(0, 0, page.width, page.height)
  page:say "set xrange [0:1]\nset yrange [0:1]\nunset border\nunset tics\nset key off\nplot NaN"
end

--- Widths of the columns of a table panel, and the height it takes: for laying out a page.
function plot.table_size(p)
  local widths = {}
  for _, row in ipairs { p.head, table.unpack(p.rows) } do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, plot.text_width(cell)) end
  end
  local total = 16
  for _, w in ipairs(widths) do total = total + w + 20 end
  return total, (p.title and 30 or 6) + 20 * (#p.rows + 1) + 12 + (p.note and 3 * LINE + 6 or 0), widths
end

function kinds.table(page, p, box)
  local total, _, widths = plot.table_size(p)
  local squeeze = math.min(1, box[3] / total)
  local x, y, right = {}, page:header(p, box, {}), box[1] + 8
  for i, w in ipairs(widths) do
    x[i] = right
    right = right + (w + 20) * squeeze
  end
  right = right - 20 * squeeze
  local function rule(at, width) page:stroke(box[1] + 8, at, right, at, { width = width }) end
  local function line(row, at, bold)
    for i, cell in ipairs(row) do
      local text = plot.fitted(cell, widths[i] * squeeze + 2)
      if i == 1 then page:text(text, x[i], at, { bold = bold })
      else page:text(text, x[i] + widths[i] * squeeze, at, { align = "right", bold = bold }) end
    end
  end
  rule(y, 1.6)
  line(p.head, y + 11)
  y = y + 22
  rule(y, 0.8)
  for r, row in ipairs(p.rows) do
    line(row, y + 11)
    y = y + 20
    for _, after in ipairs(p.rules or {}) do
      if after == r then rule(y + 1, 0.8) end
    end
  end
  rule(y + 3, 1.6)
  if p.note then
    for i, text in ipairs(plot.wrapped(p.note, math.max(right - box[1] - 8, 300), 4, SMALL)) do
      page:text(text, box[1] + 8, y + 3 + LINE * i, { size = SMALL, colour = GREY })
    end
  end
  nothing(page)
end

--- Height of a frames panel of a given width, and where its tiles are: for laying out a page.
function plot.frames_size(p, width)
  local gap, side = p.gap or 8, 0
  for _, t in ipairs(p.tiles) do side = math.max(side, t.left and plot.text_width(t.left) + 10 or 0) end
  side = math.min(side, 110)
  local w = (width - 16 - side - gap * (p.columns - 1)) / p.columns
  w = math.min(w, p.tile or w)
  local h = 0
  for _, t in ipairs(p.tiles) do h = math.max(h, w * (t.height or 1) / (t.width or 1)) end
  local tops, y = {}, 0
  for first = 1, #p.tiles, p.columns do
    local above, below = 0, 0
    for i = first, math.min(first + p.columns - 1, #p.tiles) do
      above, below = math.max(above, p.tiles[i].above and 18 or 0), math.max(below, 15 * #(p.tiles[i].below or {}))
    end
    tops[#tops + 1] = y + above
    y = y + above + h + below + gap
  end
  local height = (p.title and 34 or 8) + y + (p.note and LINE * #note_lines(p, width) + 6 or 0)
  return height, { w = w, h = h, gap = gap, side = side, tops = tops }
end

function kinds.frames(page, p, box)
  local _, size = plot.frames_size(p, box[3])
  local y0 = page:header(p, box, {})
  page:footer(p, box)
  local drawn, w, h = {}, size.w, size.h
  for i, t in ipairs(p.tiles) do
    local row, column = (i - 1) // p.columns, (i - 1) % p.columns
    local x, y = box[1] + 8 + size.side + column * (w + size.gap), y0 + size.tops[row + 1]
    if t.above then page:text(plot.fitted(t.above, w), x + w / 2, y - 9, { align = "center" }) end
    if t.left then page:text(plot.fitted(t.left, size.side - 6), x - 8, y + h / 2, { align = "right" }) end
    for k, text in ipairs(t.below or {}) do
      page:text(plot.fitted(text, w + size.gap - 4, SMALL), x, y + h + 15 * k - 6, { size = SMALL, colour = k == 1 and INK or GREY })
    end
    if t.rgb then
      local scale = math.min(w / t.width, h / t.height)
      local tw, th = t.width * scale, t.height * scale
      drawn[#drawn + 1] = { t = t, x = x + (w - tw) / 2, y = y + (h - th) / 2, w = tw, h = th }
    else
      page:text("none", x + w / 2, y + h / 2, { align = "center", size = SMALL, colour = GREY })
      for k = 0, 1 do
        page:stroke(x, y + k * h, x + w, y + k * h, { colour = RULE })
        page:stroke(x + k * w, y, x + k * w, y + h, { colour = RULE })
      end
    end
  end
  nothing(page)
  for _, d in ipairs(drawn) do
    local t, raw = d.t, page:temporary(d.t.rgb)
    page:say "unset label\nunset arrow\nunset object"
    page:area(d.x, d.y, d.x + d.w, d.y + d.h)
    page:say("set xrange [-0.5:%g]\nset yrange [-0.5:%g]", t.width - 0.5, t.height - 0.5)
    for _, m in ipairs(t.marks or {}) do -- shares of the frame, from its upper left corner; kept inside it
      local mw, mh = 2 * math.min(m.w / 2, m.x, 1 - m.x) * d.w, 2 * math.min(m.h / 2, m.y, 1 - m.y) * d.h
      for _, pen in ipairs { { 3.5, "#000000" }, { 1.6, plot.COLOURS[7] } } do
        page:say("set object ellipse center %s size screen %.6f, screen %.6f front fs empty border lc rgb '%s' lw %g",
          page:at(d.x + m.x * d.w, d.y + m.y * d.h), mw / page.width, mh / page.height, pen[2], pen[1])
      end
    end
    page:say("plot %s binary array=(%d,%d) flipy format='%%uchar' with rgbimage", quoted(raw), t.width, t.height)
  end
end

-- --- pages ---

local function render(options, width, height, panels)
  local base = folder_of(options)
  local page = setmetatable({ width = width, height = height }, Page)
  local raws = {}
  function page.temporary(_, bytes) -- pixels for gnuplot to read
    raws[#raws + 1] = os.tmpname()
    write_file(raws[#raws], bytes)
    return raws[#raws]
  end
  local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    for _, raw in ipairs(raws) do os.remove(raw) end
  end })
  page:say "set encoding utf8\nset multiplot"
  for _, p in ipairs(panels) do
    page:say "reset"
    kinds[p.kind](page, p, p.box)
  end
  local body = table.concat(page, "\n")
  local terminal = "set terminal %s enhanced background '#ffffff' font '" .. FONT .. ",%d' size %d,%d %s\n"
  local svg = gnuplot(terminal:format("svg", SIZE, width, height, "") .. body)
  svg = svg:gsub('font%-family="' .. FONT .. '(:?%a*)', function(weight) -- Verdana is as wide, if the other is not there
    return (weight == ":Bold" and 'font-weight="bold" ' or "") .. 'font-family="' .. FONT .. ", Verdana, sans-serif"
  end)
  -- Cairo counts points at 96 a inch, so fonts take 3/4; and everything is drawn twice as large.
  local png = gnuplot(terminal:format("pngcairo", SIZE, 2 * width, 2 * height, "fontscale 1.5 linewidth 2 pointscale 2") .. body)
  fs.write(base .. ".svg", svg)
  fs.write(base .. ".png", png)
  return base .. ".svg", base .. ".png"
end

--- Several panels on one page.
-- @param options file, width, height, panels = list of tables with kind and box = { x, y, width, height }, and
--   bars    groups = labels, series = list of { name, values, errors (or low and high), colour }, title, ylabel, note,
--           line = { value, label }, after = groups that a dotted line follows, range = { low, high }, format of the
--           numbers on the bars, which are left out where they do not fit
--   across  the same from left to right, for many groups: groups, series, title, xlabel, note, format, stacked = true
--   lines   series = list of { name, x = (default 1..n), y, colour, dash }, title, xlabel, ylabel, note, logx, logy, xrange, yrange,
--           xtics = list of { position, label }
--   table   head = cells, rows = lists of cells, title, note, rules = rows that a line follows; see plot.table_size
--   frames  tiles = list of { width, height, rgb = bytes [H,W,3], above, left, below = lines of text, marks = list of { x, y, w, h
--           } (an ellipse, in shares of the frame) }, columns, tile = most pixels of a tile, title, note; see plot.frames_size
function plot.page(options)
  check.names("plot.page", options, { "file", "width", "height", "panels" })
  for _, p in ipairs(options.panels) do
    if not KNOWN[p.kind] then error(suggest.unknown("kind of panel", tostring(p.kind), sorted_keys(KNOWN)), 2) end
    check.names("plot." .. p.kind, p, { "kind", "box", table.unpack(KNOWN[p.kind]) })
  end
  return render(options, math.ceil(options.width), math.ceil(options.height), options.panels)
end

local function single(kind, options, width, height)
  check.names("plot." .. kind, options, { "file", table.unpack(KNOWN[kind]) })
  local panel = setmetatable({ kind = kind, box = { 0, 4, width, height - 4 } }, { __index = options })
  return render(options, width, height, { panel })
end

--- Grouped bars with error bars. Options as of a panel, and file.
function plot.bars(options)
  local bars = #options.groups * #options.series
  return single("bars", options, math.min(1400, math.max(560, 80 + math.max(96 * #options.groups, 34 * bars))), 400)
end

--- Bars from left to right. Options as of a panel, and file.
function plot.across(options)
  local bars = #options.groups * (options.stacked and 1 or #options.series)
  return single("across", options, 720, 120 + math.max(22 * #options.groups, 14 * bars))
end

--- Lines over x. Options as of a panel, and file.
function plot.lines(options) return single("lines", options, 720, 420) end

return plot
