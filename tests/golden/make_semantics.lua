--- Records what the kernels compute, in tests/golden/semantics.lua: ./dgamlua tests/golden/make_semantics.lua
--
-- Values that moved are recorded only when the number of their family in core/base/semantics.h was raised.
package.path = dgamlua.root .. "/tests/lua/?.lua;" .. package.path
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local semantics = require "semantics"

local path = dgamlua.root .. "/tests/golden/semantics.lua"
local outputs = semantics.outputs()
local moved = semantics.compare(lfs.attributes(path, "mode") and dofile(path) or {}, outputs)
if #moved > 0 then error(table.concat(moved, "\n"), 0) end
fs.write(path, semantics.text(outputs))
print("wrote " .. path)
