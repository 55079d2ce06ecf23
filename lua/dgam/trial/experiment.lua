--- dgam.experiment: variants, seeds, and a table at the end. A trial that is stored is not run again.
--
--     local exp = dgam.experiment { name = "ablation", seeds = 3, config = config, data = data }
--     exp:trial("dual", { heads = "per-expert" }, function(cfg) ... return { metrics = { top1 = 38.4 } } end)
--     exp:table({ "top1", "top5" }):print()
--
-- cfg is the configuration with the variant's fields, `seed`, and `checkpoint`, a file that training may keep its state
-- in; it is removed when the trial is stored. A trial is found again by its configuration, its seed, the dataset, its
-- function and the code that this can reach: see dgam.trial.key. Where the configuration names a checkpoint (.h5, .pth,
-- .safetensors) that there is, its content counts as well.
--
-- A script may be started several times at once, also on several machines that share the results folder: each trial is run by
-- one of them (dgam.trial.lease). A process goes on with the next trial while another runs this one, and waits for it when its
-- result is asked for: by the table, or by the script.
local lfs = require "lfs"
local json = require "util.json"
local fs = require "dgamnative.fs"
local paths = require "util.paths"
local keys = require "dgam.trial.key"
local leases = require "dgam.trial.lease"
local results = require "dgam.trial.results"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"
local Table = require "dgam.show.table"
local announce = require "dgam.trial.announce"
local compare = require "dgam.trial.compare"
local kept = require "dgam.trial.kept"
local progress = require "dgam.show.progress"
local provenance = require "dgam.trial.provenance"

local Experiment = {}
Experiment.__index = Experiment

local Record = {} -- metatable of finished trials and of lists of them: objects, of which a key takes no notice

-- Fields of a configuration that change how long a run takes but not what comes out; those that a variant sets count.
local IRRELEVANT = { threads = true, profile = true, seeds = true, keep = true }

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
  return keys.of { experiment = self.name, config = with_contents(config), data = self.fingerprint, code = f }
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
  local out, model = {}, result.model
  for name, v in pairs(result) do out[name] = v end
  out.model = nil
  if type(result.metrics) ~= "table" then
    out = { metrics = {}, curves = {}, texts = {}, arrays = {} }
    for name, v in pairs(result) do
      if name == "model" then goto continue end
      local kind = type(v) == "number" and "metrics" or type(v) ~= "table" and "arrays"
        or type(v[1]) == "string" and "texts" or "curves"
      out[kind][name] = v
      ::continue::
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
  if model ~= nil and type((type(model) == "table" and model or {}).save) ~= "function" then
    error(("%s: the function returned model = %s, expected one with a method save, as models.dgam"):format(where, check.show(model)), 0)
  end
  return out, model
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

local HINT = "what is not stored yet is made, and needs a results folder that can be written ($DGAMLUA_RESULTS chooses it)"

-- The lease on a file of the results folder that is to be made, under the name of what its unfinished state is kept in.
local function lease_on(self, partial, what)
  paths.make_folder(self.folder .. "/partial", HINT)
  return leases.new(("%s/partial/%s.lease"):format(self.folder, partial), what)
end

local function try(lease)
  local ok, held = pcall(lease.try, lease)
  if not ok then error(tostring(held):find "cannot write" and ("%s; %s"):format(held, HINT) or held, 0) end
  return held
end

-- Runs a trial and stores it.
local function run_trial(self, job)
  local cfg = job.cfg
  results.clean(self.folder)
  cfg.checkpoint = ("%s/partial/%s.h5"):format(self.folder, job.key)
  local config, started = json.plain(cfg), os.time()
  config.checkpoint = nil
  local _ <close> = keys.watch { job.f, cfg }
  local given, skipped = counting_skipped(run, job.where, seeded, job.seed, job.f, cfg)
  local result, model = sorted_out(given, job.where)
  local record = { experiment = self.name, label = job.label, seed = job.seed, key = job.key, version = dgamlua.version,
    seconds = os.time() - started, config = config, metrics = result.metrics, curves = result.curves,
    skipped = skipped > 0 and skipped or nil, texts = result.texts, arrays = result.arrays, about = provenance() }
  if model then kept.add(self, job, record, model) end
  run(job.where, results.save, job.path, record)
  record.path = job.path
  os.remove(cfg.checkpoint)
  return record
end

-- Finds a trial stored or runs it, and puts its record in its place. Returns false while another process runs it.
local function done(self, job)
  local record = stored(job.path)
  if not record then
    job.lease = job.lease or lease_on(self, job.key, job.where)
    local held <close> = try(job.lease)
    record = held and stored(job.path)
    if held and not record then
      if job.left and self:key(job.cfg, job.f, job.variant) ~= job.key then
        error(job.where .. ": who ran it ended without a result, and the script has changed since what it depends on; run it again", 0)
      end
      announce.trial(self, job)
      record = run_trial(self, job)
      if self.count then self.count.ran = self.count.ran + 1 end
    end
  end
  if not record then return false end
  record.label = job.label
  note_skipped(self, job.where, record.skipped)
  rawset(job.list, job.at, setmetatable(record, Record))
  return true
end

-- Waits for all trials that were left to other processes, and runs those whose process has died.
local function finish(self)
  while #self.left > 0 do
    local still = {}
    for _, job in ipairs(self.left) do
      if not done(self, job) then still[#still + 1] = job end
    end
    if #still == #self.left then still[1].lease:wait() end
    self.left = still
  end
end

-- A list of records some of which other processes are making: whoever looks at it waits for them.
local function unfinished(self, n)
  local function wait(list)
    finish(self)
    return setmetatable(list, Record)
  end
  return { __index = function(list, i) return wait(list)[i] end, __len = function(list) return wait(list) and n end,
    __pairs = function(list) return pairs(wait(list)) end }
end

--- Runs a variant for every seed, or finds it stored. libtorch's generator starts from the seed.
-- @param label how the table calls it
-- @param variant fields that replace those of the configuration
-- @param f function(cfg) -> { metrics = name -> number, curves = name -> list of numbers, texts = name -> list of texts,
--   arrays = name -> tensor }, or these mixed in one table; model = a model that is to be kept (see keep below)
-- @return list of results, one a seed; to look at one that another process is making waits for it
function Experiment:trial(label, variant, f)
  check.option("trial", "label", label, check.text)
  check.option(("trial '%s'"):format(label), "variant", variant, check.table)
  check.option(("trial '%s'"):format(label), "f", f, check.func)
  local list, complete = {}, true
  for i, seed in ipairs(self.seeds) do
    local cfg = merged(self.config, variant, seed)
    local key = self:key(cfg, f, variant)
    if self.count then self.count.at = self.count.at + 1 end
    local job = { label = label, variant = variant, f = f, seed = seed, cfg = cfg, key = key, list = list, at = i,
      path = results.path(self.folder, self.name, key), where = ("trial '%s', seed %s"):format(label, seed) }
    if not done(self, job) then
      io.stderr:write(tostring(job.lease), "; going on with the next\n")
      job.left, complete = true, false
      self.left[#self.left + 1] = job
    end
  end
  if complete then kept.rotate(self, list) end
  setmetatable(list, complete and Record or unfinished(self, #self.seeds))
  self.trials[label] = list
  self.rows[#self.rows + 1] = { label = label, list = list, prefix = "" }
  return list
end

--- All variants of an experiment: says what is going to run, then runs them one after the other and says how far it is.
-- @param variants list of { label, fields that replace those of the configuration ... }
-- @param f function(cfg, label) -> result, as for trial
-- @param estimate function() -> seconds that one trial takes, measured (train.estimate); nil: nothing is said of time
function Experiment:run(variants, f, estimate)
  local left, all, own = 0, #variants * #self.seeds, {}
  for v, variant in ipairs(variants) do
    own[v] = function(cfg) return f(cfg, variant[1]) end
    for _, seed in ipairs(self.seeds) do
      local cfg = merged(self.config, variant, seed)
      if not lfs.attributes(results.path(self.folder, self.name, self:key(cfg, own[v], variant)), "mode") then left = left + 1 end
    end
  end
  announce.plan(self, left, all, estimate)
  self.count = { at = 0, left = left, all = all, start = progress.now(), ran = 0 }
  for v, variant in ipairs(variants) do self:trial(variant[1], variant, own[v]) end
  self.count = nil
end

-- Metric values of a list of records: name -> list. `prefix` selects and strips the beginning of the names.
local function values_of(list, prefix)
  local values = {}
  for _, record in ipairs(list) do
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

--- Metric values over seeds of a variant: name -> list. `prefix` selects and strips the beginning of the names.
function Experiment:values(label, prefix) return values_of(self.trials[label], prefix or "") end

--- A row that is not a trial of its own: the metrics of `from` whose names begin with `prefix`.
function Experiment:row(label, from, prefix)
  if not self.trials[from] then error(("row '%s': no trial is called '%s'"):format(label, from), 2) end
  self.rows[#self.rows + 1] = { label = label, list = self.trials[from], prefix = prefix }
end

--- A line across the table before the next row.
function Experiment:rule() self.ruled = #self.rows + 1 end

--- Something trained once and used by several trials: computed by f(path) -> state dict, kept beside the results. If another
-- process is making it, this one waits.
-- @param name what it is
-- @param depends table of everything that determines it; depends.seed (default 0) seeds libtorch's generator for f
-- @param f function(checkpoint path) -> name -> tensor
-- @return name -> tensor
function Experiment:artifact(name, depends, f)
  local checkpoint = require "dgam.train.checkpoint"
  local key = keys.of { artifact = name, depends = with_contents(depends), data = self.fingerprint, code = f }
  local path, lease = ("%s/artifacts/%s-%s.h5"):format(self.folder, name, key), nil
  while not lfs.attributes(path, "mode") do
    lease = lease or lease_on(self, name .. "-" .. key, ("artifact '%s'"):format(name))
    local held <close> = try(lease)
    if not held then
      lease:wait()
    elseif not lfs.attributes(path, "mode") then
      paths.make_folder(self.folder .. "/artifacts", HINT)
      local partial = ("%s/partial/%s-%s.h5"):format(self.folder, name, key)
      local _ <close> = keys.watch { f }
      local state, skipped = counting_skipped(seeded, depends.seed or 0, f, partial)
      checkpoint.save(path, state, { name = name, depends = json.plain(depends), skipped = skipped })
      os.remove(partial)
    end
  end
  local state, meta = checkpoint.load(path)
  note_skipped(self, name, type(meta) == "table" and math.tointeger(meta.skipped) or 0)
  return state
end

--- The table of what ran so far. Where trials stored which clips they got right (train.report does), every row has the difference
-- to the first one (dgam.paired).
-- @param columns list of metric names; one that no row has is an error
-- @param others list of further ones that are left out if no row has them: what not every dataset can say
function Experiment:table(columns, others)
  finish(self)
  local there, rows, shown = {}, {}, {}
  for i, row in ipairs(self.rows) do
    rows[i] = { label = row.label, values = values_of(row.list, row.prefix), rule = self.ruled == i }
    for name in pairs(rows[i].values) do there[name] = true end
  end
  for _, name in ipairs(columns) do
    if not there[name] and #self.rows > 0 then error("table: " .. suggest.unknown("column", name, sorted_keys(there)), 2) end
    shown[#shown + 1] = name
  end
  for _, name in ipairs(others or {}) do
    if there[name] then shown[#shown + 1] = name end
  end
  local n = #self.seeds
  local foot = n > 1 and ("%d seeds, mean ± 95%% interval over seeds"):format(n) or "1 seed"
  local t = Table.new(shown, rows, table.concat({ foot, table.unpack(self.notes) }, "\n"))
  t.below = #rows > 1 and compare(rows, self.rows) or nil
  return t
end

--- The lines that end a run: where its results and models are, and what to do next.
function Experiment:goodbye() announce.goodbye(self) end

--- @param options name; seeds = how many (1, 2, ...) or a list of different whole numbers; config = table; data = dataset
-- (it goes into the key); folder = where results go (default results.folder()); keep = "best" (default: of every variant
-- the model of the seed that was best on the validation list), "all" or "none": models that trials return as `model`
return function(options)
  check.names("experiment", options, { "name", "seeds", "config", "data", "folder", "keep" })
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
    left = {}, folder = options.folder or results.folder(), data = options.data,
    keep = check.option("experiment", "keep", options.keep or (options.config or {}).keep or "best", check.one_of("best", "all", "none")),
    fingerprint = options.data and keys.dataset(options.data) or "none" }, Experiment)
end
