--- dgam.config: what an experiment can be told from the command line.
--
--     local config = dgam.config {
--       name = "ablation",
--       defaults = { data = "data/synthetic.lua", seeds = 3, lr = 3e-4 },
--       profiles = { quick = {}, full = { seeds = 5 } },
--       profile = "quick",
--     }
--
-- `dgamlua ablation.lua profile=full lr=1e-3` overrides: flat names, values of the type of the default, an unknown name
-- is an error. Precedence: command line, profile, defaults. The result is a table; calling it makes a changed copy:
-- config { lr = 1 }.
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"

local Config = {}
Config.__index = Config

--- A copy with changes. New names are allowed here: a script knows what it does.
function Config.__call(self, changes)
  local copy = {}
  for k, v in pairs(self) do copy[k] = v end
  for k, v in pairs(changes) do copy[k] = v end
  return setmetatable(copy, Config)
end

local function show(v)
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for i, x in ipairs(v) do parts[i] = show(x) end
  return table.concat(parts, ",")
end

-- Text of the command line as a value of the type of `default`.
local function parse(name, text, default, whole)
  local kind = type(default)
  local function wrong(expected)
    error(("option %s=%s: expected %s"):format(name, whole or text, expected), 0)
  end
  if kind == "number" then
    local n = tonumber(text)
    if not n then wrong "a number" end
    if n ~= n or n == math.huge or n == -math.huge then wrong "a finite number" end
    if math.type(default) == "integer" then
      local n_whole = math.tointeger(n)
      if not n_whole then wrong "a whole number" end
      return n_whole
    end
    return n + 0.0
  elseif kind == "boolean" then
    if text == "true" or text == "1" or text == "yes" then return true end
    if text == "false" or text == "0" or text == "no" then return false end
    wrong "true or false"
  elseif kind == "table" then
    local list = {}
    for item in (text .. ","):gmatch "([^,]*)," do list[#list + 1] = parse(name, item, default[1] or "", text) end
    return list
  end
  return text
end

local function check_type(where, name, value, default)
  if type(value) ~= type(default) then
    error(("%s: %s is %s, expected a %s such as %s"):format(where, name, show(value), type(default), show(default)), 0)
  end
end

local function usage(name, defaults, profiles, profile)
  local lines = { ("usage: dgamlua %s [key=value ...]"):format(arg and arg[0] or name .. ".lua") }
  if next(profiles) then
    lines[#lines + 1] = ("  %-18s %s (one of %s)"):format("profile", profile, table.concat(sorted_keys(profiles), ", "))
  end
  for _, k in ipairs(sorted_keys(defaults)) do lines[#lines + 1] = ("  %-18s %s"):format(k, show(defaults[k])) end
  return table.concat(lines, "\n")
end

--- @param spec { name =, defaults = flat table, profiles = { NAME = overrides }, profile = default NAME }
-- @param args list of "key=value" (default: the script's arguments)
-- @return table of values, with `profile` among them
return function(spec, args)
  check.names("config", spec, { "name", "defaults", "profiles", "profile" })
  local defaults, profiles = spec.defaults or {}, spec.profiles or {}
  args = args or arg or {}

  local given, profile = {}, spec.profile
  local known = sorted_keys(defaults)
  if next(profiles) then known[#known + 1] = "profile" end
  for _, text in ipairs(args) do
    if text == "--help" or text == "-h" then
      print(usage(spec.name or "script", defaults, profiles, profile or "none"))
      os.exit(0, true)
    end
    local name, value = text:match "^([%w_]+)=(.*)$"
    if not name then error(("argument '%s': expected key=value (--help lists the keys)"):format(text), 0) end
    if name == "profile" and next(profiles) then
      profile = value
    elseif defaults[name] == nil then
      error(suggest.unknown("option", name, known) .. " (--help lists all)", 0)
    else
      given[name] = parse(name, value, defaults[name])
    end
  end

  local config = {}
  for k, v in pairs(defaults) do config[k] = v end
  if profile then
    if not profiles[profile] then error(suggest.unknown("profile", profile, sorted_keys(profiles)), 0) end
    for k, v in pairs(profiles[profile]) do
      if defaults[k] == nil then error(("profile %s: "):format(profile) .. suggest.unknown("option", k, known), 0) end
      check_type("profile " .. profile, k, v, defaults[k])
      config[k] = v
    end
    config.profile = profile
  end
  for k, v in pairs(given) do config[k] = v end
  return setmetatable(config, Config)
end
