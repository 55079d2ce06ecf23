--- How tensors print: values aligned, never more than a screenful, and a footer with type and shape.
local show = {}
local NONE = require("dgamtorch").none

local ROWS, COLUMNS, EDGE = 24, 10, 3 -- more rows or columns than this are cut to EDGE at each end

-- The one element; of a complex tensor {real, imaginary}.
local function element(t)
  local real, imaginary = t:item()
  return imaginary and { real, imaginary } or real
end

local format_all

-- Both parts of complex numbers, each aligned for itself: 1.5000-2.0000i.
local function format_complex(values)
  local real, imaginary = {}, {}
  for i, v in ipairs(values) do real[i], imaginary[i] = v[1], v[2] end
  real, imaginary = format_all(real, "float"), format_all(imaginary, "float")
  for i in ipairs(values) do
    local digits = imaginary[i]:match "^ *(.*)$"
    values[i] = real[i] .. (digits:find "^-" and digits or "+" .. digits) .. "i"
  end
end

function format_all(values, dtype)
  if dtype:find "complex" then
    format_complex(values)
  elseif dtype == "bool" then
    for i, v in ipairs(values) do values[i] = tostring(v) end
  elseif dtype:find "int" then
    for i, v in ipairs(values) do values[i] = ("%d"):format(v) end
  else
    local low, high, whole = math.huge, 0, true
    for _, v in ipairs(values) do
      local a = math.abs(v)
      if a == a and a < math.huge then
        if a > high then high = a end
        if a > 0 and a < low then low = a end
        if v ~= math.floor(v) then whole = false end
      end
    end
    local form = "%.4f"
    if whole and high < 1e7 then form = "%.0f."
    elseif high >= 1e5 or (high > 0 and high < 1e-3) or high / low > 1e6 then form = "%.4e" end
    for i, v in ipairs(values) do
      values[i] = v ~= v and "nan" or v == math.huge and "inf" or v == -math.huge and "-inf" or form:format(v)
    end
  end
  local width = 0
  for _, s in ipairs(values) do width = math.max(width, #s) end
  for i, s in ipairs(values) do values[i] = (" "):rep(width - #s) .. s end
  return values, width
end

-- The positions of 1..n that are shown; 0 stands for the gap.
local function shown(n, most)
  local list = {}
  if n <= most then
    for i = 1, n do list[i] = i end
    return list
  end
  for i = 1, EDGE do list[i] = i end
  list[EDGE + 1] = 0
  for i = n - EDGE + 1, n do list[#list + 1] = i end
  return list
end

local function join_shape(shape)
  local parts = {}
  for i, n in ipairs(shape) do parts[i] = ("%d"):format(n) end
  return table.concat(parts, "x")
end

local function join_names(names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = type(name) == "string" and name or "_" end
  return table.concat(parts, "x")
end

--- The footer: [float32 2x3], [float32 2x3, cuda:0, requires_grad], [float32 2x3, NxC] with names, or
-- [float32 2x3, sparse_coo, 2 values].
function show.footer(t)
  local layout = t.layout
  local shape = layout == "nested" and "nested" or t.ndim == 0 and "scalar" or join_shape(t.shape)
  local text = t.dtype .. " " .. shape
  if layout:find "^sparse" then text = ("%s, %s, %d values"):format(text, layout, t:_nnz()) end
  if t.device ~= "cpu" then text = text .. ", " .. t.device end
  if t.names then text = text .. ", " .. join_names(t.names) end
  if t.requires_grad then text = text .. ", requires_grad" end
  return "[" .. text .. "]"
end

--- The text of a tensor. Beyond two dimensions: as many leading 2-D slices as fit a screen. Of a sparse or nested one the
-- footer alone.
function show.tensor(t)
  local footer = show.footer(t)
  if t.layout ~= "strided" then return footer end
  if t:numel() == 0 or t.device == "meta" then return footer end
  local x = t:detach()
  if x.names then x = x:rename(NONE) end
  if x.dtype:find "^q" then x = x:dequantize() end
  if x.ndim == 0 then
    local values = format_all({ element(x) }, x.dtype)
    return values[1] .. " " .. footer
  end
  local shape = x.shape
  local rows = #shape > 1 and shape[#shape - 1] or 1
  local columns = shape[#shape]
  local slices = 1
  for i = 1, #shape - 2 do slices = slices * shape[i] end
  local row_list, column_list = shown(rows, ROWS), shown(columns, COLUMNS)
  local fit = math.max(1, math.min(slices, (ROWS + 4) // (#row_list + 2)))
  local flat = x:reshape(slices, rows, columns)

  local values = {}
  for s = 1, fit do
    for _, r in ipairs(row_list) do
      if r > 0 then
        local row = flat[s][r]
        for _, c in ipairs(column_list) do
          if c > 0 then
            values[#values + 1] = element(row[c])
          end
        end
      end
    end
  end
  local texts, width = format_all(values, x.dtype)

  local lines, at = {}, 0 -- texts used up
  for s = 1, fit do
    if #shape > 2 then
      local index, rest = {}, s - 1
      for i = #shape - 2, 1, -1 do
        table.insert(index, 1, ("%d"):format(rest % shape[i] + 1))
        rest = rest // shape[i]
      end
      lines[#lines + 1] = ("(%s, .., ..)"):format(table.concat(index, ", "))
    end
    for _, r in ipairs(row_list) do
      local cells = {}
      for i, c in ipairs(column_list) do
        if r == 0 then cells[i] = (" "):rep(width - 1) .. ":"
        elseif c == 0 then cells[i] = "..."
        else
          at = at + 1
          cells[i] = texts[at]
        end
      end
      lines[#lines + 1] = " " .. table.concat(cells, " ")
    end
  end
  if fit < slices then lines[#lines + 1] = ("... %d more slices"):format(slices - fit) end
  lines[#lines + 1] = footer
  return table.concat(lines, "\n")
end

return show
