-- `cmake --install` gives a tree that works without the sources, also under a name with a space.
local support = require "support"
local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read("a")
  local _, _, status = pipe:close()
  return text, status or 0
end

describe("an installed tree", function()
  local build = output("readlink /proc/$PPID/exe"):match("^(.*)/")
  local folder = os.tmpname()
  teardown(function() support.remove(folder) end)

  it("holds all that dgamlua needs", function()
    local present = io.open(build .. "/cmake_install.cmake")
    if not present then return pending "run from an installed tree" end
    present:close()
    os.remove(folder)
    local prefix = folder .. "/my programs"
    local said, status = output(("cmake --install %s --prefix %s"):format(quote(build), quote(prefix)))
    assert.equal(0, status, said)
    local run = ("cd / && env -i PATH=/usr/bin:/bin %s "):format(quote(prefix .. "/bin/dgamlua"))
    said, status = output(run .. "-e " .. quote [[local torch = require "torch" require "dgamnative.rng" require "dgam"
      print(dgamlua.root, package.path, package.cpath, torch.ones({ 3 }):sum():item())]])
    assert.equal(0, status, said)
    assert.equal(prefix .. "/share/dgamlua", said:match("^[^\t]*"))
    assert.equal("3", said:match("\t(%d+)%.?0?\n$"))
    assert.falsy(said:find(dgamlua.root .. "/lua/", 1, true))
    assert.truthy(output("readelf -d " .. quote(prefix .. "/lib/dgamlua/dgamnative.so")):find("$ORIGIN", 1, true))
    assert.truthy((output(run .. "--version")):find(dgamlua.version, 1, true))
  end)
end)
