--- dgam.results: finished trials, one HDF5 file each, that survive crashes and are found again by what determined them.
--
-- A file is NAME-KEY.h5 in $DGAMLUA_RESULTS (default: results/ in the current folder). KEY is a hash of everything that
-- determines the result, so asking again finds it. Files are written under a temporary name, synced and renamed: a file
-- that is there is whole. Inside: attributes experiment, label, seed, key, config (JSON), created; the group metrics with
-- one number a dataset; curves with one list a dataset; arrays with tensors. Any HDF5 tool reads it.
local lfs = require "lfs"
local json = require "dkjson"
local fs = require "dgamnative.fs"
local h5 = require "dgam.h5"

local results = {}

--- Where results are kept. Not created until something is written.
function results.folder()
  local folder = os.getenv "DGAMLUA_RESULTS"
  if folder and folder ~= "" then return folder end
  return "results"
end

--- Creates a folder and its parents; an error names what stands in the way.
function results.make_folder(path)
  local at = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch "[^/]+" do
    at = at .. part
    if lfs.attributes(at, "mode") ~= "directory" then
      local ok, why = lfs.mkdir(at)
      if not ok and lfs.attributes(at, "mode") ~= "directory" then
        error(("cannot make the folder %s: %s"):format(at, why), 0)
      end
    end
    at = at .. "/"
  end
  return path
end

-- The same text for the same content: keys sorted, numbers in full.
local function canonical(v)
  local kind = type(v)
  if kind == "table" then
    local parts, keys = {}, {}
    for k in pairs(v) do keys[#keys + 1] = k end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for i, k in ipairs(keys) do parts[i] = canonical(k) .. ":" .. canonical(v[k]) end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif kind == "number" then
    return math.type(v) == "integer" and ("%d"):format(v) or v == math.floor(v) and ("%.0f"):format(v) or ("%.17g"):format(v)
  elseif kind == "string" then
    return ("%q"):format(v)
  end
  return tostring(v)
end

--- A hash of any table of plain values: 16 hexadecimal digits.
function results.key(description) return fs.sha256(canonical(description)):sub(1, 16) end

--- The file of a trial.
function results.path(folder, experiment, key) return ("%s/%s-%s.h5"):format(folder, experiment, key) end

--- Writes a trial.
-- @param path file
-- @param record { experiment =, label =, seed =, key =, config = table, metrics = name -> number,
--   curves = name -> list of numbers, arrays = name -> tensor }
function results.save(path, record)
  local file <close> = h5.create(path)
  for _, name in ipairs { "experiment", "label", "seed", "key" } do file:set_attr(name, record[name]) end
  file:set_attr("config", json.encode(record.config))
  file:set_attr("created", os.date "!%Y-%m-%dT%H:%M:%SZ")
  for name, value in pairs(record.metrics or {}) do file:write("metrics/" .. name, value) end
  for name, list in pairs(record.curves or {}) do file:write("curves/" .. name, list) end
  for name, tensor in pairs(record.arrays or {}) do file:write("arrays/" .. name, tensor) end
  file:close()
end

--- Reads a trial without its arrays (those need libtorch: results.array).
function results.load(path)
  local file <close> = h5.open(path)
  local record = { path = path, metrics = {}, curves = {} }
  for _, name in ipairs { "experiment", "label", "seed", "key", "created" } do record[name] = file:attr(name) end
  if not record.experiment then error(("%s: not a results file of dgamlua (no attribute 'experiment')"):format(path), 0) end
  record.config = json.decode(file:attr "config") or {}
  if file:has "metrics" then
    for _, name in ipairs(file:list "metrics") do record.metrics[name] = file:numbers("metrics/" .. name)[1] end
  end
  if file:has "curves" then
    for _, name in ipairs(file:list "curves") do record.curves[name] = file:numbers("curves/" .. name) end
  end
  return record
end

--- One tensor of a trial.
function results.array(path, name)
  local file <close> = h5.open(path)
  return file:read("arrays/" .. name)
end

--- Every trial in a folder, oldest first, and a list of messages about files that could not be read.
function results.scan(folder)
  folder = folder or results.folder()
  local list, problems = {}, {}
  if lfs.attributes(folder, "mode") ~= "directory" then return list, problems end
  local names = {}
  for name in lfs.dir(folder) do
    if name:match "%.h5$" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local ok, record = pcall(results.load, folder .. "/" .. name)
    if ok then list[#list + 1] = record else problems[#problems + 1] = tostring(record) end
  end
  table.sort(list, function(a, b)
    if a.created ~= b.created then return tostring(a.created) < tostring(b.created) end
    return a.path < b.path
  end)
  return list, problems
end

return results
