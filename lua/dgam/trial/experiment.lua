--- dgam.experiment: variants, seeds, and a table at the end. A trial that is stored is not run again.
--
--     local exp = dgam.experiment { name = "ablation", seeds = 3, config = config, data = data }
--     exp:trial("dual", { heads = "per-expert" }, function(cfg) ... return { metrics = { top1 = 38.4 } } end)
--     exp:table({ "top1", "top5" }):print()
--
-- cfg is the configuration with the variant's fields, `seed`, and `checkpoint`, a file that training may keep its state
-- in; it is removed when the trial is stored. A trial is found again by its configuration (functions in it count by their
-- code), its seed, the dataset's fingerprint, the code of its function with the script's own functions that it calls and the
-- numbers, texts and tables of the script that they use (results.code), the code of the library, the models and the modules
-- that the script had loaded when the experiment was made (dgam.sources) or that the function requires, and the program's
-- version. Where the configuration names a checkpoint (.h5, .pth, .safetensors) that there is, its content counts as well.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local paths = require "util.paths"
local results = require "dgam.trial.results"
local sources = require "dgam.trial.sources"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"
local Table = require "dgam.show.table"

local Experiment = {}
Experiment.__index = Experiment

local Record = {} -- metatable of finished trials: objects, of which a key takes no notice

-- Fields of a configuration that change how long a run takes but not what comes out; those that a variant sets count.
local IRRELEVANT = { threads = true, profile = true, seeds = true }

local CHECKPOINTS = { h5 = true, hdf5 = true, pth = true, pt = true, safetensors = true }
local hashes = {} -- of checkpoints that were read, by path, size and time

-- The flat table with the hash of every checkpoint that it names beside the name.
local function with_contents(t)
  local out = {}
  for k, v in pairs(t) do
    out[k] = v
    local found = type(v) == "string" and CHECKPOINTS[(v:match "%.(%w+)$" or ""):lower()] and paths.look(v)
    if found then
      local file = lfs.attributes(found)
      local id = ("%s\0%d\0%d"):format(found, file.size, file.modification)
      hashes[id] = hashes[id] or fs.sha256_file(found)
      out[k] = v .. " " .. hashes[id]
    end
  end
  return out
end

--- What determines a trial, as its key.
-- @param variant the fields of cfg that the variant sets (none)
function Experiment:key(cfg, f, variant)
  variant = variant or {}
  local config = {}
  for k, v in pairs(cfg) do
    if not IRRELEVANT[k] or variant[k] ~= nil then config[k] = v end
  end
  return results.key { experiment = self.name, config = with_contents(config), data = self.fingerprint, version = dgamlua.version, code = f,
    sources = self.sources }
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

local PARTS = { "metrics", "curves", "texts", "arrays" }

-- What a trial's function returned as { metrics =, curves =, texts =, arrays = }: either that already, or a flat table of
-- numbers, lists of numbers or texts, and tensors.
local function sorted_out(result, where)
  if type(result) ~= "table" then
    error(("%s: the function returned %s, expected a table with metrics"):format(where, tostring(result)), 0)
  end
  local out = result
  if type(result.metrics) ~= "table" then
    out = { metrics = {}, curves = {}, texts = {}, arrays = {} }
    for name, v in pairs(result) do
      local kind = type(v) == "number" and "metrics" or type(v) ~= "table" and "arrays"
        or type(v[1]) == "string" and "texts" or "curves"
      out[kind][name] = v
    end
  end
  local known = {}
  for _, part in ipairs(PARTS) do
    known[part] = true
    if out[part] ~= nil and type(out[part]) ~= "table" then
      error(("%s: the function returned %s = %s, expected a table"):format(where, part, tostring(out[part])), 0)
    end
  end
  for part in pairs(out) do
    if not known[part] then error(where .. ": " .. suggest.unknown("part of the result", tostring(part), PARTS), 0) end
  end
  if not next(out.metrics) then error(("%s: the function returned no metrics"):format(where), 0) end
  return out
end

-- A stored trial, or nil. A file that cannot be read is an error: it may hold days of work and is not to be overwritten.
local function stored(path)
  if not lfs.attributes(path, "mode") then return nil end
  local ok, record = pcall(results.load, path)
  if not ok then error(tostring(record) .. "; it should hold a finished trial. Move it away to run the trial again", 0) end
  return record
end

-- f(...), and where it failed if it fails.
local function run(where, f, ...)
  local ok, result = xpcall(f, function(e)
    if type(e) ~= "string" or e == "interrupted" then return e end
    return (os.getenv "DGAMLUA_TRACEBACK" and debug.traceback(e, 2) or e) .. "\n  in " .. where
  end, ...)
  if not ok then error(result, 0) end
  return result
end

-- Runs f with libtorch's generator seeded and leaves the generator as it was, so that what f draws depends neither on what
-- ran before it in this process nor changes what runs after it.
local function seeded(seed, f, ...)
  local torch = require "torch"
  local before = torch.rng_state()
  torch.manual_seed(seed)
  local result = f(...)
  torch.set_rng_state(before)
  return result
end

-- Calls f and returns what it returns, and how many clips loaders had to skip meanwhile.
local function counting_skipped(f, ...)
  local loader = require "dgam.data.loader"
  local before, noted = loader.noted, {}
  local _ <close> = setmetatable({}, { __close = function() loader.noted = before end })
  loader.noted = noted
  local result = f(...)
  local n = 0
  for path, message in pairs(noted) do
    n = n + 1
    if before then before[path] = message end
  end
  return result, n
end

-- Notes that something on which the table rests was made without some clips, now or when it was stored.
local function note_skipped(self, what, n)
  if (n or 0) > 0 then self.notes[#self.notes + 1] = ("%s: %d clip%s could not be read"):format(what, n, n == 1 and "" or "s") end
end

--- Runs a variant for every seed, or finds it stored. libtorch's generator starts from the seed.
-- @param label how the table calls it
-- @param variant fields that replace those of the configuration
-- @param f function(cfg) -> { metrics = name -> number, curves = name -> list of numbers, texts = name -> list of texts,
--   arrays = name -> tensor }, or these mixed in one table
-- @return list of results, one a seed
function Experiment:trial(label, variant, f)
  check.option("trial", "label", label, check.text)
  check.option(("trial '%s'"):format(label), "variant", variant, check.table)
  check.option(("trial '%s'"):format(label), "f", f, check.func)
  local list = {}
  for i, seed in ipairs(self.seeds) do
    local cfg = merged(self.config, variant, seed)
    local key = self:key(cfg, f, variant)
    local path = results.path(self.folder, self.name, key)
    local where = ("trial '%s', seed %s"):format(label, seed)
    local record = stored(path)
    if not record then
      local partial = paths.make_folder(self.folder .. "/partial")
      results.clean(self.folder)
      results.clean(partial)
      cfg.checkpoint = ("%s/%s.h5"):format(partial, key)
      local config, started = results.plain(cfg), os.time()
      config.checkpoint = nil
      local _ <close> = results.before { f, cfg }
      local given, skipped = counting_skipped(run, where, seeded, seed, f, cfg)
      local result = sorted_out(given, where)
      record = { experiment = self.name, label = label, seed = seed, key = key, version = dgamlua.version,
        seconds = os.time() - started, config = config, metrics = result.metrics, curves = result.curves,
        skipped = skipped > 0 and skipped or nil, texts = result.texts, arrays = result.arrays }
      run(where, results.save, path, record)
      record.path = path
      os.remove(cfg.checkpoint)
    end
    record.label = label
    note_skipped(self, where, record.skipped)
    list[i] = setmetatable(record, Record)
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
-- @param depends table of everything that determines it; depends.seed (default 0) seeds libtorch's generator for f
-- @param f function(checkpoint path) -> name -> tensor
-- @return name -> tensor
function Experiment:artifact(name, depends, f)
  local checkpoint = require "dgam.train.checkpoint"
  local key = results.key { artifact = name, depends = with_contents(depends), data = self.fingerprint, version = dgamlua.version, code = f,
    sources = self.sources }
  local path = ("%s/artifacts/%s-%s.h5"):format(self.folder, name, key)
  if not lfs.attributes(path, "mode") then
    paths.make_folder(self.folder .. "/artifacts")
    paths.make_folder(self.folder .. "/partial")
    local partial = ("%s/partial/%s-%s.h5"):format(self.folder, name, key)
    local _ <close> = results.before { f }
    local state, skipped = counting_skipped(seeded, depends.seed or 0, f, partial)
    checkpoint.save(path, state, { name = name, depends = results.plain(depends), skipped = skipped })
    os.remove(partial)
  end
  local state, meta = checkpoint.load(path)
  note_skipped(self, name, type(meta) == "table" and math.tointeger(meta.skipped) or 0)
  return state
end

--- The table of what ran so far.
-- @param columns list of metric names; one that no row has is an error
-- @param others list of further ones that are left out if no row has them: what not every dataset can say
function Experiment:table(columns, others)
  local there, rows, shown = {}, {}, {}
  for _, row in ipairs(self.rows) do
    for name in pairs(row.values) do there[name] = true end
  end
  for _, name in ipairs(columns) do
    if not there[name] and #self.rows > 0 then error("table: " .. suggest.unknown("column", name, sorted_keys(there)), 2) end
    shown[#shown + 1] = name
  end
  for _, name in ipairs(others or {}) do
    if there[name] then shown[#shown + 1] = name end
  end
  for i, row in ipairs(self.rows) do
    rows[i] = { label = row.label, values = row.values, rule = self.ruled == i }
  end
  local n = #self.seeds
  local foot = n > 1 and ("%d seeds, mean ± 95%% interval over seeds"):format(n) or "1 seed"
  return Table.new(shown, rows, table.concat({ foot, table.unpack(self.notes) }, "\n"))
end

--- @param options name; seeds = how many (1, 2, ...) or a list of different whole numbers; config = table; data = dataset
-- (its fingerprint goes into the key); folder = where results go (default results.folder())
return function(options)
  check.names("experiment", options, { "name", "seeds", "config", "data", "folder" })
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
  local given, whole = {}, {}
  for i, seed in ipairs(seeds) do
    whole[i] = type(seed) == "number" and math.tointeger(seed)
    if not whole[i] or given[seed] then
      error(("experiment: seeds has %s%s, expected different whole numbers"):format(tostring(seed),
        given[seed] and " twice" or ""), 2)
    end
    given[seed] = true
  end
  return setmetatable({ name = options.name, seeds = whole, config = options.config or {}, rows = {}, trials = {}, notes = {},
    sources = sources(), folder = options.folder or results.folder(),
    fingerprint = options.data and options.data:fingerprint() or "none" }, Experiment)
end
