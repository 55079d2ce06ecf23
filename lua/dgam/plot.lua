--- dgam.plot: charts as SVG and PNG, drawn by gnuplot.
--
--     plot.bars  { file = "table7", groups = {"a", "b"}, series = {{ name = "top-1", values = {1, 2}, errors = {.1, .2} }} }
--     plot.lines { file = "loss", series = {{ name = "training", x = {1, 2}, y = {3, 2} }}, xlabel = "epoch" }
--
-- Both write FILE.svg and FILE.png and return the two paths. Nothing is left behind when gnuplot fails.
local suggest = require "dgam.suggest"

local plot = {}

-- Colours that stay apart in grey and for colour-blind readers (Okabe and Ito 2008).
local COLOURS = { "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000" }

local function quoted(text) -- for gnuplot: single quotes, doubled inside; no line breaks
  return "'" .. tostring(text):gsub("'", "''"):gsub("[\r\n]", " ") .. "'"
end

local function number(v) return v ~= v and "NaN" or ("%.9g"):format(v) end

-- Runs a gnuplot script; the script goes through a file so that nothing is parsed by a shell.
local function gnuplot(script)
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(script)
  f:close()
  local p = io.popen(("gnuplot %s 2>&1"):format(name), "r")
  local said = p and p:read "a" or ""
  local ok = p and p:close()
  os.remove(name)
  if not ok then
    error("plot: gnuplot failed" .. (said:find "not found" and " (the package gnuplot-nox provides it)" or ": " .. said), 3)
  end
end

local function render(options, body, width, height)
  local base = options.file
  if type(base) ~= "string" then error("plot: file is missing, expected a path without ending", 3) end
  local probe, why = io.open(base .. ".svg", "w")
  if not probe then error(("plot: cannot write %s"):format(why), 3) end
  probe:close()
  local head = {
    "set encoding utf8",
    "set border 3 lc rgb '#444444'",
    "set tics nomirror out scale 0.5 textcolor rgb '#222222'",
    "set grid ytics lc rgb '#dddddd' lw 1",
    "set key outside top right horizontal Left reverse samplen 1",
    options.title and ("set title %s noenhanced"):format(quoted(options.title)) or "",
    options.ylabel and ("set ylabel %s noenhanced"):format(quoted(options.ylabel)) or "",
    options.xlabel and ("set xlabel %s noenhanced"):format(quoted(options.xlabel)) or "",
  }
  local paths = {}
  for _, kind in ipairs { { "svg", "svg enhanced background '#ffffff' font 'DejaVu Sans,13'" },
    { "png", "pngcairo enhanced background '#ffffff' font 'DejaVu Sans,13'" } } do
    local path = base .. "." .. kind[1]
    gnuplot(table.concat({ ("set terminal %s size %d,%d"):format(kind[2], width, height), "set output " .. quoted(path),
      table.concat(head, "\n"), body, "unset output", "" }, "\n"))
    paths[#paths + 1] = path
  end
  return table.unpack(paths)
end

--- Grouped bars with error bars.
-- @param options file, groups = labels, series = list of { name, values, errors }, title, ylabel, line = { value, label }
function plot.bars(options)
  suggest.check_options("plot.bars", options, { "file", "groups", "series", "title", "ylabel", "line" })
  local body = { "$data << END" }
  local top, lines = options.line and options.line.value or 0, 1
  for g, label in ipairs(options.groups) do
    -- Long labels break at spaces, in at most three lines.
    local text, row = "", ""
    for word in label:gmatch "%S+" do
      if #row > 0 and #row + #word > 12 then text, row = text .. row .. "\\n", word else row = #row > 0 and row .. " " .. word or word end
    end
    local _, breaks = text:gsub("\\n", "")
    lines = math.max(lines, breaks + 1)
    local cells = { '"' .. (text .. row):gsub('"', "") .. '"' }
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
  body[#body + 1] = "set boxwidth 0.9\nset xtics noenhanced scale 0\nset yrange [0:" .. number(math.max(top * 1.06, 1e-9)) .. "]"
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
  return render(options, table.concat(body, "\n"), math.max(720, 90 + 60 * #options.groups * math.max(1, #options.series * 0.6) // 1), 420)
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
