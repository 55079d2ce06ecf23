--- util.csv: writes comma-separated values (RFC 4180). dgam.data.lists reads them.
--
--     csv.row { "a, b", 0.5, nil, true }     --> "a, b",0.5,,true  and a line end
local csv = {}

--- A value in quotes, for files in which a field is always quoted.
function csv.quoted(v) return '"' .. tostring(v):gsub('"', '""') .. '"' end

--- A value as a field: nil is empty, a float has the digits that give it back, text is quoted where it must be.
function csv.field(v)
  if v == nil then return "" end
  local text = tostring(v)
  if math.type(v) == "float" then
    text = ("%.14g"):format(v)
    if tonumber(text) ~= v then text = ("%.17g"):format(v) end
  end
  return text:find '[,"\r\n]' and csv.quoted(text) or text
end

--- A line of values, with its end.
-- @param values list, in which nil is an empty field
-- @param n how many (default: #values)
function csv.row(values, n)
  local fields = {}
  for i = 1, n or #values do fields[i] = csv.field(values[i]) end
  return table.concat(fields, ",") .. "\n"
end

return csv
