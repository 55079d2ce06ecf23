--- The variables of the environment that are dgamlua's own: what each does, and which values it takes.
--
-- They are checked here once, when the program starts. What is wrong is told and taken out of the environment, so that whoever
-- reads a variable later, in Lua (os.getenv) or in C (bindings/lua/settings.c), finds nothing or a right value, and so that
-- processes which this one starts do not tell it again. docs/environment.md is the page for users.
local keys_of = require "util.keys"
local suggest = require "util.suggest"

local environment = {}

local PREFIX = "DGAMLUA_"

local function folder() return true end

local function word(...)
  local words = {}
  for _, w in ipairs { ... } do words[w] = true end
  return function(value) return words[value] end
end

local function whole(least, most)
  return function(value)
    local n = value:find "^%d+$" and #value < 10 and tonumber(value)
    return n and n >= least and n <= most
  end
end

local FLAG, ON = word("0", "1"), "1 (yes) or 0 (no)"

--- name -> { does = what it does, expected = which values it takes, is = function(value) -> whether value is one }
environment.VARIABLES = {
  DGAMLUA_CACHE = { does = "where things are kept that can be made again", expected = "a folder", is = folder },
  DGAMLUA_CPU = { does = "the most instructions that our kernels use", expected = "plain, avx2, avx512 or avx512-bf16",
    is = word("plain", "avx2", "avx512", "avx512-bf16") },
  DGAMLUA_FFMPEG_LOG = { does = "FFmpeg's own messages are shown", expected = ON, is = FLAG },
  DGAMLUA_NO_APT = { does = "the launcher takes the system's libraries as they are", expected = ON, is = FLAG },
  DGAMLUA_RESULTS = { does = "where results are kept", expected = "a folder", is = folder },
  DGAMLUA_TEST_TIMEOUT = { does = "seconds that one file of tests may take", expected = "a whole number from 1 to 86400",
    is = whole(1, 86400) },
  DGAMLUA_THREADS = { does = "threads that compute", expected = "a whole number from 1 to 4096", is = whole(1, 4096) },
  DGAMLUA_TRACEBACK = { does = "an error shows where it came from", expected = ON, is = FLAG },
}

-- "unknown variable 'NAME'" with what was probably meant, or all there are. What all names have in common says nothing.
local function unknown(name)
  local known, ends = keys_of(environment.VARIABLES), {}
  for i, k in ipairs(known) do ends[i] = k:sub(#PREFIX + 1) end
  local near = suggest.nearest(name:sub(#PREFIX + 1), ends)
  return ("unknown variable '%s'; "):format(name) .. (near and ("did you mean '%s%s'?"):format(PREFIX, near)
    or "expected one of " .. table.concat(known, ", "))
end

-- What is wrong with a variable; nil if nothing is.
local function flaw(name, value)
  local v = environment.VARIABLES[name]
  if not v then return unknown(name) end
  if not v.is(value) then return ("%s is '%s', expected %s; the default is taken"):format(name, value, v.expected) end
end

--- Takes out of the environment whatever is wrong, "" and 0 (the default said aloud).
-- @param say function(line), called once for each variable that is wrong
function environment.check(say)
  local set = dgamlua.environment(PREFIX)
  for _, name in ipairs(keys_of(set)) do
    local value = set[name]
    local why = value ~= "" and flaw(name, value)
    if why then say(why) end
    if why or value == "" or (value == "0" and environment.VARIABLES[name].is == FLAG) then dgamlua.unset(name) end
  end
end

--- One line a variable, for --help.
function environment.list()
  local lines = {}
  for i, name in ipairs(keys_of(environment.VARIABLES)) do
    local v = environment.VARIABLES[name]
    lines[i] = ("  %-20s  %s: %s\n"):format(name, v.does, v.expected)
  end
  return table.concat(lines)
end

return environment
