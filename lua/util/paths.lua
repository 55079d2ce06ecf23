--- dgam.paths: where files are that a script names, and folders that are made on the way.
local lfs = require "lfs"

local paths = {}

local function ours(name) return dgamlua.root .. "/" .. name end

--- The file as given, or below the program's own folder (data/..., lua/...); nil if it is in neither place.
function paths.look(name)
  if lfs.attributes(name, "mode") then return name end
  return name:sub(1, 1) ~= "/" and lfs.attributes(ours(name), "mode") and ours(name) or nil
end

--- The same; an error if it is in neither place.
-- @param name path
-- @param what what it should be, for the error ("dataset description")
function paths.find(name, what)
  return paths.look(name) or error(("%s '%s' does not exist (looked for %s and %s)"):format(what or "file", name, name,
    ours(name)), 0)
end

--- Creates a folder and its parents; an error names what stands in the way.
-- @param path folder
-- @param hint what the reader can do about it, for the error
-- @return path
function paths.make_folder(path, hint)
  local at = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch "[^/]+" do
    at = at .. part
    if lfs.attributes(at, "mode") ~= "directory" then
      local ok, why = lfs.mkdir(at)
      if not ok and lfs.attributes(at, "mode") ~= "directory" then
        error(("cannot make the folder %s: %s%s"):format(at, why, hint and "; " .. hint or ""), 0)
      end
    end
    at = at .. "/"
  end
  return path
end

--- The folder for what can be made again: $DGAMLUA_CACHE, else $XDG_CACHE_HOME/dgamlua, else ~/.cache/dgamlua.
function paths.cache()
  local function set(name)
    local value = os.getenv(name)
    return value ~= "" and value or nil
  end
  if set "DGAMLUA_CACHE" then return set "DGAMLUA_CACHE" end
  if set "XDG_CACHE_HOME" then return set "XDG_CACHE_HOME" .. "/dgamlua" end
  local home = set "HOME" or error("neither DGAMLUA_CACHE nor HOME is set: there is no folder to put the dataset in", 0)
  return home .. "/.cache/dgamlua"
end

return paths
