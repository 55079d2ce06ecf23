--- dgam.sources: a hash of the Lua code that a result can depend on, beyond the function that computes it: the models, the
-- library, and the modules of the user's own that a script has loaded. A changed comment, name or line break does not
-- change it, a changed statement does, so that no result of other code is taken for that of today's.
local lfs = require "lfs"
local bytecode = require "dgam.trial.bytecode"
local fs = require "dgamnative.fs"
local sorted_keys = require "util.keys"

-- The rooms of the library whose code may change a number.
local ROOMS = { "torch", "dgam/kernels", "dgam/nn", "dgam/data", "dgam/train", "models" }

local function add(into, name, path)
  local f, why = loadfile(path, "t")
  if not f then error(("cannot read the module '%s': %s"):format(name, why), 0) end
  into[name] = fs.sha256((bytecode.of(f)))
end

local function add_folder(into, folder, prefix)
  for entry in lfs.dir(folder) do
    local path = folder .. "/" .. entry
    if entry:sub(1, 1) ~= "." then
      if lfs.attributes(path, "mode") == "directory" then add_folder(into, path, prefix .. entry .. ".")
      elseif entry:find "%.lua$" then add(into, prefix .. entry, path) end
    end
  end
end

local ours -- the library's own part, the same for the whole process

--- @return 64 hexadecimal digits
return function()
  local root = dgamlua.root .. "/lua"
  if not ours then
    ours = {}
    for _, room in ipairs(ROOMS) do add_folder(ours, root .. "/" .. room, room .. ".") end
  end
  local all = {}
  for name, hash in pairs(ours) do all[name] = hash end
  for name in pairs(package.loaded) do
    local path = package.searchpath(name, package.path)
    -- What the system installed is not the experiment's.
    if path and path:sub(1, #root + 1) ~= root .. "/" and not path:find "^/usr/" then add(all, "own " .. name, path) end
  end
  local parts = {}
  for i, name in ipairs(sorted_keys(all)) do parts[i] = name .. " " .. all[name] end
  return fs.sha256(table.concat(parts, "\n"))
end
