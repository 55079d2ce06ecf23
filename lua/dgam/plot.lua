--- dgam.plot: charts as SVG and PNG, drawn by gnuplot.
--
--     plot.bars  { file = "table7", groups = {"a", "b"}, series = {{ name = "top-1", values = {1, 2}, errors = {.1, .2} }} }
--     plot.lines { file = "loss", series = {{ name = "training", x = {1, 2}, y = {3, 2} }}, xlabel = "epoch" }
--
-- Both write FILE.svg and FILE.png and return the two paths. The files appear whole; when gnuplot fails, old ones stay.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local suggest = require "dgam.suggest"

local plot = {}

-- Colours that stay apart in grey and for colour-blind readers (Okabe and Ito 2008).
local COLOURS = { "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000" }

local function quoted(text) -- for gnuplot: single quotes, doubled inside; no line breaks
  return "'" .. tostring(text):gsub("'", "''"):gsub("[\r\n]", " ") .. "'"
end

local function number(v) return v ~= v and "NaN" or ("%.9g"):format(v) end

-- Runs a gnuplot script and returns what it drew. Script and picture go through files whose names we choose, so that
-- nothing of a user's is parsed by a shell.
local function gnuplot(script)
  local name, picture = os.tmpname(), os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write("set output ", quoted(picture), "\n", script, "\nunset output\n")
  f:close()
  local p = assert(io.popen(("gnuplot %s 2>&1 </dev/null"):format(name), "r"))
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

local HEAD = [[
set encoding utf8
set border 3 lc rgb '#444444'
set tics nomirror out scale 0.5 textcolor rgb '#222222'
set grid ytics lc rgb '#d0d0d0' lw 1
set key at screen 0.5,0.925 center top horizontal Left reverse samplen 1
]] -- the title goes above the key, not between it and the picture: a label in place of "set title"

local function render(options, body, width, height)
  local base = options.file
  if type(base) ~= "string" then error("plot: file is missing, expected a path without ending", 3) end
  local folder = base:match "^(.*)/[^/]*$"
  if folder and folder ~= "" and lfs.attributes(folder, "mode") ~= "directory" then
    error(("plot: cannot write '%s': there is no folder '%s'"):format(base, folder), 3)
  end
  local head = { HEAD, options.title and "set tmargin 4" or "set tmargin 2.5" }
  if options.title then
    head[#head + 1] = ("set label %s at screen 0.5,0.96 center noenhanced"):format(quoted(options.title))
  end
  for _, name in ipairs { "ylabel", "xlabel" } do
    if options[name] then head[#head + 1] = ("set %s %s noenhanced"):format(name, quoted(options[name])) end
  end
  local paths, pictures = {}, {}
  for i, kind in ipairs { { "svg", "svg" }, { "png", "pngcairo" } } do
    local terminal = ("set terminal %s enhanced background '#ffffff' font 'DejaVu Sans,13' size %d,%d"):format(kind[2], width,
      height)
    paths[i] = base .. "." .. kind[1]
    pictures[i] = gnuplot(table.concat({ terminal, table.concat(head, "\n"), body }, "\n"))
  end
  for i, path in ipairs(paths) do fs.write(path, pictures[i]) end
  return table.unpack(paths)
end

-- A label over at most three lines of about 14 characters, as text for a data block (in double quotes, where a backslash
-- begins an escape), and how many lines it has.
local function wrapped(label)
  local lines = { "" }
  for word in tostring(label):gmatch "%S+" do
    local row = lines[#lines]
    if row == "" then lines[#lines] = word
    elseif #lines < 3 and (utf8.len(row .. word) or #row + #word) > 13 then lines[#lines + 1] = word
    else lines[#lines] = row .. " " .. word end
  end
  for i, row in ipairs(lines) do
    local cut = utf8.len(row) and utf8.offset(row, 20)
    if cut and cut <= #row then row = row:sub(1, cut - 1) .. "…" end
    lines[i] = row:gsub("\\", "\\\\"):gsub('"', "''")
  end
  return '"' .. table.concat(lines, "\\n") .. '"', #lines
end

--- Grouped bars with error bars.
-- @param options file, groups = labels, series = list of { name, values, errors }, title, ylabel, line = { value, label }
function plot.bars(options)
  suggest.check_options("plot.bars", options, { "file", "groups", "series", "title", "ylabel", "line" })
  local body = { "$data << END" }
  local top, lines = options.line and options.line.value or 0, 1
  for g, label in ipairs(options.groups) do
    local text, rows = wrapped(label)
    local cells = { text }
    lines = math.max(lines, rows)
    for _, s in ipairs(options.series) do
      cells[#cells + 1] = number(s.values[g])
      cells[#cells + 1] = number(s.errors and s.errors[g] or 0)
      local v = s.values[g]
      if v == v then top = math.max(top, v + (s.errors and s.errors[g] or 0)) end
    end
    body[#body + 1] = table.concat(cells, " ")
  end
  body[#body + 1] = "END"
  body[#body + 1] = "set style data histogram\nset style histogram errorbars gap 1.5 lw 1.2\nset style fill solid 1.0 border rgb '#333333'"
  body[#body + 1] = "set bmargin " .. number(lines + 1.5)
  body[#body + 1] = "set boxwidth 0.9\nset xtics noenhanced scale 0 font ',12'\nset yrange [0:" .. number(math.max(top * 1.06, 1e-9)) .. "]"
  if options.line then
    body[#body + 1] = ("set arrow from graph 0, first %s to graph 1, first %s nohead dt 2 lc rgb '#666666'"):format(
      number(options.line.value), number(options.line.value))
    body[#body + 1] = ("set label %s at graph 1.005, first %s noenhanced tc rgb '#666666'"):format(quoted(options.line.label),
      number(options.line.value))
    body[#body + 1] = "set rmargin 9"
  end
  local curves = {}
  for i, s in ipairs(options.series) do
    curves[i] = ("$data using %d:%d%s title %s noenhanced lc rgb '%s'"):format(2 * i, 2 * i + 1, i == 1 and ":xtic(1)" or "",
      quoted(s.name), COLOURS[(i - 1) % #COLOURS + 1])
  end
  body[#body + 1] = "plot " .. table.concat(curves, ", \\\n  ")
  return render(options, table.concat(body, "\n"), math.max(720, 170 + 125 * #options.groups), 420)
end

--- Lines over x.
-- @param options file, series = list of { name, x = (default 1..n), y }, title, xlabel, ylabel, logx, logy
function plot.lines(options)
  suggest.check_options("plot.lines", options, { "file", "series", "title", "xlabel", "ylabel", "logx", "logy" })
  local body, curves = {}, {}
  for i, s in ipairs(options.series) do
    body[#body + 1] = ("$s%d << END"):format(i)
    for k, y in ipairs(s.y) do body[#body + 1] = number(s.x and s.x[k] or k) .. " " .. number(y) end
    body[#body + 1] = "END"
    curves[i] = ("$s%d using 1:2 with lines lw 2 lc rgb '%s' title %s noenhanced"):format(i, COLOURS[(i - 1) % #COLOURS + 1],
      quoted(s.name))
  end
  if options.logx then body[#body + 1] = "set logscale x" end
  if options.logy then body[#body + 1] = "set logscale y\nset format y '10^{%T}'" end
  body[#body + 1] = "plot " .. table.concat(curves, ", \\\n  ")
  return render(options, table.concat(body, "\n"), 720, 420)
end

return plot
