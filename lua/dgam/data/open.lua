--- From a description, a folder or a list to a dataset; dgam.data says what a description may hold.
local lfs = require "lfs"
local lists = require "dgam.data.lists"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"
local Dataset = require "dgam.data.dataset"
local place = require "dgam.data.place"
local readers = require "dgam.data.readers"

local function mode(path) return lfs.attributes(path, "mode") end

local open = {}

local function class_table(names, labels)
  local classes = { index = {}, labels = labels }
  for i, name in ipairs(names) do
    if classes.index[name] then error(("class '%s' is named twice"):format(name), 0) end
    classes[i], classes.index[name] = name, i
  end
  return classes
end

local a_function = check.optional(check.func)
local LIST_OPTIONS = { "file", "format", "columns", "item", "folder" }
local LIST_KINDS = { file = check.optional(check.text), format = check.optional(check.text), folder = check.optional(check.text),
  columns = check.optional(check.table), item = a_function }

--- The lists of all splits as tables, looked at.
local function checked_lists(description)
  local out = {}
  for name, list in pairs(description.splits) do
    if type(list) == "string" then list = { file = list } end
    check.option(description.name, ("split '%s'"):format(name), list, { "a file name or a table", check.table[2] }, false)
    local called = ("%s: split '%s'"):format(description.name, name)
    check.names(called, list, LIST_OPTIONS)
    check.fields(called, list, LIST_KINDS, false)
    out[name] = list
  end
  return out
end

local SPLIT_ORDER = { train = 1, val = 2, test = 3 }

local function read_splits(description, splits, base, roots, classes)
  local names = sorted_keys(splits)
  table.sort(names, function(a, b)
    local p, q = SPLIT_ORDER[a] or 9, SPLIT_ORDER[b] or 9
    return p < q or (p == q and a < b)
  end)
  local items, where, listed_as = {}, {}, {}
  for _, name in ipairs(names) do
    local list = splits[name]
    list = setmetatable({ file = list.file and place.find(list.file, base, roots) }, { __index = list })
    local reader = readers.formats[list.format or "list"]
    if not reader then
      error(("%s: %s"):format(description.name, suggest.unknown("list format", tostring(list.format), sorted_keys(readers.formats))), 0)
    end
    if not list.file and reader ~= readers.formats.folders then
      error(("%s: split '%s' names no file"):format(description.name, name), 0)
    end
    local before = #items
    reader(list, classes, function(item, line)
      local listed = place.plain(item.path, roots[1] or "")
      item.path = list.folder and listed:sub(1, 1) ~= "/" and list.folder .. "/" .. listed or listed
      listed_as[item] = listed
      local at, split = where[item.path], item.split ~= "" and item.split or name
      if at and at.split == split then
        lists.fail(list.file or list.folder or "folder", line, "%s is named twice", item.path)
      elseif at and not Dataset.overlap_allowed(description, at.split, split) then
        lists.fail(list.file or list.folder or "folder", line,
          "%s is in the list '%s' too; set allow_overlap = { \"%s/%s\" } if that is meant", item.path, at.split, at.split,
          split)
      end
      item.split = split
      where[item.path] = item
      items[#items + 1] = item
    end, roots)
    if #items == before then
      error(("%s: there is no clip in the list of split '%s'"):format(list.file or list.folder or roots[1] or "?", name), 0)
    end
  end
  return items, listed_as
end

-- No file may be named twice in a list, nor have two labels, nor be in two splits that may not overlap. Items that are given
-- one by one may name a file several times. Links are not followed: `data check` goes by contents.
local function check_twice(description, items)
  local before, label, current = {}, {}, lfs.currentdir()
  for _, item in ipairs(items) do
    local path = place.full(item.path, current)
    local other, split = before[path], tostring(item.split or "all")
    if other == split and not description.items then
      error(("%s: %s is named twice in '%s'"):format(description.name, path, split), 0)
    elseif other == split and label[path] ~= item.label then
      error(("%s: %s has the labels %d and %d"):format(description.name, path, label[path], item.label), 0)
    end
    if other and other ~= split and not Dataset.overlap_allowed(description, other, split) then
      error(("%s: %s is in the splits '%s' and '%s'; set allow_overlap = { \"%s/%s\" } if that is meant"):format(description.name,
        path, other, split, other, split), 0)
    end
    before[path], label[path] = split, item.label
  end
end

local KNOWN = { "name", "classes", "root", "splits", "items", "metadata", "fields", "options", "prepare", "finish", "allow_overlap",
  "labels", "about", "types" }
local text_or_table = check.optional { "a file name or a list", function(v) return type(v) == "string" or type(v) == "table" end }
local COLUMN_TYPES = check.optional { "a table of column = \"text\", \"number\" or \"boolean\"", function(v)
  for _, as in pairs(type(v) == "table" and v or { "?" }) do
    if not readers.types[as] then return false end
  end
  return true
end }
local KINDS = { name = check.text, classes = text_or_table, splits = check.optional(check.table), items = check.optional(check.table),
  metadata = check.optional(check.text), options = check.optional(check.table), fields = a_function, prepare = a_function,
  finish = a_function, types = COLUMN_TYPES }

-- Pairs of allow_overlap must be of splits that there are.
local function check_overlap(description, items)
  if type(description.allow_overlap) ~= "table" then return end
  local splits = {}
  for _, item in ipairs(items) do splits[tostring(item.split or "all")] = true end
  for _, pair in ipairs(description.allow_overlap) do
    local a, b = tostring(pair):match "^(.-)/(.*)$"
    if not a then error(("%s: allow_overlap has '%s', expected \"SPLIT/SPLIT\""):format(description.name, tostring(pair)), 0) end
    for _, name in ipairs { a, b } do
      if not splits[name] then
        error(("%s: allow_overlap: %s"):format(description.name, suggest.unknown("split", name, sorted_keys(splits))), 0)
      end
    end
  end
end

--- A dataset from a description table.
local function build(description, base, options)
  description.name = description.name or "dataset"
  check.names(description.name, description, KNOWN)
  check.fields(description.name, description, KINDS, false)
  local known = { "root", table.unpack(sorted_keys(description.options or {})) }
  for key in pairs(options) do
    if key ~= "root" and (description.options or {})[key] == nil then
      error(("%s: %s"):format(description.name, suggest.unknown("option", tostring(key), known)), 0)
    end
  end
  local root_base, own = base, {}
  for k, v in pairs(description.options or {}) do own[k] = v end
  for k, v in pairs(options) do
    if k ~= "root" then own[k] = v end
  end
  if description.prepare then
    local more = description.prepare(own)
    if more.root then root_base = "" end
    for _, k in ipairs(KNOWN) do
      if more[k] == nil then more[k] = description[k] end
    end
    description = more
    check.fields(description.name, description, KINDS, false)
  end
  local roots = place.roots(description, root_base, options)
  local names, labels = description.classes, description.labels
  if labels ~= nil and labels ~= "number" and labels ~= "name" then
    error(("%s: labels is %s, expected \"number\" or \"name\""):format(description.name, tostring(labels)), 0)
  end
  if type(names) == "string" then names = lists.classes(place.find(names, base, roots)) end
  local splits = description.splits and checked_lists(description)
  if not names and splits then
    local numbers
    names, numbers = readers.classes(splits, base, roots)
    if numbers then labels = "number" end
  end
  if not names or #names == 0 then error(("%s: no classes are named"):format(description.name), 0) end
  local classes = class_table(names, labels)
  local items, listed_as = {}, {}
  if description.items then
    for i, given in ipairs(description.items) do
      local item = {} -- the caller's table stays as it is
      for k, v in pairs(check.option(description.name, "item " .. i, given, check.table, false)) do item[k] = v end
      items[i] = item
      if type(item.path) ~= "string" or not classes[item.label] then
        error(("%s: item %d has path %s and label %s, expected a path and a label from 1 to %d"):format(description.name, i,
          tostring(item.path), tostring(item.label), #classes), 0)
      end
    end
  elseif splits then
    items, listed_as = read_splits(description, splits, base, roots, classes)
  else
    error(("%s: the description has neither splits nor items"):format(description.name), 0)
  end
  if #items == 0 then error(("%s: there is no clip in this dataset"):format(description.name), 0) end
  if description.metadata then
    readers.add_metadata(place.find(description.metadata, base, roots), items, listed_as, description.types or {}, roots[1] or "")
  end
  for _, item in ipairs(items) do
    if description.fields then description.fields(item) end
    item.path = place.locate(roots, item.path)
  end
  check_overlap(description, items)
  check_twice(description, items)
  local dataset = setmetatable({ name = description.name, classes = classes, root = roots[1], roots = roots, items = items,
    description = description }, Dataset)
  return description.finish and description.finish(dataset, own) or dataset
end

local function is_file(path) return mode(path) == "file" end

-- What folders of splits are called, in any case.
local SPLIT_FOLDERS = { train = "train", training = "train", val = "val", valid = "val", validation = "val", test = "test",
  testing = "test" }

--- A folder of own videos: FOLDER/{train,val,test}/CLASS/..., or FOLDER/CLASS/... as one split "all". What else lies beside
-- splits is not looked at, unless its name is nearly that of one.
local function describe_folder(path)
  local splits, others = {}, {}
  for _, folder in ipairs(lists.folder(path)) do
    if mode(path .. "/" .. folder) == "directory" then
      local name = SPLIT_FOLDERS[folder:lower()]
      if name and splits[name] then
        error(("%s: the folders %s and %s are both '%s'"):format(path, splits[name].folder, folder, name), 0)
      end
      if name then splits[name] = { format = "folders", folder = folder } else others[#others + 1] = folder end
    end
  end
  for _, folder in ipairs(next(splits) and others or {}) do
    local near = suggest.nearest(folder, sorted_keys(SPLIT_FOLDERS))
    if near then error(("%s: %s"):format(path, suggest.unknown("split folder", folder, { near })), 0) end
  end
  if not next(splits) then splits.all = { format = "folders" } end
  return { name = path:match "([^/]+)/*$" or path, root = "", splits = splits }
end

--- A list by itself, `path label` lines or CSV: one split "all", paths from the list's folder.
local function describe_list(path)
  local folder, name = path:match "^(.*)/([^/]*)$"
  return { name = (name or path):gsub("%.%w+$", ""), root = "", splits = { all = { file = name or path,
    format = path:lower():find "%.csv$" and "csv" or "list" } } }, folder or ""
end

--- "data/arid.lua?split=2&root=/data/ARID" -> "data/arid.lua", { split = 2, root = "/data/ARID" }. Numbers, true and false are
-- taken as such, but for a root. A name that has the question mark itself is a name.
function open.parse(text)
  local path, rest = text:match "^(.-)%?(.*)$"
  if not path or mode(text) then return text, {} end
  local options = {}
  for pair in rest:gmatch "[^&]+" do
    local key, value = pair:match "^([%w_]+)=(.*)$"
    if not key then error(("%s: '%s' is not an option of the form key=value"):format(text, pair), 0) end
    options[key] = open.value(key, value)
  end
  return path, options
end

--- The value of an option as it is written on a command line.
function open.value(key, text)
  if key == "root" then return text end
  if text == "true" or text == "false" then return text == "true" end
  return math.tointeger(tonumber(text)) or tonumber(text) or text
end

--- Opens a dataset.
-- @param what a description's file name (NAME.lua, as given, or below the program's own folder), a folder of class folders, a list
--   (any other file), or a description table. Options may stand behind a file's name, as data.parse has them
-- @param options what the description lets one choose (e.g. { size = "small" }), and root = folder to use instead of the
--   description's
-- @return dataset: name, classes (names; classes.index finds one), items (list of { path, label from 1, split, fields ... }),
--   #dataset, split(name), where{...}, count(field), class(name), splits(), deal{...}, save_lists(folder)
-- Errors name the description or list, the line and what was expected.
function open.dataset(what, options)
  options = check.option("data.open", "options", check.default(options, {}), check.table)
  if type(what) == "table" then
    local copy = {}
    for k, v in pairs(what) do copy[k] = v end
    return build(copy, "", options)
  end
  if type(what) ~= "string" then error(("data.open: got a %s, expected a path or a table"):format(type(what)), 2) end
  local given
  what, given = open.parse(what)
  options = check.filled(options, given)
  if mode(what) == "directory" then return build(describe_folder(what), what, options) end
  local path = what
  if not is_file(path) and what:sub(1, 1) ~= "/" then path = dgamlua.root .. "/" .. what end
  if not is_file(path) then error(("%s: there is no such dataset description or folder"):format(what), 0) end
  if not path:find "%.lua$" then
    local description, folder = describe_list(path)
    return build(description, folder, options)
  end
  local chunk, why = loadfile(path)
  if not chunk then error(("%s is not a dataset description: %s"):format(path, why), 0) end
  local description = chunk()
  if type(description) ~= "table" then
    error(("%s returned a %s, expected a table that describes a dataset"):format(path, type(description)), 0)
  end
  description.name = description.name or path:match "([^/]+)%.lua$" or path
  return build(description, path:match "^(.*)/" or "", options)
end

return open
