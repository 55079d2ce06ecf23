--- dgam.table: a table of results: rows are variants, cells the values of every seed. Prints, and writes CSV, JSON, HTML
-- and a bar chart.
local json = require "dkjson"
local intervals = require "dgam.show.intervals"
local clean = require("util.text").clean
local csv = require "util.csv"

local Table = {}
Table.__index = Table

local TITLES = { top1 = "top-1", top5 = "top-5", mean_class = "mean class" }

--- How a metric is called at the head of a column: top1_ll -> top-1 LL.
function Table.title(column)
  local base, group = column:match "^(top%d)_(.+)$"
  if not base then base, group = column:match "^(mean_class)_(.+)$" end
  base = base or column
  return (TITLES[base] or base:gsub("_", " ")) .. (group and " " .. group:upper() or "")
end

--- @param columns list of metric names
-- @param rows list of { label =, values = { column = list over seeds }, difference = to the first row, what paired.difference gives }
-- @param note text under the table, its charts and pages; the field `below` may have text of the table alone
function Table.new(columns, rows, note) return setmetatable({ columns = columns, rows = rows, note = note }, Table) end

--- Mean and half width of the 95% interval of one cell; nil where there is no value.
function Table:cell(row, column)
  local values = self.rows[row].values[column]
  if not values or #values == 0 then return nil end
  return intervals.mean(values)
end

-- A number as text; NaN has a sign for printf, which says nothing.
local function number(format, v) return v == v and format:format(v) or "nan" end

local function cell_text(mean, half)
  if not mean then return "-" end
  return number("%.2f", mean) .. (half and " ± " .. number("%.2f", half) or "")
end

--- Rows of cells as aligned text: the first column to the left, the others to the right, a line below the first row.
-- @param grid list of rows, each a list of texts
-- @param rules rows, not counting the first, that a line follows
function Table.text(grid, rules)
  local lines, widths, ruled = {}, {}, { [0] = true }
  for _, r in ipairs(rules or {}) do ruled[r] = true end
  for _, row in ipairs(grid) do
    for i, text in ipairs(row) do widths[i] = math.max(widths[i] or 0, utf8.len(clean(text))) end
  end
  local total = 2 * (#widths - 1)
  for _, w in ipairs(widths) do total = total + w end
  for r, row in ipairs(grid) do
    local parts = {}
    for i, text in ipairs(row) do
      text = clean(text)
      local pad = (" "):rep(widths[i] - utf8.len(text))
      parts[i] = i == 1 and text .. pad or pad .. text
    end
    lines[#lines + 1] = table.concat(parts, "  "):gsub("%s+$", "")
    if ruled[r - 1] then lines[#lines + 1] = ("-"):rep(total) end
  end
  return table.concat(lines, "\n")
end

-- "-4.4 (-9.1 to 0.3)", with a mark where two rows can be told apart.
local function difference_text(d)
  return d and ("%+.2f (%+.2f to %+.2f)%s"):format(d.mean, d.low, d.high, d.apart and " *" or "") or "-"
end

-- Whether any row says how it differs from the first (dgam.paired).
local function compared(self)
  for _, row in ipairs(self.rows) do
    if row.difference then return true end
  end
  return false
end

--- The table as aligned text.
function Table:__tostring()
  local grid, rules, differences = { { "" } }, {}, compared(self)
  for _, c in ipairs(self.columns) do table.insert(grid[1], Table.title(c)) end
  if differences then table.insert(grid[1], "difference") end
  for r, row in ipairs(self.rows) do
    grid[r + 1] = { row.label }
    for _, c in ipairs(self.columns) do table.insert(grid[r + 1], cell_text(self:cell(r, c))) end
    if differences then table.insert(grid[r + 1], difference_text(row.difference)) end
    if row.rule and r > 1 then rules[#rules + 1] = r - 1 end
  end
  return table.concat({ Table.text(grid, rules), self.note or self.below, self.note and self.below }, "\n")
end

function Table:print()
  print(tostring(self))
  return self
end

--- Comma-separated: label, then mean and half width of every column.
function Table:csv()
  local head = { "variant" }
  for _, c in ipairs(self.columns) do
    head[#head + 1] = c
    head[#head + 1] = c .. "_ci95"
  end
  local lines = { csv.row(head) }
  for r, row in ipairs(self.rows) do
    local fields = { clean(row.label) }
    for i, c in ipairs(self.columns) do
      local mean, half = self:cell(r, c)
      fields[2 * i], fields[2 * i + 1] = mean and number("%.6g", mean), half and number("%.6g", half)
    end
    lines[#lines + 1] = csv.row(fields, #head)
  end
  return table.concat(lines)
end

--- JSON: a list of rows with mean, ci95 and the values of every seed.
function Table:json()
  local list = {}
  for r, row in ipairs(self.rows) do
    local cells = {}
    for _, c in ipairs(self.columns) do
      local mean, half = self:cell(r, c)
      if mean then cells[c] = { mean = mean, ci95 = half, values = row.values[c] } end
    end
    list[r] = { variant = clean(row.label), metrics = cells }
  end
  return json.encode(list, { indent = true }) .. "\n"
end

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local function escape(text) return (text:gsub("[&<>\"']", ESCAPES)) end

--- A table element, without a page around it: rows after a rule have the class "rule", half widths the class "half", the
-- note is the caption.
function Table:html()
  local parts = { "<table>\n" }
  if self.note then parts[#parts + 1] = "<caption>" .. escape(self.note) .. "</caption>\n" end
  parts[#parts + 1] = "<thead>\n<tr><td></td>"
  for _, c in ipairs(self.columns) do parts[#parts + 1] = '<th scope="col">' .. escape(Table.title(c)) .. "</th>" end
  parts[#parts + 1] = "</tr>\n</thead>\n<tbody>\n"
  for r, row in ipairs(self.rows) do
    parts[#parts + 1] = (row.rule and '<tr class="rule">' or "<tr>") .. '<th scope="row">' .. escape(clean(row.label)) .. "</th>"
    for _, c in ipairs(self.columns) do
      local mean, half = self:cell(r, c)
      local spread = mean and half and ' <span class="half">± ' .. number("%.2f", half) .. "</span>" or ""
      parts[#parts + 1] = "<td>" .. cell_text(mean) .. spread .. "</td>"
    end
    parts[#parts + 1] = "</tr>\n"
  end
  parts[#parts + 1] = "</tbody>\n</table>\n"
  return table.concat(parts)
end

--- A bar chart with error bars as BASE.svg and BASE.png.
-- @param base path without ending
-- @param options title, columns (default: all), ylabel, chance = a value to draw a line at
function Table:chart(base, options)
  options = options or {}
  local series = {}
  for _, c in ipairs(options.columns or self.columns) do
    local s = { name = Table.title(c), values = {}, low = {}, high = {} }
    local percent = c:match "^%a+_?top%d" or c:match "^top%d" or c:match "mean_class"
    for r in ipairs(self.rows) do
      local mean, half = self:cell(r, c)
      s.values[r] = mean or 0 / 0
      s.low[r], s.high[r] = s.values[r] - (half or 0), s.values[r] + (half or 0)
      if percent then s.low[r], s.high[r] = math.max(0, s.low[r]), math.min(100, s.high[r]) end -- a share ends there
    end
    series[#series + 1] = s
  end
  local groups, after = {}, {}
  for r, row in ipairs(self.rows) do
    groups[r] = row.label
    if row.rule then after[#after + 1] = r - 1 end
  end
  return require("dgam.show.plot").bars { file = base, title = options.title, ylabel = options.ylabel or "accuracy, %",
    groups = groups, series = series, after = after, note = self.note,
    line = options.chance and { value = options.chance, label = ("chance %.1f"):format(options.chance) } }
end

return Table
