--- dgam.results: finished trials, one HDF5 file each, that survive crashes and are found again by what determined them.
--
-- A file is NAME-KEY.h5 in $DGAMLUA_RESULTS (default: results/ in the current folder). KEY is a hash of everything that
-- determines the result (dgam.trial.key), so asking again finds it. Files are written under a temporary name, synced and renamed: a file
-- that is there is whole. Inside: attributes experiment, label, seed, key, config (JSON), created; the group metrics with
-- one number a dataset; curves with one list a dataset; texts with lists of text; arrays with tensors. Any HDF5 tool reads it.
local fs = require "dgamnative.fs"
local check = require "util.check"
local json = require "util.json"
local h5 = require "dgam.kernels.h5"
local index = require "dgam.trial.index"
local sorted_keys = require "util.keys"

local results = {}

--- Where results are kept. Not created until something is written.
function results.folder()
  local folder = os.getenv "DGAMLUA_RESULTS"
  if folder and folder ~= "" then return folder end
  return "results"
end

--- The file of a trial.
function results.path(folder, experiment, key) return ("%s/%s-%s.h5"):format(folder, experiment, key) end

-- What a trial must hold.
local FIELDS = {
  experiment = check.text, label = check.text, seed = check.finite, key = check.optional(check.text),
  created = check.optional(check.text), version = check.optional(check.text), seconds = check.optional(check.finite),
  skipped = check.optional(check.whole(0)), model = check.optional(check.text), about = check.optional(check.table),
  config = { "a table in JSON", check.table[2] },
}
local FIELD_NAMES = sorted_keys(FIELDS)

local TEXTS = { "experiment", "label", "key", "created", "version", "model" }
local NUMBERS = { "seed", "seconds", "skipped" }

-- Writes one group; every value must be of that kind.
local function write_group(file, group, values, kind, options)
  for _, name in ipairs(sorted_keys(values or {})) do
    if type(name) ~= "string" or not name:match "^[%w_.%-]+$" then
      error(("results: %s has the name '%s', expected letters, digits, '_', '-' or '.'"):format(group, tostring(name)), 0)
    end
    local path = group .. "/" .. name
    file:write(path, check.option("results", path, values[name], kind, false), options)
  end
end

-- Whether v is a list of values of one type; names beside them (a dataset's classes have such) are not looked at.
local function is_list_of(kind, v)
  if type(v) ~= "table" then return false end
  for _, x in ipairs(v) do
    if type(x) ~= kind then return false end
  end
  return #v > 0 or next(v) == nil
end

local NUMBER = { "a number", function(v) return type(v) == "number" end } -- NaN and infinity too: a metric came out so
local LIST = { "a list of numbers", function(v) return is_list_of("number", v) end }
local TEXT_LIST = { "a list of texts", function(v) return is_list_of("string", v) and #v > 0 end }
local TENSOR = { "a tensor", function(v) return type(v) == "userdata" end }

--- Writes a trial; the file is there whole or not at all.
-- @param path file
-- @param record { experiment =, label =, seed =, key =, config = table, seconds = how long it took, skipped = clips that could not be
--   read, model = file of the trained model, about = with what it was computed (dgam.trial.provenance), metrics = name -> number,
--   curves = name -> list of numbers, texts = name -> list of texts, arrays = name -> tensor }
function results.save(path, record)
  check.fields("results", record, FIELDS, false)
  local file <close> = h5.create(path)
  local created = record.created or os.date "!%Y-%m-%dT%H:%M:%SZ"
  for _, names in ipairs { TEXTS, NUMBERS } do
    for _, name in ipairs(names) do
      local value = name == "created" and created or record[name]
      if value ~= nil then file:set_attr(name, value) end
    end
  end
  file:set_attr("config", json.encode(record.config))
  if record.about then file:set_attr("about", json.encode(record.about)) end
  write_group(file, "metrics", record.metrics, NUMBER)
  write_group(file, "curves", record.curves, LIST)
  write_group(file, "texts", record.texts, TEXT_LIST)
  write_group(file, "arrays", record.arrays, TENSOR, { deflate = 4 })
  file:close()
end

-- What is wrong with a trial that was read, or nil.
local function fault(record)
  for _, name in ipairs(FIELD_NAMES) do
    local wrong = check.fault("its '" .. name .. "'", record[name], FIELDS[name])
    if wrong then return wrong end
  end
  for name, v in pairs(record.metrics) do
    local wrong = check.fault("its metric '" .. name .. "'", v, NUMBER)
    if wrong then return wrong end
  end
  for name, v in pairs(record.curves or {}) do
    local wrong = check.fault("its curve '" .. name .. "'", v, LIST)
    if wrong then return wrong end
  end
end

--- Reads a trial without its texts and arrays (the latter need libtorch: results.array). A file that holds something else,
-- or fields of other types, is an error that names it.
function results.load(path)
  local file <close> = h5.open(path)
  local record = { path = path, metrics = {}, curves = {} }
  for _, names in ipairs { TEXTS, NUMBERS } do
    for _, name in ipairs(names) do record[name] = file:attr(name) end
  end
  if not record.experiment then
    error(("'%s' is not a results file of dgamlua: it has no attribute 'experiment'"):format(path), 0)
  end
  local config = file:attr "config"
  if config == nil then record.config = {}
  elseif type(config) == "string" then record.config = json.decode(config)
  else record.config = config end
  local about = file:attr "about"
  record.about = type(about) == "string" and json.decode(about) or nil
  if file:has "metrics" then
    for _, name in ipairs(file:list "metrics") do record.metrics[name] = file:value("metrics/" .. name) end
  end
  if file:has "curves" then
    for _, name in ipairs(file:list "curves") do record.curves[name] = file:numbers("curves/" .. name) end
  end
  local wrong = fault(record)
  if wrong then error(("'%s' is not a trial as dgamlua stores it: %s"):format(path, wrong), 0) end
  return record
end

--- Two arrays of a trial as lists of numbers, without libtorch; nil for what it did not store.
function results.numbers(path, ...)
  local file <close> = h5.open(path)
  local out = {}
  for i, name in ipairs { ... } do out[i] = file:has("arrays/" .. name) and file:numbers("arrays/" .. name) or nil end
  return table.unpack(out, 1, select("#", ...))
end

--- One tensor of a trial.
function results.array(path, name)
  local file <close> = h5.open(path)
  return file:read("arrays/" .. name)
end

--- Every trial in a folder, oldest first, without curves and arrays, and a list of messages about files that could not
-- be read.
function results.scan(folder) return index.scan(folder or results.folder(), results.load, fault) end

--- Removes temporary files that killed processes left in a folder of results, in what its trials had begun and in its artifacts.
function results.clean(folder)
  for _, below in ipairs { "", "/partial", "/artifacts" } do fs.clean(folder .. below) end
end

return results
