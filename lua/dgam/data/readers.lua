--- How lists, class folders and metadata of a dataset are read. Add a format here: a function of `readers`.
local lfs = require "lfs"
local lists = require "dgam.data.lists"
local suggest = require "util.suggest"
local sorted_keys = require "util.keys"
local place = require "dgam.data.place"

local function mode(path) return lfs.attributes(path, "mode") end

--- format -> function(list, classes, add, roots) that calls add(item, line) for every clip of a list.
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
  for _, root in ipairs(place.folders(roots, list.folder)) do
    for _, class in ipairs(lists.folder(root)) do
      if mode(root .. "/" .. class) == "directory" then
        local label = classes.index[class]
        if not label then error(("%s/%s: %s"):format(root, class, suggest.unknown("class", class, classes)), 0) end
        lists.videos(root, function(path)
          add({ path = #roots > 1 and place.absolute(root, lfs.currentdir()) .. "/" .. path or path, label = label }, 0)
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

--- Class names for lists whose labels are numbers and whose paths end in CLASS/file. nil if there are other formats.
local function from_paths(splits, base, roots)
  local names, told = {}, {}
  for _, split in ipairs(sorted_keys(splits)) do
    local list = splits[split]
    local read = paths_of[list.format or "list"]
    if not read or not list.file then return nil end
    local file = place.find(list.file, base, roots)
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
local function from_labels(splits, base, roots)
  local names, seen = {}, {}
  for _, list in pairs(splits) do
    if list.format ~= "csv" or list.item or not list.file then return nil end
    local file = place.find(list.file, base, roots)
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
local function from_folders(splits, roots)
  local names, seen, below = {}, {}, nil
  for _, list in pairs(splits) do
    if list.format ~= "folders" then return nil end
    for _, root in ipairs(place.folders(roots, list.folder)) do
      below = root
      for _, class in ipairs(lists.folder(root)) do
        if not seen[class] and mode(root .. "/" .. class) == "directory" then names[#names + 1], seen[class] = class, true end
      end
    end
  end
  if below and #names == 0 then error(("%s: there is no class folder, expected CLASS/video below it"):format(below), 0) end
  table.sort(names)
  return names
end

--- Class names for a description that gives none: the folders', the CSV files' labels, or what the paths say.
-- @return names, whether labels must then be numbers
local function classes(splits, base, roots)
  local names = from_folders(splits, roots) or from_labels(splits, base, roots)
  if names then return names, false end
  return from_paths(splits, base, roots), true
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
    local path = place.plain(item.path, root)
    enter(path, item)
    if listed_as[item] and listed_as[item] ~= path then enter(listed_as[item], item) end
  end
  local told, first = {}, nil
  lists.csv(file, function(row, line)
    if not row.path then
      lists.fail(file, line, "there is no column 'path' (but %s)", table.concat(sorted_keys(row), ", "))
    end
    local path = place.plain(row.path, root)
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

return { formats = readers, classes = classes, add_metadata = add_metadata, types = VALUES }
