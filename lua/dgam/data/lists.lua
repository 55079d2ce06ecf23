--- dgam.data.lists: reading the files in which datasets say what they hold.
--
-- Every reader takes a file name and calls back with one entry at a time, so that a list of a million lines costs no more
-- than its entries. Windows line ends, a byte order mark and blank lines are fine; names may hold spaces and UTF-8.
-- Errors name the file and the line.
local lfs = require "lfs"
local suggest = require "util.suggest"

local lists = {}

--- "file:line: message" as an error.
function lists.fail(file, line, message, ...)
  error(("%s:%d: %s"):format(file, line, message:format(...)), 0)
end

--- The whole text of a file.
function lists.slurp(file)
  local f, why = io.open(file, "rb")
  if not f then error(("cannot read the list %s"):format(why), 0) end
  local text, read_why = f:read "a"
  f:close()
  if not text then error(("cannot read the list %s: %s"):format(file, read_why), 0) end
  if text:find "^\xFF\xFE" or text:find "^\xFE\xFF" then
    error(("%s: this text is UTF-16, expected UTF-8"):format(file), 0)
  end
  local zero = text:find("\0", 1, true)
  if zero then
    local _, before = text:sub(1, zero):gsub("\n", "")
    lists.fail(file, before + 1, "there is a zero byte here; this is no list")
  end
  return text:sub(1, 3) == "\xEF\xBB\xBF" and text:sub(4) or text
end

--- Text of a CSV file as a number where it is one and no digit gets lost: a whole number as Lua prints it (007 and a name of 20
-- digits stay text), a decimal fraction of at most 15 digits (0.10, -3.5e2).
function lists.value(text)
  local number = tonumber(text)
  if tostring(number) == text then return number end
  local digits = text:match "^[+-]?(%d*%.?%d*)[eE]?[+-]?%d*$"
  if not number or not digits or not text:find "[.eE]" or number - number ~= 0 then return text end
  return #digits:gsub("%D", "") <= 15 and number or text
end

--- Calls f(line, number) for every line that is not blank, without the white space around it.
function lists.lines(file, f)
  local text, number, at = lists.slurp(file), 0, 1
  while at <= #text do
    local stop = text:find("\n", at, true) or #text + 1
    number = number + 1
    local first = text:find("%S", at)
    if first and first < stop then f(text:sub(first, stop - 1):match "^.*%S", number) end
    at = stop + 1
  end
end

--- Class names, one a line; "0 walk" and "walk" are both understood (numbers must then count up from 0).
function lists.classes(file)
  local names, seen = {}, {}
  lists.lines(file, function(line, number)
    local index, name = line:match "^(%d+)%s+(%S.*)$"
    if index and tonumber(index) ~= #names then lists.fail(file, number, "class number %s, expected %d", index, #names) end
    name = name or line
    if seen[name] then lists.fail(file, number, "class '%s' is named twice", name) end
    names[#names + 1], seen[name] = name, true
  end)
  if #names == 0 then error(("%s: no class names in this file"):format(file), 0) end
  return names
end

--- A label as it stands in a list: a number from 0, or a class name. Returns the position in `classes`, from 1.
-- @param classes list of names, with index = name -> position, and labels = "number" or "name" where a whole number can only be
--   that. Without it a number that is also the name of another class is an error
function lists.label(classes, word, file, line)
  local number = classes.labels ~= "name" and word:find "^[+-]?%d+$" and math.tointeger(tonumber(word))
  local at = not (number and classes.labels == "number") and classes.index[word]
  if number and number >= 0 and number < #classes then
    if at and at ~= number + 1 then
      lists.fail(file, line, "label %s is class '%s' by its name and '%s' by its number; set labels = \"name\" or \"number\"",
        word, classes[at], classes[number + 1])
    end
    return number + 1
  end
  if at then return at end
  if number then
    lists.fail(file, line, "label %s is out of range, expected 0 to %d (%d classes)", word, #classes - 1, #classes)
  end
  if tonumber(word) and classes.labels ~= "name" then lists.fail(file, line, "label %s is not a whole number", word) end
  lists.fail(file, line, "%s", suggest.unknown("class", word, classes))
end

--- `path label` lines: f(path, label word, line number).
function lists.annotations(file, f)
  lists.lines(file, function(line, number)
    local path, label = line:match "^(.*%S)%s+(%S+)$"
    if not path then lists.fail(file, number, "'%s' is not `path label`", line) end
    f(path, label, number)
  end)
end

--- `number label path` lines with tabs between, as ARID has them: f(path, label word, line number).
function lists.numbered(file, f)
  lists.lines(file, function(line, number)
    local label, path = line:match "^%d+\t(%S+)\t(.+)$"
    if not path then lists.fail(file, number, "'%s' is not `number label path` with tabs between", line) end
    f(path, label, number)
  end)
end

--- `dir frames label` lines of datasets that come as pictures: f(folder, frame count, label word, line number).
function lists.frame_folders(file, f)
  lists.lines(file, function(line, number)
    local path, frames, label = line:match "^(.*%S)%s+(%d+)%s+(%S+)$"
    if not path then lists.fail(file, number, "'%s' is not `folder frames label`", line) end
    f(path, tonumber(frames), label, number)
  end)
end

--- Splits one CSV record that starts at `at`; quoted fields may hold commas, line ends and doubled quotes.
local function record(text, at, file, number)
  local fields = {}
  while true do
    local value
    if text:sub(at, at) == '"' then
      local from = at + 1
      while true do
        local quote = text:find('"', from, true)
        if not quote then lists.fail(file, number, "a quoted field is not closed") end
        if text:sub(quote + 1, quote + 1) ~= '"' then
          value, at = text:sub(at + 1, quote - 1):gsub('""', '"'), quote + 1
          break
        end
        from = quote + 2
      end
    else
      local stop = text:find("[,\r\n]", at) or #text + 1
      value, at = text:sub(at, stop - 1), stop
    end
    fields[#fields + 1] = value
    local c = text:sub(at, at)
    if c == "," then
      at = at + 1
    elseif c == "" then
      return fields, nil
    elseif c == "\n" or c == "\r" then
      return fields, at + (text:sub(at, at + 1) == "\r\n" and 2 or 1)
    else
      lists.fail(file, number, "expected a comma after %q", value)
    end
  end
end

--- CSV with a line of column names: f(row, line number), row = { column = text }.
-- @param columns names to use when the file has no such line
function lists.csv(file, f, columns)
  local text = lists.slurp(file)
  local at, number = 1, 0
  while at and at <= #text do
    local fields
    local line = number + 1
    local from = at
    fields, at = record(text, at, file, line)
    local _, ends = text:sub(from, (at or #text + 1) - 1):gsub("\n", "")
    number = number + math.max(ends, 1)
    if #fields > 1 or fields[1] ~= "" then
      if not columns then
        columns = fields
        local seen = {}
        for _, name in ipairs(columns) do
          if seen[name] then lists.fail(file, line, "the column '%s' is there twice", name) end
          seen[name] = true
        end
      elseif #fields ~= #columns then
        lists.fail(file, line, "%d fields, expected %d (%s)", #fields, #columns, table.concat(columns, ","))
      else
        local row = {}
        for i, name in ipairs(columns) do row[name] = fields[i] end
        f(row, line)
      end
    end
  end
end

local VIDEOS = {}
for ending in ("avi divx mp4 mkv mov qt webm mpg mpeg m2v vob m4v wmv asf flv f4v ogv ogg ogm 3gp 3g2 ts mts m2ts mxf dv y4m gif "
  .. "mjpeg mjpg h264 264 h265 265 hevc ivf nut"):gmatch "%S+" do VIDEOS[ending] = true end

--- Whether a file name looks like a video's.
function lists.is_video(name) return VIDEOS[(name:match "%.(%w+)$" or ""):lower()] == true end

--- Names in a folder, sorted; hidden ones are left out. Raises an error if it cannot be read.
function lists.folder(path)
  local ok, iterate, state = pcall(lfs.dir, path)
  if not ok then error(("cannot read the folder %s: %s"):format(path, iterate), 0) end
  local names = {}
  for name in iterate, state do
    if name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local PICTURES = {}
for ending in ("jpg jpeg png bmp tif tiff webp ppm pgm"):gmatch "%S+" do PICTURES[ending] = true end

--- Whether a file name looks like a picture's.
function lists.is_picture(name) return PICTURES[(name:match "%.(%w+)$" or ""):lower()] == true end

--- Calls f(path relative to `root`) for every video below root, in sorted order. A folder that holds pictures and no video is one.
-- Links are followed, but not back to a folder one is in.
function lists.videos(root, f, below, above)
  local base = below and below .. "/" or ""
  local own = lfs.attributes(root .. "/" .. base) or {}
  local id = ("%s:%s"):format(own.dev, own.ino)
  above = above or {}
  if above[id] then return end
  above[id] = true
  local videos, pictures = 0, 0
  for _, name in ipairs(lists.folder(root .. "/" .. base)) do
    local path = base .. name
    if lists.is_video(name) and lfs.attributes(root .. "/" .. path, "mode") ~= "directory" then
      videos = videos + 1
      f(path)
    elseif lists.is_picture(name) then
      pictures = pictures + 1
    elseif lfs.attributes(root .. "/" .. path, "mode") == "directory" then
      lists.videos(root, f, path, above)
    end
  end
  if pictures > 0 and videos == 0 and below then f(below) end
  above[id] = nil
end

return lists
