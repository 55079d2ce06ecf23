--- dgam.trial.key: what determines a result, as a hash. docs/design.md (decision 7) says what counts and why.
--
-- A description is a table of numbers, text, booleans, tables and functions. Its content counts, of its functions the code
-- with what they hold (functions of the same file, numbers, texts, tables, global variables, classes of objects), and the code
-- of every module that these can reach. A module is reached when a function holds it or requires it, a function of another file
-- when its file is; from there on by the `require "NAME"` in the files, never by what happens to be loaded. Kernels count by
-- their semantic versions (core/base/semantics.h).
local lfs = require "lfs"
local bytecode = require "dgam.trial.bytecode"
local fs = require "dgamnative.fs"
local sys = require "dgamnative.sys"
local sorted_keys = require "util.keys"

local key = {}

-- --- modules ---

local ROOT = dgamlua.root .. "/lua/"

-- Where nothing changes a number, and the list of public names, behind which each module is found by itself.
local NEVER = { "util/", "dgam/trial/", "dgam/show/", "dgam/init.lua", "cli/", "bench/", "repl/" }

-- Modules whose fields are other modules: `models.dgam` is models/dgam.lua.
local DOORS = {
  dgam = { "dgam.", "dgam.kernels.", "dgam.nn.", "dgam.data.", "dgam.data.builtin.", "dgam.train." },
  models = { "models." },
}

-- The name under which a file counts, without the folder that the project happens to be in; nil: it never counts.
local function name_of(path)
  if path:sub(1, #ROOT) ~= ROOT then return not path:find "^/usr/" and path:match "[^/]*$" or nil end
  local name = path:sub(#ROOT + 1)
  for _, room in ipairs(NEVER) do
    if name:sub(1, #room) == room then return nil end
  end
  return name
end

-- Files that were read, by path. Each is read once: what was loaded stays as it was, whatever is edited while trials run.
local files = {}

local function read(path)
  if not files[path] then
    local f, why = loadfile(path, "t")
    if not f then error(("cannot read a module: %s"):format(why), 0) end
    local code, required, texts = bytecode.of(f)
    files[path] = { hash = fs.sha256(code), required = required, texts = texts }
  end
  return files[path]
end

local reach

local function reach_file(walk, path)
  local name = path and name_of(path)
  if not name or walk.files[path] then return end
  local file = read(path)
  walk.files[path] = name .. " " .. file.hash
  for module in pairs(file.required) do reach(walk, module, file.texts) end
end

-- The module of that name, and what can be reached through it by someone in whose code those texts stand.
function reach(walk, module, texts)
  if module:find "%.$" then return end -- the beginning of a name that is put together: see DOORS
  reach_file(walk, package.searchpath(module, package.path))
  for _, prefix in ipairs(DOORS[module] or {}) do
    for text in pairs(texts) do
      local behind = text:find "^[%w_]+$" and package.searchpath(prefix .. text, ROOT .. "?.lua;" .. ROOT .. "?/init.lua")
      reach_file(walk, behind or nil)
    end
  end
end

-- Notes the module that a value is, if it is one. Returns its names.
local function reach_value(walk, value)
  local names = {}
  for name, module in pairs(package.loaded) do
    if rawequal(module, value) then
      names[#names + 1] = name
      walk.modules[name] = true
    end
  end
  table.sort(names)
  return names[1] and "module " .. table.concat(names, " ")
end

-- --- what functions hold, as it is to count ---

-- What a trial's run changed, by place: a table, an upvalue's id, the name of a global variable. It counts as it was before,
-- so that a key does not depend on which trials ran and which were read back; unless the script changed it once more.
local changed = setmetatable({}, { __mode = "k" })

local function same(a, b)
  for k, v in next, a do
    if not rawequal(b[k], v) then return false end
  end
  for k in next, b do
    if a[k] == nil then return false end
  end
  return true
end

-- The content of a place, a table.
local function content(walk, place, look)
  local now, was = look(), changed[place]
  if was and same(was.after, now) then now = was.before end
  walk.places[place] = { before = now, look = look }
  return now
end

local function table_content(walk, t)
  return content(walk, t, function()
    local copy = {}
    for k, v in next, t do copy[k] = v end
    return copy
  end)
end

-- --- the text of a description ---

local PLAIN = { number = true, string = true, boolean = true }
local CALLED = { arg = true, dgamlua = true } -- global variables that tell where and how the program was called

local describe

local function plain_text(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "number" then return tostring(v) end
  if math.type(v) == "integer" or v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
  return ("%.17g"):format(v)
end

-- The global variables among the names in a function's code.
local function describe_globals(walk, env, texts, parts)
  for _, name in ipairs(sorted_keys(texts)) do
    local function look()
      local there, value = pcall(function() return env[name] end) -- a script may forbid what is not there
      return { there and value }
    end
    local text = not CALLED[name] and look()[1] and describe(content(walk, "global " .. name, look)[1], walk, "held") or ""
    if text ~= "" then parts[#parts + 1] = ("%s=%s"):format(name, text) end
  end
end

local function of_library(path) return path:sub(1, #ROOT) == ROOT and path:sub(#ROOT + 1, #ROOT + 12) ~= "experiments/" end

-- A function of the walk's own file counts with all that it holds; one of another file, or of the library, with that file, and of
-- what it holds with what is plain: the name that a function was made for.
local function describe_function(f, walk)
  local info = debug.getinfo(f, "S")
  local path = info.source:match "^@(.*)"
  local own = (not walk.source or info.source == walk.source) and not (path and of_library(path))
  if info.what == "C" or info.source == "=prelude" or not own and path and not name_of(path) then return "" end
  if not own and path and lfs.attributes(path, "mode") == "file" then reach_file(walk, path) else own = true end
  local source = walk.source
  walk.source = source or info.source
  local code, required, texts = bytecode.of(f)
  local parts = { code }
  if own then
    for name in pairs(required) do walk.modules[name] = true end
    for text in pairs(texts) do walk.texts[text] = true end
  end
  for i = 1, 255 do
    local name, held = debug.getupvalue(f, i) -- the name is empty in a stripped function
    if not name then break end
    if name == "_ENV" or rawequal(held, _G) then
      if own then describe_globals(walk, held, texts, parts) end
    else
      local v = content(walk, debug.upvalueid(f, i), function() return { (select(2, debug.getupvalue(f, i))) } end)[1]
      if own or PLAIN[type(v)] then parts[#parts + 1] = ("%d=%s"):format(i, describe(v, walk, "held")) end
    end
  end
  walk.source = source
  return table.concat(parts, "\0")
end

-- how: "all" of it counts, and what cannot is an error that names it by its path; "held" by a function: what can; "class": only
-- its functions, since the fields of an object are its state.
local function describe_table(t, walk, how, path)
  local meta, parts = debug.getmetatable(t), {}
  local functions_only = how == "class" or how == "held" and meta ~= nil
  local fields = table_content(walk, t)
  for _, k in ipairs(sorted_keys(fields)) do
    local v, at = fields[k], path and ("%s.%s"):format(path, tostring(k))
    if path and not PLAIN[type(k)] then error(("%s: its key is a %s, expected a number or text"):format(at, type(k)), 0) end
    local text = PLAIN[type(k)] and (not functions_only or type(v) == "function")
      and describe(v, walk, how == "class" and "held" or how, at) or ""
    if text ~= "" then parts[#parts + 1] = plain_text(k) .. ":" .. text end
  end
  if type(meta) == "table" then
    parts[#parts + 1] = describe(meta, walk, "class")
    local index = rawget(meta, "__index")
    if type(index) == "table" then parts[#parts + 1] = describe(index, walk, "class") end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- The text of any value; "" for what does not count.
function describe(v, walk, how, path)
  local kind = type(v)
  if PLAIN[kind] then
    if kind == "string" then walk.texts[v] = true end
    return plain_text(v)
  elseif v == nil then
    return ""
  elseif kind ~= "table" and kind ~= "function" then
    if not path then return "" end
    error(("%s is a %s; what determines a result must be numbers, text, tables or functions"):format(path, kind), 0)
  end
  local done = walk.done[how]
  if not done[v] then
    done[v] = "itself" -- to whoever meets it on the way
    local text = kind == "function" and describe_function(v, walk) or kind == "table"
      and (reach_value(walk, v) or describe_table(v, walk, how, path)) or ""
    done[v] = #text > 64 and fs.sha256(text) or text
  end
  return done[v]
end

local function walked(description)
  local walk = { files = {}, modules = {}, texts = {}, places = {}, done = { all = {}, held = {}, class = {} } }
  walk.text = describe(description, walk, "all", "description")
  for name in pairs(walk.modules) do reach(walk, name, walk.texts) end
  return walk
end

local function reached(walk)
  local list = {}
  for _, line in pairs(walk.files) do list[#list + 1] = line end
  table.sort(list)
  return list
end

--- The files of modules that count for a description, as names below lua/ (or without their folder), each with its hash.
function key.files(description) return reached(walked(description)) end

--- The hash of a description: 16 hexadecimal digits. A value in it that is neither plain nor a table or function is an error that
-- names it.
function key.of(description)
  local walk = walked(description)
  local parts = { walk.text, table.unpack(reached(walk)) }
  local versions = sys.semantics()
  for _, family in ipairs(sorted_keys(versions)) do parts[#parts + 1] = ("%s %d"):format(family, versions[family]) end
  return fs.sha256(table.concat(parts, "\n")):sub(1, 16)
end

--- What counts of a dataset: its fingerprint, and the fields of its clips, by which results may be grouped. 16 hexadecimal digits.
function key.dataset(d)
  local lines = { d:fingerprint() }
  for _, item in ipairs(d.items) do
    for _, field in ipairs(sorted_keys(item)) do
      if PLAIN[type(item[field])] then lines[#lines + 1] = ("%s=%s"):format(field, plain_text(item[field])) end
    end
  end
  return fs.sha256(table.concat(lines, "\n")):sub(1, 16)
end

local Watch = {}
function Watch:__close()
  for place, p in pairs(self) do
    local after = p.look()
    if not same(p.before, after) then changed[place] = { before = p.before, after = after, look = p.look } end
  end
end

--- To be held (`<close>`) while functions of a description run: what they change counts in later keys as it was before.
function key.watch(description) return setmetatable(walked(description).places, Watch) end

return key
