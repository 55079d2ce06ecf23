--- dgam.paths: where files that a script names are.
local lfs = require "lfs"

local paths = {}

--- The file as given, or below the program's own folder (data/..., lua/...). Error if it is in neither place.
-- @param name path
-- @param what what it should be, for the error ("dataset description")
function paths.find(name, what)
  if lfs.attributes(name, "mode") then return name end
  local ours = dgamlua.root .. "/" .. name
  if name:sub(1, 1) ~= "/" and lfs.attributes(ours, "mode") then return ours end
  error(("%s '%s' does not exist (looked for %s and %s)"):format(what or "file", name, name, ours), 0)
end

return paths
