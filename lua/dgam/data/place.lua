--- Where the files of a dataset are: roots, paths below them, one name for every file.
local lfs = require "lfs"
local check = require "util.check"

local function mode(path) return lfs.attributes(path, "mode") end

local place = {}

--- A path from `base`, unless it is absolute.
function place.absolute(path, base)
  if path:sub(1, 1) == "/" then return path end
  return base == "" and path or base .. "/" .. path
end

--- "./a//b/../c" -> "a/c", so that a file has one name.
function place.plain(path, root)
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

--- A path from the root of the file system, so that one file has one name.
function place.full(path, current)
  return place.plain(path:sub(1, 1) == "/" and path or current .. "/" .. path, "")
end

local FOLDERS = { "a folder or a list of folders", function(v)
  if type(v) ~= "table" then return type(v) == "string" end
  for _, x in ipairs(v) do
    if type(x) ~= "string" then return false end
  end
  return #v > 0
end }

--- Folders that paths start from, as a list of absolute names or names from the current folder.
function place.roots(description, base, options)
  local root = check.option(description.name, "root", check.default(options.root, check.default(description.root, "")), FOLDERS, false)
  if type(root) ~= "table" then root = { root } end
  local out = {}
  for i, r in ipairs(root) do out[i] = r == "" and base or place.absolute(r, options.root and "" or base) end
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
function place.locate(roots, path)
  if path:sub(1, 1) == "/" then return path end
  if #roots > 1 then
    for _, r in ipairs(roots) do
      local p = place.absolute(path, r)
      if mode(p) then return p end
    end
  end
  return place.absolute(path, roots[1] or "")
end

--- The folders that a list of class folders speaks of: `folder` below each root that has it. At least one.
function place.folders(roots, folder)
  local found = {}
  for _, r in ipairs(roots) do
    local p = folder and place.absolute(folder, r) or r
    if mode(p) == "directory" then found[#found + 1] = p end
  end
  return found[1] and found or { folder and place.absolute(folder, roots[1] or "") or roots[1] } -- reading that says what is missing
end

--- Where a list, class file or metadata file is: beside the description, or below a root.
function place.find(name, base, roots)
  local path = place.absolute(name, base)
  if not mode(path) and name:sub(1, 1) ~= "/" then
    for _, r in ipairs(roots) do
      if mode(place.absolute(name, r)) then return place.absolute(name, r) end
    end
    error(("the file %s is neither beside the description (%s) nor below the root (%s)"):format(name, path,
      table.concat(roots, ", ")), 0)
  end
  return path
end

return place
