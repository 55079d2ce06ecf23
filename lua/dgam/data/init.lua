--- dgam.data: datasets of labelled videos.
--
--     local data = require "dgam.data"
--     local d = data.open "data/ellar.lua"
--     print(d, d.classes[1], #d)
--     local dark = d:where { light = "ELL", camera = { "brio", "c920" } }
--     for batch in data.loader(dark, { split = "train", batch = 8, train = true }):epoch(1) do
--       batch.clip, batch.label, batch.index     -- uint8 [N,3,T,H,W], int64 [N], int64 [N] (positions in dark.items)
--     end
--
-- A dataset is opened from a description (a Lua file that returns a table, or the table itself), from a folder of class
-- folders, or from a list of `path label` lines. A description has
--   name       for messages
--   classes    list of names, or a file with one a line. May be left out for class folders, and for lists whose paths have the
--              class as the last folder
--   labels     "number" or "name": what a whole number in a list is, where classes are named by numbers; "number" where the
--              class names come from the paths
--   root       folder that paths in the lists start from, or a list of folders that are tried in turn; relative ones start
--              at the description's folder (at the current one for a table)
--   splits     { train = LIST, val = LIST, test = LIST }; a LIST is a file name, or { file =, format =, ... }:
--                format = "list"     lines `path label`; labels count from 0, or are class names (the default)
--                format = "numbered" lines `number label path` with tabs, as ARID has them
--                format = "frames"   lines `folder frames label`; a folder of pictures is read as a video
--                format = "csv"      columns path and label, others become fields of the item, but for `split`: the split of
--                                    that item, unless empty; `columns` names them when the file has no header,
--                                    `item = function(row)` may return { path =, label = } instead
--                format = "folders"  folder/CLASS/**/video; `folder` is taken below every root. A folder of pictures is a video
--   items      instead of splits: list of { path =, label = (from 1), split =, ... }
--   metadata   CSV file with a column path and others that become fields of the item with that path
--   fields     function(item): sets camera, light, actor ... of an item from its path; a field is what `where` filters by
--   options    names and defaults of what data.open's second argument may hold, besides root
--   prepare    function(options): returns a table of any of the above, e.g. after making the files; a relative root then starts
--              at the current folder
--   finish     function(dataset, options): returns the dataset that is handed out, e.g. with some of train held out
--   File names of lists, classes and metadata start at the description's folder, or else at the root.
--   allow_overlap   true, or a list such as { "val/test" }: lists that may name the same file
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local paths = require "dgam.paths"
local lists = require "dgam.data.lists"
local check = require "dgam.check"
local suggest = require "dgam.suggest"
local sorted_keys = require "dgam.keys"

local data = {}

local function mode(path) return lfs.attributes(path, "mode") end

--- Batches of decoded clips; see dgam.data.loader.
function data.loader(dataset, options) return require "dgam.data.loader".new(dataset, options) end

-- --- a dataset ---

local function overlap_allowed(description, a, b)
  local allowed = description.allow_overlap
  if type(allowed) ~= "table" then return allowed == true end
  for _, pair in ipairs(allowed) do
    if pair == a .. "/" .. b or pair == b .. "/" .. a then return true end
  end
  return false
end

local Dataset = {}
Dataset.__index = Dataset

local function subset(d, items, note)
  return setmetatable({ name = note and ("%s (%s)"):format(d.name, note) or d.name, classes = d.classes, root = d.root, items = items,
    description = d.description }, Dataset)
end

function Dataset:__len() return #self.items end

function Dataset:__tostring()
  local counts, parts = self:count "split", {}
  for _, k in ipairs(sorted_keys(counts)) do parts[#parts + 1] = ("%s %d"):format(k, counts[k]) end
  return ("%s: %d clips, %d classes; %s"):format(self.name, #self.items, #self.classes, table.concat(parts, ", "))
end

--- Names of the splits that hold a clip.
function Dataset:splits() return sorted_keys(self:count "split") end

--- The clips of one split, as a dataset. An unknown name is an error.
function Dataset:split(name)
  local items = {}
  for _, item in ipairs(self.items) do
    if item.split == name then items[#items + 1] = item end
  end
  if #items == 0 then
    local known = self:splits()
    if #known == 0 then error(("%s has no clips"):format(self.name), 2) end
    error(("%s: %s"):format(self.name, suggest.unknown("split", tostring(name), known)), 2)
  end
  return subset(self, items, name)
end

local function matches(value, wanted)
  if type(wanted) == "function" then return wanted(value) end
  if type(wanted) ~= "table" then return value == wanted end
  for _, w in ipairs(wanted) do
    if value == w then return true end
  end
  return false
end

--- The clips whose fields are as asked, as a dataset: where { light = "ELL", camera = { "brio", "c920" }, lux = function(v) return
-- v < 0.1 end }. A field or value that no clip has is an error.
function Dataset:where(wanted)
  for field, w in pairs(wanted) do
    local counts = self:count(field)
    if not next(counts) then
      local known = {}
      for _, item in ipairs(self.items) do
        for k in pairs(item) do known[k] = true end
      end
      error(("%s: %s"):format(self.name, suggest.unknown("field", tostring(field), sorted_keys(known))), 2)
    end
    for _, value in ipairs(type(w) == "table" and w or type(w) ~= "function" and { w } or {}) do
      if not counts[value] then
        local known = {}
        for k in pairs(counts) do known[#known + 1] = tostring(k) end
        table.sort(known)
        error(("%s: %s"):format(self.name, suggest.unknown(field, tostring(value), known)), 2)
      end
    end
  end
  local items, notes = {}, {}
  for _, item in ipairs(self.items) do
    local all = true
    for field, w in pairs(wanted) do all = all and matches(item[field], w) end
    if all then items[#items + 1] = item end
  end
  for _, field in ipairs(sorted_keys(wanted)) do
    local w = wanted[field]
    notes[#notes + 1] = ("%s = %s"):format(field, type(w) == "table" and table.concat(w, "/")
      or type(w) == "function" and "by a function" or tostring(w)) -- which clips it chose is in the fingerprint
  end
  return subset(self, items, table.concat(notes, ", "))
end

--- How many clips have each value of a field: { Brio = 120, ... }.
function Dataset:count(field)
  local counts = {}
  for _, item in ipairs(self.items) do
    local v = item[field]
    if v ~= nil then counts[v] = (counts[v] or 0) + 1 end
  end
  return counts
end

--- One dataset for each value of a field: a list of { value =, data = }, sorted by value; clips without the field are left out.
function Dataset:group_by(field)
  local groups = {}
  for _, value in ipairs(sorted_keys(self:count(field))) do
    groups[#groups + 1] = { value = value, data = self:where { [field] = value } }
  end
  return groups
end

--- Whether two splits may hold the same file: what the description's allow_overlap says.
function Dataset:may_overlap(a, b) return overlap_allowed(self.description, tostring(a or "all"), tostring(b or "all")) end

--- A hash of what the dataset consists of: name, classes, the folder's last component, and path, label and split of every
-- clip. The contents of the files do not go in.
function Dataset:fingerprint()
  local lines = { self.name, tostring(self.root):match "([^/]*)/*$", table.concat(self.classes, ",") }
  for _, item in ipairs(self.items) do
    lines[#lines + 1] = ("%s\t%d\t%s"):format(item.path, item.label, tostring(item.split))
  end
  return fs.sha256(table.concat(lines, "\n")):sub(1, 16)
end

--- Position of a class name, from 1. An unknown one is an error with a suggestion.
function Dataset:class(name)
  return self.classes.index[name] or error(("%s: %s"):format(self.name, suggest.unknown("class", tostring(name), self.classes)), 2)
end

--- Deals the clips anew to splits, for datasets that come without lists.
-- @param options test = 0.2, val = 0.08 (shares), seed = 1, group = field whose values must not be torn apart (e.g. "actor");
--   without it every class is dealt by the same shares; from = "train": only the clips of that split are dealt
-- @return a dataset; save_lists keeps it for the next time
function Dataset:deal(options)
  check.names("deal", options or {}, { "test", "val", "seed", "group", "from" })
  local o = check.filled(options, { test = 0.2, val = 0.08, seed = 1 })
  check.fields("deal", o, { test = check.number(0, 1), val = check.number(0, 1), seed = check.whole(),
    group = check.optional(check.text), from = check.optional(check.text) })
  if o.test + o.val >= 1 then
    error(("deal: test %g and val %g, expected shares that leave something to train on"):format(o.test, o.val), 2)
  end
  local rng = require "dgam.rng"
  local dealt = o.from and self:split(o.from).items or self.items
  local bins = {}
  for _, item in ipairs(dealt) do
    local key = item.label
    if o.group then key = item[o.group] end
    if key == nil then error(("deal: %s has no field '%s'"):format(item.path, o.group), 2) end
    bins[key] = bins[key] or {}
    table.insert(bins[key], item)
  end
  local split_of = {}
  local keys = {}
  for k in pairs(bins) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  if o.group then -- whole groups, in random order, until a split has its share
    local order = rng.permutation(#keys, o.seed, 1)
    local need = { { "test", o.test * #dealt }, { "val", o.val * #dealt } }
    for _, k in ipairs(order) do
      local bin = bins[keys[k]]
      local name = "train"
      for _, n in ipairs(need) do
        if name == "train" and n[2] >= #bin / 2 then name, n[2] = n[1], n[2] - #bin end
      end
      for _, item in ipairs(bin) do split_of[item] = name end
    end
  else
    for b, k in ipairs(keys) do
      local bin = bins[k]
      local order = rng.permutation(#bin, o.seed, 2, b)
      local tests, vals = math.floor(o.test * #bin + 0.5), math.floor(o.val * #bin + 0.5)
      for i, at in ipairs(order) do
        split_of[bin[at]] = i <= tests and "test" or i <= tests + vals and "val" or "train"
      end
    end
  end
  local items = {}
  for i, item in ipairs(self.items) do
    items[i] = {}
    for k, v in pairs(item) do items[i][k] = v end
    items[i].split = split_of[item] or item.split
  end
  return subset(self, items, "dealt")
end

local OWN_FIELDS = { path = true, label = true, split = true }

--- A path as it is to stand in a saved list: from the root where it lies below it, else absolute.
local function saved_path(path, root)
  local saved = path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path
  if root ~= "" and path:sub(1, #root + 1) == root .. "/" then saved = path:sub(#root + 2) end
  if path:find "[\r\n]" then error(("%q: a name with a line end cannot stand in a list"):format(path), 0) end
  if saved:find "^%s" or saved:find "%s$" then
    error(("%q: a name with white space at its edge cannot stand in a list"):format(saved), 0)
  end
  return saved
end

local function cell(v)
  if v == nil then return "" end
  local text = tostring(v)
  return text:find '[,"\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
end

--- The line of a saved description that says which splits may overlap; "" if none.
local function overlap_line(allowed)
  if type(allowed) ~= "table" then return allowed and "  allow_overlap = true,\n" or "" end
  local pairs_of = {}
  for i, pair in ipairs(allowed) do pairs_of[i] = ("%q"):format(pair) end
  return ("  allow_overlap = { %s },\n"):format(table.concat(pairs_of, ", "))
end

--- Writes the dataset to a folder: SPLIT.txt with `path label` lines (labels from 0) for every split, metadata.csv if the clips
-- have other fields, and dataset.lua, the description (it names the classes) with which data.open reads it back.
function Dataset:save_lists(folder)
  local root = mode(self.root or "") == "directory" and self.root or "" -- of several roots the first may be missing
  local below = root
  if root ~= "" and root:sub(1, 1) ~= "/" then root = lfs.currentdir() .. "/" .. root end
  local text, fields = {}, {}
  for _, item in ipairs(self.items) do
    local name = item.split or "all"
    text[name] = text[name] or {}
    table.insert(text[name], ("%s %d\n"):format(saved_path(item.path, below), item.label - 1))
    for k, v in pairs(item) do
      if not OWN_FIELDS[k] and type(k) == "string" and type(v) ~= "table" then fields[k] = true end
    end
  end
  paths.make_folder(folder)
  local splits = {}
  for _, name in ipairs(sorted_keys(text)) do
    fs.write(("%s/%s.txt"):format(folder, name), table.concat(text[name]))
    splits[#splits + 1] = ("    [%q] = %q,\n"):format(name, name .. ".txt")
  end
  local classes = {}
  for i, name in ipairs(self.classes) do classes[i] = ("    %q,\n"):format(name) end
  local names = sorted_keys(fields)
  if #names > 0 then
    local rows = { "path," .. table.concat(names, ",") .. "\n" }
    for _, item in ipairs(self.items) do
      local cells = { cell(saved_path(item.path, below)) }
      for i, k in ipairs(names) do cells[i + 1] = cell(item[k]) end
      rows[#rows + 1] = table.concat(cells, ",") .. "\n"
    end
    fs.write(folder .. "/metadata.csv", table.concat(rows))
  end
  fs.write(folder .. "/dataset.lua", ([[
return {
  name = %q,
  root = %q,
  classes = {
%s  },
  labels = "number",
  splits = {
%s  },
%s%s}
]]):format(self.name, root, table.concat(classes), table.concat(splits), overlap_line(self.description.allow_overlap),
    #names > 0 and '  metadata = "metadata.csv",\n' or ""))
end

-- --- opening ---

local function absolute(path, base)
  if path:sub(1, 1) == "/" then return path end
  return base == "" and path or base .. "/" .. path
end

local function class_table(names, labels)
  local classes = { index = {}, labels = labels }
  for i, name in ipairs(names) do
    if classes.index[name] then error(("class '%s' is named twice"):format(name), 0) end
    classes[i], classes.index[name] = name, i
  end
  return classes
end

--- Folders that paths start from, as a list of absolute names or names from the current folder.
local function roots_of(description, base, options)
  local root = options.root or description.root or ""
  if type(root) ~= "table" then root = { root } end
  local out = {}
  for i, r in ipairs(root) do out[i] = r == "" and base or absolute(r, options.root and "" or base) end
  local missing = {}
  for _, r in ipairs(out) do
    if r ~= "" and mode(r) ~= "directory" then missing[#missing + 1] = r end
  end
  if #missing == #out and #out > 0 and out[1] ~= "" then
    error(("%s: the folder %s does not exist; give its place as data.open(..., { root = FOLDER })"):format(description.name,
      table.concat(missing, ", ")), 0)
  end
  return out
end

--- Finds a path below the roots. With one root nothing is asked of the disk, so that lists of a million lines open fast.
local function locate(roots, path)
  if path:sub(1, 1) == "/" then return path end
  if #roots > 1 then
    for _, r in ipairs(roots) do
      local p = absolute(path, r)
      if mode(p) then return p end
    end
  end
  return absolute(path, roots[1] or "")
end

--- The folders that a list of class folders speaks of: `folder` below each root that has it. At least one.
local function places(roots, folder)
  local found = {}
  for _, r in ipairs(roots) do
    local p = folder and absolute(folder, r) or r
    if mode(p) == "directory" then found[#found + 1] = p end
  end
  return found[1] and found or { folder and absolute(folder, roots[1] or "") or roots[1] } -- reading that says what is missing
end

local readers = {}

function readers.list(list, classes, add)
  lists.annotations(list.file, function(path, word, line)
    add({ path = path, label = lists.label(classes, word, list.file, line) }, line)
  end)
end

function readers.numbered(list, classes, add)
  lists.numbered(list.file, function(path, word, line)
    add({ path = path, label = lists.label(classes, word, list.file, line) }, line)
  end)
end

function readers.frames(list, classes, add)
  lists.frame_folders(list.file, function(path, frames, word, line)
    add({ path = path, frames = frames, label = lists.label(classes, word, list.file, line) }, line)
  end)
end

function readers.csv(list, classes, add)
  lists.csv(list.file, function(row, line)
    local item = list.item and list.item(row) or row
    if not item.path then lists.fail(list.file, line, "there is no column 'path'") end
    if not item.label then lists.fail(list.file, line, "there is no column 'label'") end
    item.label = math.type(item.label) == "integer" and item.label or lists.label(classes, item.label, list.file, line)
    for name, value in pairs(item) do
      if name ~= "path" and name ~= "split" and type(value) == "string" then item[name] = lists.value(value) end
    end
    add(item, line)
  end, list.columns)
end

function readers.folders(list, classes, add, roots)
  local below = list.folder and list.folder .. "/" or ""
  for _, root in ipairs(places(roots, list.folder)) do
    for _, class in ipairs(lists.folder(root)) do
      if mode(root .. "/" .. class) == "directory" then
        local label = classes.index[class]
        if not label then error(("%s/%s: %s"):format(root, class, suggest.unknown("class", class, classes)), 0) end
        lists.videos(root, function(path)
          add({ path = #roots > 1 and root .. "/" .. path or below .. path, label = label }, 0)
        end, class)
      end
    end
  end
end

-- How to read only paths and label words of a list, where classes are told by the folders in the paths.
local paths_of = {
  list = lists.annotations,
  numbered = lists.numbered,
  frames = function(file, f) lists.frame_folders(file, function(path, _, word, line) f(path, word, line) end) end,
}

--- Where a list, class file or metadata file is: beside the description, or below a root.
local function find_file(name, base, roots)
  local path = absolute(name, base)
  if not mode(path) and name:sub(1, 1) ~= "/" then
    for _, r in ipairs(roots) do
      if mode(absolute(name, r)) then return absolute(name, r) end
    end
  end
  return path
end

--- Class names for lists whose labels are numbers and whose paths end in CLASS/file. nil if there are other formats.
local function classes_from_paths(splits, base, roots)
  local names, told = {}, {}
  for _, split in ipairs(sorted_keys(splits)) do
    local list = splits[split]
    if type(list) == "string" then list = { file = list } end
    local read = paths_of[list.format or "list"]
    if not read or not list.file then return nil end
    local file = find_file(list.file, base, roots)
    read(file, function(path, word, line)
      local number, class = math.tointeger(tonumber(word)), path:match "([^/]+)/[^/]+$"
      if not number or number < 0 or not class then
        lists.fail(file, line, "no class names are given, so labels must be numbers and paths CLASS/name; this is '%s %s'", path, word)
      end
      if names[number + 1] and names[number + 1] ~= class then
        lists.fail(file, line, "label %d is '%s' here and '%s' at %s", number, class, names[number + 1], told[number + 1])
      end
      if not names[number + 1] then names[number + 1], told[number + 1] = class, ("%s:%d"):format(file, line) end
    end)
  end
  local most = 0
  for label in pairs(names) do most = math.max(most, label) end
  for label = 1, most do
    if not names[label] then error(("no clip has label %d, so its class has no name; set classes"):format(label - 1), 0) end
  end
  return names
end

--- Class names that CSV lists use as labels, sorted. nil if there are other formats, or numbers.
local function classes_from_labels(splits, base, roots)
  local names, seen = {}, {}
  for _, list in pairs(splits) do
    if type(list) ~= "table" or list.format ~= "csv" or list.item or not list.file then return nil end
    lists.csv(find_file(list.file, base, roots), function(row)
      local name = row.label
      if name and not seen[name] then names[#names + 1], seen[name] = name, true end
    end, list.columns)
  end
  for _, name in ipairs(names) do
    if tonumber(name) then return nil end
  end
  table.sort(names)
  return names
end

--- Class names from folder names, for descriptions that leave them out. nil if there are other formats.
local function classes_from_folders(splits, roots)
  local names, seen, place = {}, {}, nil
  for _, list in pairs(splits) do
    if type(list) ~= "table" or list.format ~= "folders" then return nil end
    for _, root in ipairs(places(roots, list.folder)) do
      place = root
      for _, class in ipairs(lists.folder(root)) do
        if not seen[class] and mode(root .. "/" .. class) == "directory" then names[#names + 1], seen[class] = class, true end
      end
    end
  end
  if place and #names == 0 then error(("%s: there is no class folder, expected CLASS/video below it"):format(place), 0) end
  table.sort(names)
  return names
end

--- "./a//b/../c" -> "a/c", so that a file has one name.
local function plain_path(path, root)
  if path:find("//", 1, true) or path:find("./", 1, true) or path:find "/%.?%.?$" then
    local parts = {}
    for part in path:gmatch "[^/]+" do
      if part == ".." and parts[1] and parts[#parts] ~= ".." then
        parts[#parts] = nil
      elseif part ~= "." then
        parts[#parts + 1] = part
      end
    end
    path = (path:sub(1, 1) == "/" and "/" or "") .. table.concat(parts, "/")
  end
  if root ~= "" and path:sub(1, #root + 1) == root .. "/" then return path:sub(#root + 2) end
  return path
end

local LIST_OPTIONS = { "file", "format", "columns", "item", "folder" }

local SPLIT_ORDER = { train = 1, val = 2, test = 3 }

local function read_splits(description, base, roots, classes)
  local names = sorted_keys(description.splits)
  table.sort(names, function(a, b)
    local p, q = SPLIT_ORDER[a] or 9, SPLIT_ORDER[b] or 9
    return p < q or (p == q and a < b)
  end)
  local items, where = {}, {}
  for _, name in ipairs(names) do
    local list = description.splits[name]
    if type(list) == "string" then list = { file = list } end
    check.names(("%s: split '%s'"):format(description.name, name), list, LIST_OPTIONS)
    list = setmetatable({ file = list.file and find_file(list.file, base, roots) }, { __index = list })
    local reader = readers[list.format or "list"]
    if not reader then
      error(("%s: %s"):format(description.name, suggest.unknown("list format", tostring(list.format), sorted_keys(readers))), 0)
    end
    if not list.file and reader ~= readers.folders then error(("%s: split '%s' names no file"):format(description.name, name), 0) end
    local before = #items
    reader(list, classes, function(item, line)
      item.path = plain_path(item.path, roots[1] or "")
      local at, split = where[item.path], item.split ~= "" and item.split or name
      if at and at.split == split then
        lists.fail(list.file or list.folder or "folder", line, "%s is named twice", item.path)
      elseif at and not overlap_allowed(description, at.split, split) then
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
  return items
end

--- Adds the columns of a CSV file to the items whose path it names.
local function add_metadata(file, items)
  local by_path = {} -- lists of items: splits may overlap
  for _, item in ipairs(items) do
    by_path[item.path] = by_path[item.path] or {}
    table.insert(by_path[item.path], item)
  end
  lists.csv(file, function(row, line)
    if not row.path then lists.fail(file, line, "there is no column 'path'") end
    for _, item in ipairs(by_path[row.path] or {}) do
      for name, value in pairs(row) do
        if item[name] == nil and value ~= "" then item[name] = lists.value(value) end
      end
    end
  end)
end

local KNOWN = { "name", "classes", "root", "splits", "items", "metadata", "fields", "options", "prepare", "finish", "allow_overlap",
  "labels", "about" }

--- A dataset from a description table.
local function build(description, base, options)
  description.name = description.name or "dataset"
  check.names(description.name, description, KNOWN)
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
  end
  local roots = roots_of(description, root_base, options)
  local names, labels = description.classes, description.labels
  if labels ~= nil and labels ~= "number" and labels ~= "name" then
    error(("%s: labels is %s, expected \"number\" or \"name\""):format(description.name, tostring(labels)), 0)
  end
  if type(names) == "string" then names = lists.classes(find_file(names, base, roots)) end
  if not names and description.splits then
    names = classes_from_folders(description.splits, roots) or classes_from_labels(description.splits, base, roots)
    if not names then names, labels = classes_from_paths(description.splits, base, roots), "number" end
  end
  if not names or #names == 0 then error(("%s: no classes are named"):format(description.name), 0) end
  local classes = class_table(names, labels)
  local items = description.items
  if items then
    local split_of = {}
    for i, item in ipairs(items) do
      if type(item.path) ~= "string" or not classes[item.label] then
        error(("%s: item %d has path %s and label %s, expected a path and a label from 1 to %d"):format(description.name, i,
          tostring(item.path), tostring(item.label), #classes), 0)
      end
      local before, split = split_of[item.path], tostring(item.split or "all")
      if before and before ~= split and not overlap_allowed(description, before, split) then
        error(("%s: %s is in the splits '%s' and '%s'; set allow_overlap if that is meant"):format(description.name, item.path, before,
          split), 0)
      end
      split_of[item.path] = split
    end
  elseif description.splits then
    items = read_splits(description, base, roots, classes)
  else
    error(("%s: the description has neither splits nor items"):format(description.name), 0)
  end
  if #items == 0 then error(("%s: there is no clip in this dataset"):format(description.name), 0) end
  if description.metadata then add_metadata(find_file(description.metadata, base, roots), items) end
  for _, item in ipairs(items) do
    if description.fields then description.fields(item) end
    item.path = locate(roots, item.path)
  end
  local dataset = setmetatable({ name = description.name, classes = classes, root = roots[1], items = items, description = description },
    Dataset)
  return description.finish and description.finish(dataset, own) or dataset
end

local function is_file(path) return mode(path) == "file" end

--- A folder of own videos: FOLDER/{train,val,test}/CLASS/..., or FOLDER/CLASS/... as one split "all".
local function describe_folder(path)
  local splits = {}
  for _, name in ipairs { "train", "val", "test" } do
    if mode(path .. "/" .. name) == "directory" then splits[name] = { format = "folders", folder = name } end
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

--- Opens a dataset.
-- @param what a description's file name (NAME.lua, as given, or below the program's own folder), a folder of class folders, a list
--   (any other file), or a description table
-- @param options what the description lets one choose (e.g. { size = "small" }), and root = folder to use instead of the
--   description's
-- @return dataset: name, classes (names; classes.index finds one), items (list of { path, label from 1, split, fields ... }),
--   #dataset, split(name), where{...}, count(field), class(name), splits(), deal{...}, save_lists(folder)
-- Errors name the description or list, the line and what was expected.
function data.open(what, options)
  options = options or {}
  if type(what) == "table" then
    local copy = {}
    for k, v in pairs(what) do copy[k] = v end
    return build(copy, "", options)
  end
  if type(what) ~= "string" then error(("data.open: got a %s, expected a path or a table"):format(type(what)), 2) end
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

return data
