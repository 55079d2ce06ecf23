--- What datasets are called in tables and in the names of files.
local fs = require "dgamnative.fs"
local text = require "util.text"

-- A title in the name of a file: letters and digits, and all that is not ASCII.
local function file_name(title) return (title:gsub("[^%w\x80-\xFF]+", "_"):lower()) end

-- Of a long name the beginning, and a hash.
local function brief(name)
  if #name <= 100 then return name end
  return name:sub(1, 80):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") .. "-" .. fs.sha256(name):sub(1, 16)
end

--- What datasets are called side by side, no two of them alike.
-- @param list of { title = , text = what it was opened by, instead of a title that several share }
-- @return titles, the same as parts of file names, and such a part for all of them together
return function(list)
  local count, titles, names = {}, {}, {}
  for _, one in ipairs(list) do count[one.title] = (count[one.title] or 0) + 1 end
  for i, one in ipairs(list) do titles[i] = count[one.title] > 1 and one.text or one.title end
  titles = text.distinct(titles)
  for i, title in ipairs(titles) do names[i] = brief(file_name(title)) end
  names = text.distinct(names)
  return titles, names, brief(table.concat(names, "+"))
end
