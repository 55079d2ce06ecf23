--- dgam.results: finished trials, one HDF5 file each, that survive crashes and are found again by what determined them.
--
-- A file is NAME-KEY.h5 in $DGAMLUA_RESULTS (default: results/ in the current folder). KEY is a hash of everything that
-- determines the result, so asking again finds it. Files are written under a temporary name, synced and renamed: a file
-- that is there is whole. Inside: attributes experiment, label, seed, key, config (JSON), created; the group metrics with
-- one number a dataset; curves with one list a dataset; texts with lists of text; arrays with tensors. Any HDF5 tool reads it.
local lfs = require "lfs"
local check = require "util.check"
local json = require "util.json"
local bytecode = require "dgam.trial.bytecode"
local fs = require "dgamnative.fs"
local h5 = require "dgam.kernels.h5"
local sorted_keys = require "util.keys"

local results = {}

--- Where results are kept. Not created until something is written.
function results.folder()
  local folder = os.getenv "DGAMLUA_RESULTS"
  if folder and folder ~= "" then return folder end
  return "results"
end

-- Tables that functions changed while they ran (results.before), as they were: what a trial notes down is not what it does.
local noted = setmetatable({}, { __mode = "k" })

local PLAIN = { number = true, string = true, boolean = true }
local DEEPEST = 32 -- tables in tables that count

local function is_module(t)
  for _, m in pairs(package.loaded) do
    if m == t then return true end
  end
  return false
end

-- Global variables that tell where and how the program was called.
local CALLED = { arg = true, dgamlua = true }

-- Hash of the file of a module of the user's own; nil for one that the library or the system brings, or that is none.
local function module_hash(name)
  local path = name:find "^[%w_.%-]+$" and package.searchpath(name, package.path)
  if not path or path:find "^/usr/" or path:sub(1, #dgamlua.root + 5) == dgamlua.root .. "/lua/" then return nil end
  local f = io.open(path, "rb")
  local content = f and f:read "a"
  if f then f:close() end
  return content and fs.sha256(content)
end

local code_of

-- What counts of a value that a function of the file `source` has hold of, as text; nil: nothing does.
local function held_text(value, source, seen, depth)
  local kind = type(value)
  if PLAIN[kind] then return ("%q"):format(value) end
  if kind == "function" then
    return debug.getinfo(value, "S").source == source and code_of(value, seen) or nil
  end
  if kind ~= "table" or depth > DEEPEST or is_module(value) then return nil end
  if seen[value] then return "seen" end
  local content = noted[value]
  if not content then
    content = {}
    for k, v in next, value do content[k] = v end
  end
  seen[value] = content
  local object, parts = debug.getmetatable(value) ~= nil, {}
  for _, k in ipairs(sorted_keys(content)) do
    local counts = PLAIN[type(k)] and (not object or type(content[k]) == "function") -- an object's fields are its state
    local text = counts and held_text(content[k], source, seen, depth + 1)
    if text then parts[#parts + 1] = ("%q=%s"):format(k, text) end
  end
  return "{" .. table.concat(parts, "\0") .. "}"
end

-- The code of a function, without line numbers and local names, with what counts of its upvalues. `seen` gets the tables
-- among them, each with its content.
function code_of(f, seen)
  if seen[f] then return "seen" end
  seen[f] = true
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "C function" end
  local code, assigned, read, texts = bytecode.of(f)
  local parts = { code }
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i) -- the name is empty in a stripped function
    if not name then break end
    local globals = name == "_ENV" or rawequal(value, _G)
    for _, global in ipairs(globals and sorted_keys(read[i] or {}) or {}) do
      local there, held = pcall(function() return value[global] end) -- a script may forbid what is not there
      local text = there and not CALLED[global] and held_text(held, info.source, seen, 1)
      if text then parts[#parts + 1] = ("%s=%s"):format(global, text) end
      for _, constant in ipairs(global == "require" and texts or {}) do
        local hash = module_hash(constant)
        if hash then parts[#parts + 1] = ("module %s=%s"):format(constant, hash) end
      end
    end
    local text = not globals and (type(value) == "function" or not assigned[i]) and held_text(value, info.source, seen, 1)
    if text then parts[#parts + 1] = ("%d=%s"):format(i, text) end
  end
  return table.concat(parts, "\0")
end

--- A hash of a function: its code, and what it has hold of from outside, in locals and global variables: functions of the same
-- file, numbers and texts that it does not assign to, tables of all these, and the methods, in the same file, of objects
-- (tables with a metatable). Of modules of the user's own that it requires itself the file counts. Other modules, tensors and
-- the fields of objects do not count. A comment, a renamed local or a counter does not change it.
function results.code(f) return fs.sha256(code_of(f, {})) end

local Before = {}
function Before:__close()
  for t, content in pairs(self) do
    if type(t) == "table" and not noted[t] then
      local changed = false
      for k, v in next, t do changed = changed or not rawequal(content[k], v) end
      for k in next, content do changed = changed or rawget(t, k) == nil end
      if changed then noted[t] = content end
    end
  end
end

-- The same text for the same content: keys sorted, numbers in full. `seen`: see code_of; without it each function has its own.
local function canonical(v, path, open, seen)
  local kind = type(v)
  if kind == "number" then
    if math.type(v) == "integer" or v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
    return ("%.17g"):format(v)
  elseif kind == "string" then
    return ("%q"):format(v)
  elseif kind == "function" then
    return "function " .. fs.sha256(code_of(v, seen or {}))
  elseif kind == "userdata" or kind == "thread" then
    error(("%s is a %s; what determines a result must be numbers, text, tables or functions"):format(path, kind), 0)
  elseif kind ~= "table" then
    return tostring(v)
  end
  if open[v] then return "itself" end -- a class table that is its own __index
  open[v] = true
  local parts = {}
  for i, k in ipairs(sorted_keys(v)) do
    parts[i] = canonical(k, path .. "'s key", open, seen) .. ":" .. canonical(v[k], path .. "." .. tostring(k), open, seen)
  end
  open[v] = nil
  return "{" .. table.concat(parts, ",") .. "}"
end

--- A hash of a description: 16 hexadecimal digits. Numbers, text, booleans, tables and functions (by their code) count;
-- anything else is an error that names it.
function results.key(description) return fs.sha256(canonical(description, "description", {})):sub(1, 16) end

--- To be held (`<close>`) while functions of a description run: tables that they have hold of and change, such as a list they
-- add to, count in later keys as they were before. So a key does not depend on which trials ran and which were read back.
function results.before(description)
  local seen = {}
  canonical(description, "description", {}, seen)
  return setmetatable(seen, Before)
end

--- What of a table is plain: numbers, text, booleans and tables of them. For storing a configuration.
function results.plain(t, open)
  open = open or {}
  open[t] = true
  local copy = {}
  for k, v in pairs(t) do
    local kind = type(v)
    if kind == "table" and not open[v] then copy[k] = results.plain(v, open)
    elseif kind == "number" or kind == "string" or kind == "boolean" then copy[k] = v end
  end
  open[t] = nil
  return copy
end

--- The file of a trial.
function results.path(folder, experiment, key) return ("%s/%s-%s.h5"):format(folder, experiment, key) end

-- What a trial must hold.
local FIELDS = {
  experiment = check.text, label = check.text, seed = check.finite, key = check.optional(check.text),
  created = check.optional(check.text), version = check.optional(check.text), seconds = check.optional(check.finite),
  skipped = check.optional(check.whole(0)),
  config = { "a table in JSON", check.table[2] },
}
local FIELD_NAMES = sorted_keys(FIELDS)

local TEXTS = { "experiment", "label", "key", "created", "version" }
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
--   read, metrics = name -> number, curves = name -> list of numbers, texts = name -> list of texts, arrays = name -> tensor }
function results.save(path, record)
  check.fields("results", record, FIELDS, false)
  local file <close> = h5.create(path)
  record.created = record.created or os.date "!%Y-%m-%dT%H:%M:%SZ"
  for _, names in ipairs { TEXTS, NUMBERS } do
    for _, name in ipairs(names) do
      if record[name] ~= nil then file:set_attr(name, record[name]) end
    end
  end
  file:set_attr("config", json.encode(record.config))
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

--- One tensor of a trial.
function results.array(path, name)
  local file <close> = h5.open(path)
  return file:read("arrays/" .. name)
end

-- --- the index: what scan read from each file, so that it need not open thousands. Kept in index.json, rebuilt from the
-- files whenever one of them is not the one it was made from. ---

local INDEX_VERSION = 1

local function read_index(folder)
  local f = io.open(folder .. "/index.json", "rb")
  if not f then return {} end
  local text = f:read "a"
  f:close()
  local index = text and json.decode(text)
  if type(index) ~= "table" or index.version ~= INDEX_VERSION or type(index.files) ~= "table" then return {} end
  local files = {}
  for name, entry in pairs(index.files) do
    local record = type(entry) == "table" and entry.record
    if type(record) == "table" and type(record.metrics) == "table" and not fault(record) then files[name] = entry end
  end
  return files
end

-- JSON has no NaN: a trial with one is read from its file each time.
local function has_nan(record)
  for _, v in pairs(record.metrics) do
    if v ~= v then return true end
  end
  return false
end

local function write_index(folder, entries)
  local files = {}
  for name, entry in pairs(entries) do files[name] = not has_nan(entry.record) and entry or nil end
  pcall(fs.write, folder .. "/index.json", json.encode { version = INDEX_VERSION, files = files }) -- not where one may only read
end

--- Every trial in a folder, oldest first, without curves and arrays, and a list of messages about files that could not
-- be read.
function results.scan(folder)
  folder = folder or results.folder()
  local list, problems = {}, {}
  if lfs.attributes(folder, "mode") ~= "directory" then return list, problems end
  local old, new, changed = read_index(folder), {}, false
  for name in lfs.dir(folder) do
    local st = name:match "^[^.].*%.h5$" and lfs.attributes(folder .. "/" .. name)
    if st and st.mode == "file" then
      local stamp = ("%d-%d-%d"):format(st.ino, st.size, st.modification)
      local entry = old[name]
      if not entry or entry.stamp ~= stamp then
        changed = true
        local ok, record = pcall(results.load, folder .. "/" .. name)
        if ok then
          record.curves, record.path = nil, nil
          entry = { stamp = stamp, record = record }
        else
          entry = nil
          problems[#problems + 1] = tostring(record)
        end
      end
      new[name] = entry
    end
  end
  for name in pairs(old) do changed = changed or not new[name] end
  if changed then write_index(folder, new) end
  for name, entry in pairs(new) do
    entry.record.path = folder .. "/" .. name
    list[#list + 1] = entry.record
  end
  table.sort(list, function(a, b)
    if a.created ~= b.created then return tostring(a.created) < tostring(b.created) end
    return a.path < b.path
  end)
  table.sort(problems)
  return list, problems
end

--- Removes temporary files that a killed process of this machine left in a folder.
function results.clean(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then return end
  local f = io.open "/proc/sys/kernel/hostname"
  local host = f and f:read "l"
  if f then f:close() end
  for name in lfs.dir(folder) do
    local start, pid = name:match "^(%..+)%.(%d+)%.%d+%.tmp$"
    if start and host and start:sub(-#host - 1) == "." .. host and not lfs.attributes("/proc/" .. pid) then
      local path = folder .. "/" .. name
      local age = os.time() - (lfs.attributes(path, "modification") or os.time())
      if age > 600 then os.remove(path) end -- not at once: a container may share the name, but not the process numbers
    end
  end
end

return results
