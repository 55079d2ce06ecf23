--- What several specs need: the message of a call that must fail, the contents of a file, a folder of their own.
local lfs = require "lfs"
local assert = require "luassert"

local support = {}

--- Calls f(...), which must raise an error; returns its message.
function support.message(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return tostring(e)
end

--- Calls f(...), which must raise an error that has `word` in it, as it stands.
function support.fails(word, f, ...)
  local text = support.message(f, ...)
  assert.truthy(text:find(word, 1, true), ("message is %q, expected %q in it"):format(text, word))
end

--- Calls f(...), which must raise an error that matches `pattern`.
function support.fails_like(pattern, f, ...) assert.matches(pattern, support.message(f, ...)) end

--- Bytes of memory that this process holds.
function support.resident()
  local f <close> = assert(io.open "/proc/self/statm")
  return tonumber(f:read "a":match "^%d+ (%d+)") * 4096
end

--- A new, empty folder; support.remove takes it away.
function support.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path
end

--- Removes a file or a folder with all that is in it.
function support.remove(path) assert(os.execute("rm -rf '" .. path:gsub("'", "'\\''") .. "'")) end

--- The bytes of a file.
function support.bytes(path)
  local f = assert(io.open(path, "rb"))
  local b = f:read "a"
  f:close()
  return b
end

return support
