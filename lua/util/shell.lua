--- This program and its arguments as words of a shell command.
local lfs = require "lfs"

local shell = {}

--- Text as one word of a shell command.
function shell.quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- The executable that runs now, quoted.
function shell.program() return shell.quote(lfs.symlinkattributes("/proc/self/exe", "target")) end

return shell
