--- dgam.trial.provenance: with what a result was computed, for the record; none of it counts for a key.
local sys = require "dgamnative.sys"

local function first_line(path)
  local f <close> = io.open(path, "rb")
  return f and f:read "l" or nil
end

-- The id of a branch that git has packed away; nil if there is none.
local function packed(git, ref)
  local f <close> = io.open(git .. "/packed-refs", "rb")
  for line in f and f:lines() or function() end do
    local id, name = line:match "^(%x+) (.+)$"
    if name == ref then return id end
  end
end

-- The commit that the program's folder is at, without running git; nil where it is no repository.
local function commit()
  local git = dgamlua.root .. "/.git"
  local elsewhere = first_line(git) -- a worktree's .git is a file that names the folder
  git = elsewhere and elsewhere:match "^gitdir: (.+)" or git
  local head = first_line(git .. "/HEAD")
  local ref = head and head:match "^ref: (.+)"
  if not ref then return head and head:match "^%x+$" end
  local common = first_line(git .. "/commondir")
  local shared = common and ("%s/%s"):format(git, common) or git
  return first_line(git .. "/" .. ref) or first_line(shared .. "/" .. ref) or packed(shared, ref)
end

local function processor()
  local f <close> = io.open "/proc/cpuinfo"
  for line in f and f:lines() or function() end do
    local name = line:match "^model name%s*:%s*(.+)$"
    if name then return (name:gsub("%s+", " ")) end
  end
  return "unknown CPU"
end

local known

--- @return { program, commit, cpu = "Intel Xeon ..., avx512, 2 threads", libraries = "libtorch 1.13, oneDNN 2.6, FFmpeg 5.1" }
return function()
  local torch = package.loaded.torch
  if not known then
    local v = sys.versions()
    known = { program = "dgamlua " .. dgamlua.version, commit = commit(), processor = processor(),
      libraries = ("oneDNN %s, FFmpeg %s, HDF5 %s"):format(v.onednn, v.ffmpeg, v.hdf5) }
  end
  return { program = known.program, commit = known.commit,
    cpu = ("%s, %s, %d threads"):format(known.processor, sys.cpu_level(), sys.threads()),
    libraries = (torch and ("libtorch %s, "):format(torch.version) or "") .. known.libraries }
end
