--- dgam.check: what an option may be, and the one error that tells when it is something else.
--
--     check.option("survey", "threads", 0, check.whole(1))
--     --> mine.lua:12: survey: threads is 0, expected a whole number of 1 or more
--
-- The line is the one that called the library, however deep in it the mistake is found.
--
-- A kind is a table { words, fits }: how the error calls what is expected, and function(v) -> boolean. The makers below cover
-- the usual ones; any other is written out. One of several words (check.one_of) also has them as `choices`.
local keys_of = require "util.keys"
local suggest = require "util.suggest"

local check = {}

-- "mine.lua:12: ", or nothing if only the library runs (a command of the program). Only an error loads what it takes.
local function position() return require "dgamnative.sys".where() end

--- `options` must be a table and each of its keys in the list `known`; else an error that names the one that was meant.
-- @return options
function check.names(where, options, known)
  check.option(where, "options", options, check.table)
  for _, key in ipairs(keys_of(options)) do
    local ok = false
    for _, k in ipairs(known) do ok = ok or k == key end
    if not ok then error(position() .. where .. ": " .. suggest.unknown("option", tostring(key), known), 0) end
  end
  return options
end

local function number(v, low, high) return type(v) == "number" and v >= low and v <= high end -- NaN is neither

--- A number from `low` to `high`, both allowed; math.huge as `high` allows infinity too.
function check.number(low, high)
  local words = high == math.huge and ("a number of %g or more"):format(low) or ("a number from %g to %g"):format(low, high)
  return { words, function(v) return number(v, low, high) end }
end

--- A number from `low` to below `high`.
function check.below(low, high)
  return { ("a number from %g to below %g"):format(low, high), function(v) return number(v, low, high) and v < high end }
end

--- A whole number (an integer of Lua, not 2.0): any, from `low` on, or from `low` to `high`.
function check.whole(low, high)
  local words = not low and "a whole number" or high and ("a whole number from %d to %d"):format(low, high)
    or ("a whole number of %d or more"):format(low)
  return { words, function(v) return math.type(v) == "integer" and v >= (low or v) and v <= (high or v) end }
end

--- A list of `n` whole numbers from 1 on, of at least one without `n`.
-- @param words how the error calls it
function check.naturals(words, n)
  return { words, function(v)
    if type(v) ~= "table" or #v < 1 or n and #v ~= n then return false end
    for _, x in ipairs(v) do
      if math.type(x) ~= "integer" or x < 1 then return false end
    end
    return true
  end }
end

--- One of the words given.
function check.one_of(...)
  local choices = { ... }
  return { "one of " .. table.concat(choices, ", "), function(v)
    for _, word in ipairs(choices) do
      if v == word then return true end
    end
    return false
  end, choices = choices }
end

--- A kind, or nil.
function check.optional(kind)
  return { kind[1], function(v) return v == nil or kind[2](v) end, choices = kind.choices }
end

check.finite = { "a finite number", function(v) return type(v) == "number" and v == v and math.abs(v) < math.huge end }
check.positive = { "a finite number above 0", function(v) return type(v) == "number" and v > 0 and v < math.huge end }
check.boolean = { "true or false", function(v) return type(v) == "boolean" end }
check.func = { "a function", function(v) return type(v) == "function" end }
check.table = { "a table", function(v) return type(v) == "table" end }
check.text = { "text", function(v) return type(v) == "string" end }

--- The value, or what stands for it where none was given: nil only, so that false is looked at as well.
function check.default(v, default)
  if v == nil then return default end
  return v
end

--- A new table with the options given and, for those that were not, the defaults.
function check.filled(options, defaults)
  local o = {}
  for k, v in pairs(defaults) do o[k] = v end
  for k, v in pairs(options or {}) do o[k] = v end
  return o
end

--- A value as the errors show it: a short list of plain values in full.
function check.show(v)
  if type(v) == "string" and tonumber(v) then return ("'%s'"):format(v) end -- text that looks like a number
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for i, x in ipairs(v) do
    if i > 16 or type(x) == "table" or type(x) == "userdata" then return "a table" end
    parts[i] = tostring(x)
  end
  return #parts > 0 and "{" .. table.concat(parts, ", ") .. "}" or "a table"
end

--- What is wrong with a value, as "NAME is V, expected WORDS", or nil.
function check.fault(name, v, kind)
  if kind[2](v) then return nil end
  if kind.choices and type(v) == "string" then return suggest.unknown(name, v, kind.choices) end
  return ("%s is %s, expected %s"):format(name, check.show(v), kind[1])
end

--- The value, if it is of that kind; else an error that begins with `where`.
-- @param place false: the error names no line, since the value need not come from the script (a command line's)
function check.option(where, name, v, kind, place)
  local fault = check.fault(name, v, kind)
  if fault then error((place == false and "" or position()) .. where .. ": " .. fault, 0) end
  return v
end

--- A converter for argparse: the text given for an option of a command as a number of that kind.
-- @param name the option, as errors call it
-- @param kind the kind, or a function that gives it once there is a value to look at
function check.argument(name, kind)
  return function(text)
    local v = math.tointeger(tonumber(text)) or tonumber(text) or text
    local fault = check.fault(name, v, type(kind) == "function" and kind() or kind)
    if fault then return nil, fault end
    return v
  end
end

--- Every field of `t` that `kinds` (name -> kind) has; see check.option.
function check.fields(where, t, kinds, place)
  for _, name in ipairs(keys_of(kinds)) do check.option(where, name, t[name], kinds[name], place) end
end

return check
