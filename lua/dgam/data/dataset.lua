--- What data.open gives: clips with labels and fields, to choose from, deal out and save.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local paths = require "util.paths"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"

local function mode(path) return lfs.attributes(path, "mode") end

local Dataset = {}
Dataset.__index = Dataset

--- Whether a description allows two splits to hold the same file.
function Dataset.overlap_allowed(description, a, b)
  local allowed = description.allow_overlap
  if type(allowed) ~= "table" then return allowed == true end
  for _, pair in ipairs(allowed) do
    if pair == a .. "/" .. b or pair == b .. "/" .. a then return true end
  end
  return false
end

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
function Dataset:may_overlap(a, b) return Dataset.overlap_allowed(self.description, tostring(a or "all"), tostring(b or "all")) end

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

return Dataset
