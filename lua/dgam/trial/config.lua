--- dgam.config: what an experiment can be told from the command line.
--
--     local config = dgam.config {
--       name = "ablation",
--       defaults = { data = "data/synthetic.lua", seeds = 3, lr = 3e-4 },
--       profiles = { quick = {}, full = { seeds = 5 } },
--       profile = "quick",
--       training = { "patience" },                       -- settings of dgam.train, with their own defaults
--       help = { stage0_epochs = "length of stage 0" },  -- what --help says of the script's own
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

-- What --help says where neither the script nor dgam.train.options does.
local COMMON = {
  data = "dataset: a description, a folder of videos or a list; options after a question mark", seeds = "how many, from 1 on",
  backbone = "a name of models.video_swin.sizes", pretrained = "file of weights to start from, empty for none",
}

local function training_option(name) return require "dgam.train.options".find(name) end

-- Whether a setting whose default is a whole number must be one: of those of training their kind knows.
local function must_be_whole(name, default)
  local o = training_option(name)
  return not (o and o.kind[2](default + 0.5))
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
      if not n_whole and must_be_whole(name, default) then wrong "a whole number" end
      return n_whole or n
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

local function meaning(name, help)
  return help and help[name] or require "dgam.train.options".help(name) or COMMON[name] or ""
end

local function usage(spec, defaults, profiles)
  local lines = { ("usage: dgamlua %s [key=value ...]"):format(arg and arg[0] or (spec.name or "script") .. ".lua") }
  local function add(name, default, text)
    lines[#lines + 1] = (("  %-18s %-12s  %s"):format(name, default, text):gsub("%s+$", ""))
  end
  if next(profiles) then
    add("profile", spec.profile or "none", "settings under one name: " .. table.concat(sorted_keys(profiles), ", "))
  end
  for _, k in ipairs(sorted_keys(defaults)) do add(k, show(defaults[k]), meaning(k, spec.help)) end
  return table.concat(lines, "\n")
end

-- The script's defaults, and those of dgam.train for the settings it names.
local function all_defaults(spec)
  local defaults = {}
  for _, name in ipairs(spec.training or {}) do
    local o = training_option(name)
    if not o or o.default == nil then
      error("config: training: " .. suggest.unknown("setting", tostring(name), sorted_keys(require "dgam.train.options".defaults)), 0)
    end
    defaults[name] = o.default
  end
  for k, v in pairs(spec.defaults or {}) do defaults[k] = v end
  return defaults
end

--- @param spec { name =, defaults = flat table, profiles = { NAME = overrides }, profile = default NAME, training = list of
--   names of dgam.train.options that can be set too (default: none), help = NAME -> text }. Those of dgam.train.options that are
--   among the defaults are explained from there
-- @param args list of "key=value" (default: the script's arguments)
-- @return table of values, with `profile` among them
return function(spec, args)
  check.names("config", spec, { "name", "defaults", "profiles", "profile", "training", "help" })
  local defaults, profiles = all_defaults(spec), spec.profiles or {}
  args = args or arg or {}

  local given, profile = {}, spec.profile
  local known = sorted_keys(defaults)
  if next(profiles) then known[#known + 1] = "profile" end
  for _, text in ipairs(args) do
    if text == "--help" or text == "-h" then
      print(usage(spec, defaults, profiles))
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
