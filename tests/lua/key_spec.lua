-- What makes a trial another one: its description, the code it can reach, and what the kernels compute. Nothing else.
local lfs = require "lfs"
local torch = require "torch"
local fs = require "dgamnative.fs"
local keys = require "dgam.trial.key"
local shell = require "util.shell"
local support = require "support"
local sys = require "dgamnative.sys"
local fails = support.fails

describe("a key", function()
  local key = keys.of
  local folder, path
  before_each(function()
    folder, path = support.folder(), package.path
  end)
  after_each(function()
    package.path = path
    support.remove(folder)
  end)

  -- A module of the user's own in a folder of its own: what a process has read of a file it does not read again.
  local modules = 0
  local function with_module(name, code)
    modules = modules + 1
    local place = ("%s/%d"):format(folder, modules)
    lfs.mkdir(place)
    fs.write(("%s/%s.lua"):format(place, name), code)
    package.path, package.loaded[name] = place .. "/?.lua;" .. path, nil
  end

  it("is of content, not of order or place", function()
    assert.equal(16, #key {})
    assert.equal(key { a = 1, b = { 2, 3 } }, key { b = { 2, 3 }, a = 1.0 })
    assert.not_equal(key { a = 1 }, key { a = "1" })
    assert.not_equal(key { a = 1 }, key { a = 1 + 2 ^ -52 })
    assert.not_equal(key { 1, 2 }, key { 2, 1 })
    assert.not_equal(key { a = true }, key { a = "true" })
    assert.not_equal(key { ["1"] = 5 }, key { [1] = 5 })
    local shared = { 1, 2 }
    assert.equal(key { a = shared, b = shared }, key { a = { 1, 2 }, b = { 1, 2 } })
    local class = { forward = function(x) return x end }
    class.__index = class
    assert.equal(16, #key { gate = class })
    fails("description.config.gate is a userdata", key, { config = { gate = io.stdout } })
    fails("its key is a table", key, { config = { [{}] = 1 } })
  end)

  it("is of what a function does, not of where it stands and how its locals are called", function()
    local function add(x) return x + 1 end
    local function same(y) return y + 1 end
    local function other(x) return x + 2 end
    assert.equal(key { f = add }, key { f = same })
    assert.not_equal(key { f = add }, key { f = other })
    local text = "local n, s = 1.5, 'x' return function(a) local function g() return a .. s end return g, n, nil, true, 77, 1e300 end"
    local moved = load("\n-- a comment\n\nlocal more, printing = print, 5\n" .. text)()
    assert.equal(key { f = load(text)() }, key { f = moved })
    assert.not_equal(string.dump(load(text)(), true), string.dump(moved, true))
    assert.not_equal(key { f = moved }, key { f = load((text:gsub("77", "78")))() })
    assert.not_equal(key { f = moved }, key { f = load((text:gsub("1.5", "2.5")))() })
    local function calls(g) return function() return g(1) end end
    assert.not_equal(key { f = calls(add) }, key { f = calls(other) })
  end)

  it("takes what a run changed as it was before, unless the script changed it again", function()
    local n, k, list = 0, 1, {}
    local function counts()
      n, list[#list + 1] = n + k, "noted"
      return n
    end
    local before = key { f = counts }
    for _ = 1, 2 do
      local _ <close> = keys.watch { f = counts }
      counts()
    end
    assert.same({ 2, 2 }, { n, #list })
    assert.equal(before, key { f = counts })
    n = 7
    assert.not_equal(before, key { f = counts })
    n = 2
    assert.equal(before, key { f = counts })
    list[1] = nil
    assert.not_equal(before, key { f = counts })
    list[1] = "noted"
    k = 2
    assert.not_equal(before, key { f = counts })
  end)

  it("is also of global variables that a function uses", function()
    local function key_of(text) return key { load(text, "=script")() } end
    local text = [[
      dgam_factor, dgam_runs, dgam_list = 2, 0, { 1, 2 }
      function dgam_helper(x) return x * 10 end
      dgam_run = function()
        local function inner() return dgam_helper(1) + #dgam_list end
        dgam_runs = dgam_runs + 1
        return inner() * dgam_factor + math.floor(1.5) + #arg
      end
      return dgam_run]]
    local before = key_of(text)
    assert.equal(before, key_of("-- why\n" .. text))
    local run = dgam_run -- luacheck: ignore
    do
      local _ <close> = keys.watch { run }
      run()
    end
    assert.equal(before, key { run })
    for what, other in pairs { ["= 2, 0"] = "= 3, 0", ["x %* 10"] = "x * 100", ["{ 1, 2 }"] = "{ 1, 2, 3 }" } do
      local changed, n = text:gsub(what, other)
      assert.equal(1, n)
      assert.not_equal(before, key_of(changed), what)
    end
    for _, name in ipairs { "dgam_factor", "dgam_runs", "dgam_list", "dgam_helper", "dgam_run" } do _G[name] = nil end -- luacheck: ignore
  end)

  it("is also of tables and objects that a function holds", function()
    local function key_of(text) return key { load(text, "=script")() } end
    local text = [[
      local W, h = { 1, 2, deep = { on = true } }, { f = function() return 10 end }
      local Gate = setmetatable({ made = 0 }, {})
      Gate.__index = Gate
      function Gate.forward(x) return x + 1 end
      local object = setmetatable({ state = 7 }, Gate)
      return function() return #W + h.f() + object.forward(1) end]]
    local before = key_of(text)
    assert.equal(before, key_of("-- why\n" .. text:gsub("Gate", "Class"):gsub("W", "weights")))
    assert.equal(before, key_of((text:gsub("made = 0", "made = 1")))) -- the state of an object
    assert.equal(before, key_of((text:gsub("state = 7", "state = 8"))))
    for what, other in pairs { ["1, 2"] = "1, 2, 3", ["1, 2,"] = "1, 2.5,", ["on = true"] = "on = false", ["on ="] = "off =",
      ["return 10"] = "return 50", ["x %+ 1"] = "x + 2" } do
      local changed, n = text:gsub(what, other)
      assert.equal(1, n)
      assert.not_equal(before, key_of(changed), what)
    end
    local loop, log = {}, require "util.json"
    loop.loop, loop.log, loop.tensor, loop[log], loop.print = loop, log, torch.ones(1), 1, print
    local function uses() return loop end
    before = key { uses }
    loop.tensor, loop.print = torch.ones(2), nil -- neither plain nor Lua
    assert.equal(before, key { uses })
    loop.loop = 1
    assert.not_equal(before, key { uses })
  end)

  it("is also of modules of one's own, held or required, and of those that these require", function()
    local function lazy() return require("dgam_key_module").f(require "lfs") end
    local function key_with(code)
      with_module("dgam_key_module", code)
      return key { lazy }
    end
    local one = key_with "return { f = function() return 1 end }"
    assert.equal(one, key_with "-- why\nreturn { f = function()\n return 1 end }")
    assert.not_equal(one, key_with "return { f = function() return 2 end }")

    local function held_with(code)
      with_module("dgam_key_module", code)
      local module = require "dgam_key_module"
      local f = module.f
      local function whole() return module end
      local function part() return f end
      return key { whole }, key { part }
    end
    local whole, part = held_with "local k = 1 local function g() return k end return { f = function() return g() end }"
    local again, part_again = held_with "local k = 1 local function g() return k end return { f = function() return g() end } -- why"
    local other, part_other = held_with "local k = 2 local function g() return k end return { f = function() return g() end }"
    assert.same({ whole, part }, { again, part_again })
    assert.is_true(other ~= whole and part_other ~= part)

    local function outer_with(inner)
      with_module("dgam_key_inner", inner)
      local inner_path = package.path
      with_module("dgam_key_module", 'local inner = require "dgam_key_inner" return { f = function() return inner.g() end }')
      package.path = package.path .. ";" .. inner_path
      return key { lazy }
    end
    assert.not_equal(outer_with "return { g = function() return 1 end }", outer_with "return { g = function() return 2 end }")
  end)

  it("tells apart functions of a library that were made for different names", function()
    local enhance = require "dgam.kernels.enhance"
    local function uses(f) return key { function() return f end } end
    assert.not_equal(uses(enhance.by_name "lime"), uses(enhance.by_name "clahe"))
    assert.equal(uses(enhance.by_name "lime"), uses(enhance.by_name "lime"))
  end)

  it("of a dataset is of its clips and their fields", function()
    local function dataset(light)
      return require "dgam.data".open { name = "x", classes = { "a" }, items = { { path = "/nowhere/a.avi", label = 1, light = light } } }
    end
    assert.equal(keys.dataset(dataset "LL"), keys.dataset(dataset "LL"))
    assert.not_equal(keys.dataset(dataset "LL"), keys.dataset(dataset "ELL"))
  end)

  it("counts a function of the configuration by its code, one of the library by its file", function()
    local function objective(text) return load("return function(lambda) return lambda * " .. text .. " end", "=own")() end
    assert.equal(key { config = { objective = objective "1" } }, key { config = { objective = objective "1" } })
    assert.not_equal(key { config = { objective = objective "1" } }, key { config = { objective = objective "2" } })
    local files = table.concat(keys.files { config = { gate = require("dgam.kernels.gate").mixture } }, "\n")
    assert.matches("dgam/kernels/gate.lua", files)
    assert.matches("torch/init.lua", files)
  end)

  it("changes with what a family of kernels computes", function()
    local real = sys.semantics
    local versions, before = real(), key { 1 }
    assert.is_true(versions.nn >= 1 and versions.light >= 1)
    sys.semantics = function() -- luacheck: ignore
      local changed = real()
      changed.nn = changed.nn + 1
      return changed
    end
    local after = key { 1 }
    sys.semantics = real -- luacheck: ignore
    assert.not_equal(before, after)
    assert.equal(before, key { 1 })
  end)
end)

-- The same with a tree of its own, in which files of the library are edited.
describe("the code of the library", function()
  local top
  local SCRIPT = [[
local dgam, models = require "dgam", require "models"
local config = { lr = 1 }
local function stage(cfg) return models.dgam { backbone = "swin-micro", gammas = { cfg.lr }, classes = 3, frames = 4 } end
local keys = require "dgam.trial.key"
if arg[1] == "busy" then
  for _, part in ipairs { "darken", "plot", "synthetic", "enhance", "survey" } do assert(dgam[part]) end
  assert(models.zero_dce)
end
local function f(cfg) return dgam.train.fit(stage(cfg), nil, cfg) end
print(keys.of { code = f, config = config })
]]

  setup(function()
    top = support.folder()
    local built = lfs.symlinkattributes("/proc/self/exe", "target"):match "^(.*)/"
    assert(os.execute(("cd %s && mkdir build && cp %s/dgamlua build/ && ln -s %s/*.so build/ && cp -r %s/lua ."):format(
      shell.quote(top), shell.quote(built), shell.quote(built), shell.quote(dgamlua.root))))
    fs.write(top .. "/script.lua", SCRIPT)
  end)
  teardown(function() support.remove(top) end)

  local function key(...)
    local pipe = assert(io.popen(("cd %s && build/dgamlua script.lua %s 2>&1"):format(shell.quote(top), table.concat({ ... }, " "))))
    local text = pipe:read "a"
    assert.truthy(pipe:close(), text)
    assert.matches("^%x+\n$", text)
    return text
  end

  -- The key with one file edited.
  local function edited(file, from, to)
    local name = top .. "/" .. file
    local text = support.bytes(name)
    local at, last = text:find(from, 1, true)
    assert.truthy(at, file .. " has no " .. from)
    fs.write(name, text:sub(1, at - 1) .. to .. text:sub(last + 1))
    local result = key()
    fs.write(name, text)
    return result
  end

  it("counts where the trial can reach it, and only what may change a number", function()
    local before = key()
    assert.equal(before, key "busy") -- whatever is loaded
    fs.write(top .. "/lua/models/unused.lua", "return { new = function() return 1 end }")
    assert.equal(before, key())
    for _, edit in ipairs {
      { "lua/dgam/data/darken.lua", "holds no video", "has no video at all" },
      { "lua/util/check.lua", "expected %s", "wanted %s" },
      { "lua/dgam/show/plot.lua", "return plot", "plot.more = 1 return plot" },
      { "lua/dgam/trial/results.lua", "return results", "results.more = 1 return results" },
      { "lua/cli/main.lua", "\nlocal ", "\nlocal _ = 1\nlocal " },
      { "lua/models/zero_dce.lua", "0.02", "0.03" },
      { "lua/dgam/train/metrics.lua", "local metrics = {}", "-- a comment\n\nlocal metrics = {}" },
      { "script.lua", "local config", "-- prints\nlocal printing = print\nlocal config" },
    } do
      assert.equal(before, edited(table.unpack(edit)), edit[1])
    end
    for _, edit in ipairs {
      { "lua/models/video_swin.lua", "drop_path = 0.2", "drop_path = 0.3" },
      { "lua/dgam/nn/module.lua", "\nlocal ", "\nlocal _ = 1\nlocal " },
      { "lua/dgam/data/lists.lua", "return lists", "lists.more = 1 return lists" },
      { "lua/dgam/kernels/rng.lua", "dgamnative.rng", "dgamnative.rng\" or \"" },
      { "script.lua", "frames = 4", "frames = 8" },
      { "script.lua", "lr = 1", "lr = 2" },
    } do
      assert.not_equal(before, edited(table.unpack(edit)), edit[1])
    end
  end)
end)
