--- dgam.json: JSON that gives back what went in. Keys are sorted and numbers written in full, so the same table gives
-- the same text, and a number read again is the same number, to the last bit and of the same kind (1 or 1.0).
--
-- NaN becomes null, which decode gives back as what it is told; infinity becomes 1e999, which every JSON reader takes for infinity.
local dkjson = require "dkjson"

local json = {}

local function number(v)
  if math.type(v) == "integer" then return ("%d"):format(v) end
  if v ~= v then return "null" end
  if v == math.huge then return "1e999" end
  if v == -math.huge then return "-1e999" end
  local text = ("%.14g"):format(v)
  if tonumber(text) ~= v then text = ("%.17g"):format(v) end
  return text:find "[.e]" and text or text .. ".0"
end

local function encode(v, path)
  local kind = type(v)
  if kind == "number" then return number(v) end
  if kind == "string" then return dkjson.quotestring(v) end
  if kind == "boolean" then return tostring(v) end
  if kind ~= "table" then error(("json: %s is a %s, which JSON cannot hold"):format(path, kind), 0) end
  if #path > 2000 then error("json: the table is nested too deep or holds itself", 0) end
  local parts, count = {}, 0
  for _ in pairs(v) do count = count + 1 end
  if count == #v then
    for i, item in ipairs(v) do parts[i] = encode(item, ("%s[%d]"):format(path, i)) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for k in pairs(v) do
    if type(k) ~= "string" and math.type(k) ~= "integer" then
      error(("json: %s has the key %s, expected text or whole numbers"):format(path, tostring(k)), 0)
    end
    if math.type(k) == "integer" and v[tostring(k)] ~= nil then
      error(("json: %s has the keys %d and '%d', which JSON cannot tell apart"):format(path, k, k), 0)
    end
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, k in ipairs(keys) do parts[i] = dkjson.quotestring(tostring(k)) .. ":" .. encode(v[k], path .. "." .. tostring(k)) end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- A table, number, text or boolean as JSON. A table whose keys are 1..n is a list; an empty one is [].
function json.encode(value) return encode(value, "value") end

--- What JSON says; null becomes `null` (default nil). Returns nil and a message if it is not JSON.
function json.decode(text, null)
  local value, at, problem = dkjson.decode(text, 1, null, nil, nil)
  if problem then return nil, ("not JSON at byte %d: %s"):format(at, problem) end
  return value
end

--- What of a table is plain: numbers, text, booleans and tables of them. What json.encode takes; the rest is left out.
function json.plain(t, open)
  open = open or {}
  open[t] = true
  local copy = {}
  for k, v in pairs(t) do
    local kind = type(v)
    if kind == "table" and not open[v] then copy[k] = json.plain(v, open)
    elseif kind == "number" or kind == "string" or kind == "boolean" then copy[k] = v end
  end
  open[t] = nil
  return copy
end

return json
