--- dgam.experiment: variants, seeds, and a table at the end. A trial that is stored is not run again.
--
--     local exp = dgam.experiment { name = "ablation", seeds = 3, config = config, data = data }
--     exp:trial("dual", { heads = "per-expert" }, function(cfg) ... return { metrics = { top1 = 38.4 } } end)
--     exp:table({ "top1", "top5" }):print()
--
-- cfg is the configuration with the variant's fields, `seed`, and `checkpoint`, a file that training may keep its state
-- in; it is removed when the trial is stored. A trial is found again by its configuration, its seed, the dataset's
-- fingerprint, the program's version and the code of its function with the script's own functions that it calls.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local results = require "dgam.results"
local suggest = require "dgam.suggest"
local Table = require "dgam.table"

local Experiment = {}
Experiment.__index = Experiment

-- Fields of a configuration that change how long a run takes but not what comes out.
local IRRELEVANT = { threads = true, profile = true, seeds = true }

-- The code of a function and of the functions of the same script that it uses, without line numbers.
local function code_of(f, seen)
  seen = seen or {}
  if seen[f] then return "" end
  seen[f] = true
  local source = debug.getinfo(f, "S").source
  local parts = { string.dump(f, true) }
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then break end
    local kind = type(value)
    if kind == "function" and debug.getinfo(value, "S").source == source then
      parts[#parts + 1] = code_of(value, seen)
    elseif kind == "number" or kind == "string" or kind == "boolean" then
      parts[#parts + 1] = name .. "=" .. tostring(value)
    end
  end
  return table.concat(parts, "\0")
end

local function plain(t)
  local copy = {}
  for k, v in pairs(t) do
    if type(v) == "table" then copy[k] = plain(v)
    elseif type(v) == "number" or type(v) == "string" or type(v) == "boolean" then copy[k] = v end
  end
  return copy
end

--- What determines a trial, as its key.
function Experiment:key(cfg, f)
  local config = {}
  for k, v in pairs(plain(cfg)) do
    if not IRRELEVANT[k] then config[k] = v end
  end
  return results.key { experiment = self.name, config = config, data = self.fingerprint, version = dgamlua.version,
    code = fs.sha256(code_of(f)) }
end

local function merged(config, variant, seed)
  local cfg = {}
  for k, v in pairs(config) do cfg[k] = v end
  for k, v in pairs(variant) do
    if type(k) == "string" then cfg[k] = v end
  end
  cfg.seed = seed
  return setmetatable(cfg, { __call = function(self, changes)
    local copy = setmetatable({}, getmetatable(self))
    for k, v in pairs(self) do copy[k] = v end
    for k, v in pairs(changes) do copy[k] = v end
    return copy
  end })
end

--- Runs a variant for every seed, or finds it stored.
-- @param label how the table calls it
-- @param variant fields that replace those of the configuration
-- @param f function(cfg) -> { metrics = name -> number, curves = name -> list, arrays = name -> tensor }
-- @return list of results, one a seed
function Experiment:trial(label, variant, f)
  local list = {}
  for i, seed in ipairs(self.seeds) do
    local cfg = merged(self.config, variant, seed)
    local key = self:key(cfg, f)
    local path = results.path(self.folder, self.name, key)
    local record = lfs.attributes(path, "mode") and results.load(path) or nil
    if not record then
      results.make_folder(self.folder .. "/partial")
      cfg.checkpoint = ("%s/partial/%s.h5"):format(self.folder, key)
      local result = f(cfg)
      if type(result) ~= "table" or type(result.metrics) ~= "table" then
        error(("trial '%s': the function returned %s, expected a table with metrics"):format(label, tostring(result)), 2)
      end
      local config = plain(cfg)
      config.checkpoint = nil
      record = { experiment = self.name, label = label, seed = seed, key = key, config = config, metrics = result.metrics,
        curves = result.curves, arrays = result.arrays }
      results.save(path, record)
      record.path = path
      os.remove(cfg.checkpoint)
    end
    record.label = label
    list[i] = record
  end
  self.trials[label] = list
  self.rows[#self.rows + 1] = { label = label, values = self:values(label) }
  return list
end

--- Metric values over seeds of a stored variant: name -> list. `prefix` selects and strips the beginning of the names.
function Experiment:values(label, prefix)
  prefix = prefix or ""
  local values = {}
  for _, record in ipairs(self.trials[label]) do
    for name, value in pairs(record.metrics) do
      if name:sub(1, #prefix) == prefix then
        local short = name:sub(#prefix + 1)
        values[short] = values[short] or {}
        table.insert(values[short], value)
      end
    end
  end
  return values
end

--- A row that is not a trial of its own: the metrics of `from` whose names begin with `prefix`.
function Experiment:row(label, from, prefix)
  if not self.trials[from] then error(("row '%s': no trial is called '%s'"):format(label, from), 2) end
  self.rows[#self.rows + 1] = { label = label, values = self:values(from, prefix) }
end

--- A line across the table before the next row.
function Experiment:rule() self.ruled = #self.rows + 1 end

--- Something trained once and used by several trials: computed by f(path) -> state dict, kept beside the results.
-- @param name what it is
-- @param depends table of everything that determines it
-- @param f function(checkpoint path) -> name -> tensor
-- @return name -> tensor
function Experiment:artifact(name, depends, f)
  local checkpoint = require "dgam.checkpoint"
  local key = results.key { artifact = name, depends = plain(depends), data = self.fingerprint, version = dgamlua.version,
    code = fs.sha256(code_of(f)) }
  local path = ("%s/artifacts/%s-%s.h5"):format(self.folder, name, key)
  if not lfs.attributes(path, "mode") then
    results.make_folder(self.folder .. "/artifacts")
    results.make_folder(self.folder .. "/partial")
    local partial = ("%s/partial/%s-%s.h5"):format(self.folder, name, key)
    checkpoint.save(path, f(partial), { name = name, depends = plain(depends) })
    os.remove(partial)
  end
  return (checkpoint.load(path))
end

--- The table of what ran so far.
-- @param columns list of metric names
function Experiment:table(columns)
  local rows = {}
  for i, row in ipairs(self.rows) do
    rows[i] = { label = row.label, values = row.values, rule = self.ruled == i }
  end
  local n = #self.seeds
  return Table.new(columns, rows, n > 1 and ("%d seeds, mean ± 95%% interval over seeds"):format(n) or "1 seed")
end

--- @param options name; seeds = how many (1, 2, ...) or a list; config = table; data = dataset (its fingerprint goes into
-- the key); folder = where results go (default results.folder())
return function(options)
  suggest.check_options("experiment", options, { "name", "seeds", "config", "data", "folder" })
  if type(options.name) ~= "string" or not options.name:match "^[%w_.-]+$" then
    error(("experiment: name is %s, expected letters, digits, '_', '-' or '.'"):format(tostring(options.name)), 2)
  end
  local seeds = options.seeds or 1
  if math.type(seeds) == "integer" then
    local n = seeds
    seeds = {}
    for i = 1, n do seeds[i] = i end
  end
  if type(seeds) ~= "table" or #seeds == 0 then
    error(("experiment: seeds is %s, expected a number of seeds or a list"):format(tostring(options.seeds)), 2)
  end
  return setmetatable({ name = options.name, seeds = seeds, config = options.config or {}, rows = {}, trials = {},
    folder = options.folder or results.folder(), fingerprint = options.data and options.data:fingerprint() or "none" }, Experiment)
end
