-- Every script in examples/ runs to its end, and prints what the documentation says it does.
local lfs = require "lfs"
local film = require "film"
local fs = require "dgamnative.fs"
local shell = require "util.shell"
local support = require "support"

describe("the example", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local tried = {}
  local function run(name, arguments)
    tried[name] = true
    local pipe = assert(io.popen(("DGAMLUA_RESULTS='%s/results' exec %s '%s/examples/%s' %s 2>&1"):format(folder, shell.program(),
      dgamlua.root, name, arguments or "")))
    local text = pipe:read "a"
    assert.is_true(pipe:close(), text)
    return text
  end

  it("custom_gate chooses a larger gamma for a darker clip", function()
    local last = math.huge
    for gamma in run("custom_gate.lua"):gmatch "gamma ([%d.]+)" do
      assert.is_true(tonumber(gamma) <= last)
      last = tonumber(gamma)
    end
    assert.equal(1, last)
  end)

  it("entropy prints its table and draws it", function()
    assert.matches("gamma 3 +%d%.%d%d", run("entropy.lua", "seeds=1 clips=4"))
    assert.equal("file", lfs.attributes(folder .. "/results/entropy.svg", "mode"))
  end)

  it("gamma_sets and the ablation train on a folder of videos", function()
    for i, name in ipairs { "train/a/1", "train/a/2", "train/b/3", "train/b/4", "val/a/5", "val/b/6", "test/a/7", "test/b/8" } do
      os.execute(("mkdir -p '%s/videos/%s'"):format(folder, name:match "^(.*)/"))
      film.write(("%s/videos/%s.avi"):format(folder, name), 8 + i, 48, 40)
    end
    local text = run("gamma_sets.lua", ("data='%s/videos' epochs=1 gate_epochs=1 batch=2"):format(folder))
    assert.matches("gammas 1%.0 1%.5 2%.0 2%.5 3%.0 +%d", text)
    local again = ("data='%s/videos' profile=ci seeds=1 batch=2"):format(folder)
    text = run("../lua/experiments/ablation.lua", again)
    assert.matches("\ndual +%d", text)
    assert.not_matches("could not be read", text)
    local whole = support.bytes(folder .. "/videos/test/a/7.avi")
    fs.write(folder .. "/videos/test/a/7.avi", whole:sub(1, 1000))
    for _ = 1, 2 do -- other files are another dataset; what a trial had to do without is said again when it is read back
      assert.matches("\ndual +%d.-\ntrial 'dual', seed 1: 1 clip could not be read", run("../lua/experiments/ablation.lua", again))
    end
    fs.write(folder .. "/videos/test/a/7.avi", whole)
    assert.not_matches("could not be read", run("../lua/experiments/ablation.lua", again))
  end)

  it("is none that is not tried here", function()
    for name in lfs.dir(dgamlua.root .. "/examples") do
      if name:match "%.lua$" then assert.is_true(tried[name], name) end
    end
  end)
end)
