--- dgam.data: datasets of labelled videos.
--
--     local data = require("dgam").data
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
--                                    `item = function(row)` may return { path =, label = } instead: a class name, or its
--                                    number from 1; nil leaves the row out, nil and a message is an error
--                format = "folders"  CLASS/**/video. A folder of pictures is a video
--              `folder` is the folder below every root from which paths, or the class folders, start
--   items      instead of splits: list of { path =, label = (from 1), split =, ... }
--   metadata   CSV file with a column path and others that become fields of the item with that path
--   types      { actor = "text" }: what such a column holds, "text", "number" or "boolean"; else what looks like a number is one
--   fields     function(item): sets camera, light, actor ... of an item from its path; a field is what `where` filters by
--   options    names and defaults of what data.open's second argument may hold, besides root
--   prepare    function(options): returns a table of any of the above, e.g. after making the files; a relative root then starts
--              at the current folder
--   finish     function(dataset, options): returns the dataset that is handed out, e.g. with some of train held out
--   File names of lists, classes and metadata start at the description's folder, or else at the root.
--   allow_overlap   true, or a list such as { "val/test" }: lists that may name the same file
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local paths = require "util.paths"
local lists = require "dgam.data.lists"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"

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
  return setmetatable({ name = note and ("%s (%s)"):format(d.name, note) or d.name, classes = d.classes, root = d.root,
    roots = d.roots, items = items, description = d.description }, Dataset)
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
  if value == nil then return false end
  if type(wanted) == "function" then return wanted(value) end
  if type(wanted) ~= "table" then return value == wanted end
  for _, w in ipairs(wanted) do
    if value == w then return true end
  end
  return false
end

--- The clips whose fields are as asked, as a dataset: where { light = "ELL", camera = { "brio", "c920" }, lux = function(v) return
-- v < 0.1 end }; one without the field is not among them. A field or value that no clip has is an error.
function Dataset:where(wanted)
  check.option(self.name, "where", wanted, check.table)
  for field, w in pairs(wanted) do
    local counts = self:counts_of(field)
    for _, value in ipairs(type(w) == "table" and w or type(w) ~= "function" and { w } or {}) do
      if not counts[value] then
        local known = {}
        for k in pairs(counts) do
          known[#known + 1] = tostring(k)
          if tostring(k) == tostring(value) then
            error(("%s: %s is the %s %s, not the %s"):format(self.name, field, type(k), check.show(k), type(value)), 2)
          end
        end
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

--- The same; a field that no clip has is an error.
function Dataset:counts_of(field)
  local counts = self:count(field)
  if next(counts) then return counts end
  local known = {}
  for _, item in ipairs(self.items) do
    for k in pairs(item) do known[k] = true end
  end
  error(("%s: %s"):format(self.name, suggest.unknown("field", tostring(field), sorted_keys(known))), 3)
end

--- One dataset for each value of a field: a list of { value =, data = }, sorted by value; clips without the field are left out.
-- A field that no clip has is an error.
function Dataset:group_by(field)
  local of_value, groups = {}, {}
  for i, value in ipairs(sorted_keys(self:counts_of(field))) do
    of_value[value] = {}
    groups[i] = { value = value, data = subset(self, of_value[value], ("%s = %s"):format(field, tostring(value))) }
  end
  for _, item in ipairs(self.items) do
    if item[field] ~= nil then table.insert(of_value[item[field]], item) end
  end
  return groups
end

--- Whether two splits may hold the same file: what the description's allow_overlap says.
function Dataset:may_overlap(a, b) return overlap_allowed(self.description, tostring(a or "all"), tostring(b or "all")) end

--- A hash of what the dataset consists of: name, classes, the folder's last component, and path, label, split and size in bytes
-- of every clip, so that other videos under the same names count as others, and so does one that is missing. Of a folder of
-- pictures the time of its last change stands for the size.
-- @param names_only true: sizes do not count, and no file is asked for
function Dataset:fingerprint(names_only)
  local lines = { self.name, tostring(self.root):match "([^/]*)/*$", table.concat(self.classes, ",") }
  for _, item in ipairs(self.items) do
    local file = not names_only and lfs.attributes(item.path) or {}
    lines[#lines + 1] = ("%s\t%d\t%s\t%s"):format(item.path, item.label, tostring(item.split),
      file.mode == "directory" and file.modification or file.size or "missing")
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
-- Errors: nothing is left to train on, or for a split whose share was given.
function Dataset:deal(options)
  check.names("deal", options or {}, { "test", "val", "seed", "group", "from" })
  local o = check.filled(options, { test = 0.2, val = 0.08, seed = 1 })
  check.fields("deal", o, { test = check.number(0, 1), val = check.number(0, 1), seed = check.whole(),
    group = check.optional(check.text), from = check.optional(check.text) })
  if o.test + o.val >= 1 then
    error(("deal: test %g and val %g, expected shares that leave something to train on"):format(o.test, o.val), 2)
  end
  local rng = require "dgam.kernels.rng"
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
  local got = { train = 0, val = 0, test = 0 }
  for _, split in pairs(split_of) do got[split] = got[split] + 1 end
  for _, name in ipairs { "train", "val", "test" } do
    if got[name] == 0 and (name == "train" or (options and options[name] or 0) > 0) then
      error(("deal: of %d clips in %d %s none is left for %s"):format(#dealt, #keys, o.group and "groups" or "classes",
        name == "train" and "train" or ("%s, whose share is %g"):format(name, o[name])), 2)
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

local SAVED = { string = true, number = true, boolean = true } -- fields of these types go into a metadata file
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
  local text = math.type(v) == "float" and ("%.17g"):format(v) or tostring(v)
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
  for i, item in ipairs(self.items) do
    local name = item.split or "all"
    text[name] = text[name] or {}
    table.insert(text[name], ("%s %d\n"):format(saved_path(item.path, below), item.label - 1))
    for k, v in pairs(item) do
      if not OWN_FIELDS[k] and type(k) == "string" and SAVED[type(v)] then
        if fields[k] and fields[k] ~= type(v) then
          error(("save_lists: %s is a %s for some clips and a %s for clip %d"):format(k, fields[k], type(v), i), 0)
        end
        fields[k] = type(v)
      end
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
  local names, types = sorted_keys(fields), {}
  for i, k in ipairs(names) do types[i] = ("[%q] = %q"):format(k, fields[k] == "string" and "text" or fields[k]) end
  if #names > 0 then
    local rows, written = { "path," .. table.concat(names, ",") .. "\n" }, {}
    for _, item in ipairs(self.items) do
      local cells = { cell(saved_path(item.path, below)) }
      for i, k in ipairs(names) do cells[i + 1] = cell(item[k]) end
      local row = table.concat(cells, ",") .. "\n"
      if not written[row] then rows[#rows + 1], written[row] = row, true end -- splits may overlap
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
    #names > 0 and ('  metadata = "metadata.csv",\n  types = { %s },\n'):format(table.concat(types, ", ")) or ""))
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

local FOLDERS = { "a folder or a list of folders", function(v)
  if type(v) ~= "table" then return type(v) == "string" end
  for _, x in ipairs(v) do
    if type(x) ~= "string" then return false end
  end
  return #v > 0
end }

--- Folders that paths start from, as a list of absolute names or names from the current folder.
local function roots_of(description, base, options)
  local root = check.option(description.name, "root", check.default(options.root, check.default(description.root, "")), FOLDERS, false)
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
    local item = row
    if list.item then
      local why
      item, why = list.item(row)
      if why then lists.fail(list.file, line, "%s", why) end
      if item == nil then return end
      if type(item) ~= "table" then lists.fail(list.file, line, "item gave %s, expected { path =, label = }", tostring(item)) end
    end
    for _, name in ipairs { "path", "label" } do
      if item[name] == nil then
        lists.fail(list.file, line, "there is no column '%s' (but %s)", name, table.concat(sorted_keys(row), ", "))
      end
      if item[name] == "" then lists.fail(list.file, line, "the %s is empty", name) end
    end
    if type(item.path) ~= "string" then lists.fail(list.file, line, "the path is %s, expected text", tostring(item.path)) end
    if type(item.label) == "string" then
      item.label = lists.label(classes, item.label, list.file, line)
    elseif math.type(item.label) ~= "integer" or not classes[item.label] then
      lists.fail(list.file, line, "item gave the label %s, expected a class name or a whole number from 1 to %d",
        tostring(item.label), #classes)
    end
    for name, value in pairs(item) do
      if name ~= "path" and name ~= "split" and type(value) == "string" then item[name] = lists.value(value) end
    end
    add(item, line)
  end, list.columns)
end

function readers.folders(list, classes, add, roots)
  for _, root in ipairs(places(roots, list.folder)) do
    for _, class in ipairs(lists.folder(root)) do
      if mode(root .. "/" .. class) == "directory" then
        local label = classes.index[class]
        if not label then error(("%s/%s: %s"):format(root, class, suggest.unknown("class", class, classes)), 0) end
        lists.videos(root, function(path)
          add({ path = #roots > 1 and absolute(root, lfs.currentdir()) .. "/" .. path or path, label = label }, 0)
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
    error(("the file %s is neither beside the description (%s) nor below the root (%s)"):format(name, path,
      table.concat(roots, ", ")), 0)
  end
  return path
end

--- Class names for lists whose labels are numbers and whose paths end in CLASS/file. nil if there are other formats.
local function classes_from_paths(splits, base, roots)
  local names, told = {}, {}
  for _, split in ipairs(sorted_keys(splits)) do
    local list = splits[split]
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
    if list.format ~= "csv" or list.item or not list.file then return nil end
    local file = find_file(list.file, base, roots)
    lists.csv(file, function(row, line)
      local name = row.label
      if not name then
        lists.fail(file, line, "there is no column 'label' (but %s)", table.concat(sorted_keys(row), ", "))
      end
      if not seen[name] then names[#names + 1], seen[name] = name, true end
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
    if list.format ~= "folders" then return nil end
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
    list = setmetatable({ file = list.file and find_file(list.file, base, roots) }, { __index = list })
    local reader = readers[list.format or "list"]
    if not reader then
      error(("%s: %s"):format(description.name, suggest.unknown("list format", tostring(list.format), sorted_keys(readers))), 0)
    end
    if not list.file and reader ~= readers.folders then error(("%s: split '%s' names no file"):format(description.name, name), 0) end
    local before = #items
    reader(list, classes, function(item, line)
      local listed = plain_path(item.path, roots[1] or "")
      item.path = list.folder and listed:sub(1, 1) ~= "/" and list.folder .. "/" .. listed or listed
      listed_as[item] = listed
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
  return items, listed_as
end

-- How the text of a CSV file becomes a value of each type that a description may give a column; nil if it is none.
local VALUES = {
  text = function(text) return text end,
  number = tonumber,
  boolean = function(text)
    if text == "true" or text == "false" then return text == "true" end
  end,
}

--- Adds the columns of a CSV file to the items whose path it names.
-- @param listed_as path of an item in its list, where that is another: without the list's folder
local function add_metadata(file, items, listed_as, types, root)
  local by_path, fits = {}, 0 -- lists of items: splits may overlap
  local function enter(path, item)
    by_path[path] = by_path[path] or {}
    table.insert(by_path[path], item)
  end
  for _, item in ipairs(items) do
    local path = plain_path(item.path, root)
    enter(path, item)
    if listed_as[item] and listed_as[item] ~= path then enter(listed_as[item], item) end
  end
  local told, first = {}, nil
  lists.csv(file, function(row, line)
    if not row.path then
      lists.fail(file, line, "there is no column 'path' (but %s)", table.concat(sorted_keys(row), ", "))
    end
    local path = plain_path(row.path, root)
    if told[path] then lists.fail(file, line, "%s is named twice, first in line %d", path, told[path]) end
    told[path], first = line, first or row.path
    fits = fits + (by_path[path] and 1 or 0)
    for _, item in ipairs(by_path[path] or {}) do
      for name, text in pairs(row) do
        if item[name] == nil and text ~= "" then
          local as = types[name]
          local value = (as and VALUES[as] or lists.value)(text)
          if value == nil then lists.fail(file, line, "%s is '%s', expected a %s", name, text, as) end
          item[name] = value
        end
      end
    end
  end)
  if first and fits == 0 then
    error(("%s: none of its paths is a clip's: it has '%s', the dataset '%s'"):format(file, first, items[1].path), 0)
  end
end

-- A path from the root of the file system, so that one file has one name.
local function true_path(path, current)
  return plain_path(path:sub(1, 1) == "/" and path or current .. "/" .. path, "")
end

-- No file may be named twice in a list, nor have two labels, nor be in two splits that may not overlap. Items that are given
-- one by one may name a file several times. Links are not followed: `data check` goes by contents.
local function check_twice(description, items)
  local before, label, current = {}, {}, lfs.currentdir()
  for _, item in ipairs(items) do
    local path = true_path(item.path, current)
    local other, split = before[path], tostring(item.split or "all")
    if other == split and not description.items then
      error(("%s: %s is named twice in '%s'"):format(description.name, path, split), 0)
    elseif other == split and label[path] ~= item.label then
      error(("%s: %s has the labels %d and %d"):format(description.name, path, label[path], item.label), 0)
    end
    if other and other ~= split and not overlap_allowed(description, other, split) then
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
    if not VALUES[as] then return false end
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
  local roots = roots_of(description, root_base, options)
  local names, labels = description.classes, description.labels
  if labels ~= nil and labels ~= "number" and labels ~= "name" then
    error(("%s: labels is %s, expected \"number\" or \"name\""):format(description.name, tostring(labels)), 0)
  end
  if type(names) == "string" then names = lists.classes(find_file(names, base, roots)) end
  local splits = description.splits and checked_lists(description)
  if not names and splits then
    names = classes_from_folders(splits, roots) or classes_from_labels(splits, base, roots)
    if not names then names, labels = classes_from_paths(splits, base, roots), "number" end
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
    add_metadata(find_file(description.metadata, base, roots), items, listed_as, description.types or {}, roots[1] or "")
  end
  for _, item in ipairs(items) do
    if description.fields then description.fields(item) end
    item.path = locate(roots, item.path)
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
function data.parse(text)
  local path, rest = text:match "^(.-)%?(.*)$"
  if not path or mode(text) then return text, {} end
  local options = {}
  for pair in rest:gmatch "[^&]+" do
    local key, value = pair:match "^([%w_]+)=(.*)$"
    if not key then error(("%s: '%s' is not an option of the form key=value"):format(text, pair), 0) end
    options[key] = data.value(key, value)
  end
  return path, options
end

--- The value of an option as it is written on a command line.
function data.value(key, text)
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
function data.open(what, options)
  options = check.option("data.open", "options", check.default(options, {}), check.table)
  if type(what) == "table" then
    local copy = {}
    for k, v in pairs(what) do copy[k] = v end
    return build(copy, "", options)
  end
  if type(what) ~= "string" then error(("data.open: got a %s, expected a path or a table"):format(type(what)), 2) end
  local given
  what, given = data.parse(what)
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

return data
