-- Scenes, the camera and the built-in dataset from Lua: plans, balance, splits, files, leakage.
local lfs = require "lfs"
local torch = require "torch"
local scene = require "dgam.kernels.scene"
local camera = require "dgam.kernels.camera"
local synthetic = require "dgam.data.builtin.synthetic"
local probes = require "dgam.data.builtin.probes"
local support = require "support"
local message = support.message
local bytes = support.bytes

local quiet = { advance = function() end, finish = function() end }

-- calls f with the dataset's cache in a folder of its own
local function with_cache(f)
  local folder, getenv = support.folder(), os.getenv
  os.getenv = function(name) return name == "DGAMLUA_CACHE" and folder or getenv(name) end -- luacheck: ignore
  local ok, e = pcall(f, folder)
  os.getenv = getenv -- luacheck: ignore
  support.remove(folder)
  if not ok then error(e, 0) end
end

local function count(items, field)
  local n = {}
  for _, item in ipairs(items) do n[item[field]] = (n[item[field]] or 0) + 1 end
  return n
end

describe("scene.film", function()
  it("gives frames and how they were taken, the same for the same seed", function()
    local clip, how = scene.film { action = "wave", light = "ELL", width = 40, height = 32, frames = 3 }
    assert.same({ 3, 3, 32, 40 }, clip.shape)
    assert.equal("uint8", clip.dtype)
    assert.is_true(how.lux > 0.05 and how.lux < 0.2 and how.gain == 16)
    assert.is_true(torch.equal(clip, (scene.film { action = "wave", light = "ELL", width = 40, height = 32, frames = 3 })))
    assert.is_false(torch.equal(clip, (scene.film { action = "wave", light = "ELL", width = 40, height = 32, frames = 3, clip = 1 })))
    local raw = scene.film { action = "wave", light = "ELL", width = 40, height = 32, frames = 3, bytes = true }
    assert.equal(3 * 32 * 40 * 3, #raw)
    assert.equal(clip[{ 2, 1, 1, 2 }]:item(), raw:byte(3 + 2))
  end)

  it("gives linear light, and one that the camera can film", function()
    local light = scene.film { linear = true, frames = 2 }
    assert.equal("float32", light.dtype)
    assert.is_true(light:min():item() >= 0 and light:max():item() < 4)
    local c <close>, how = camera.new { lux = 300, mean = { 0.15, 0.15, 0.15 } }
    assert.is_nil(c:raw())
    local frame = c:frame(light:select(2, 1):contiguous())
    assert.same({ 3, 64, 64 }, frame.shape)
    assert.is_true(frame:float():mean():item() > 40)
    assert.same({ 64, 64 }, c:raw().shape)
    assert.is_true(how.time < 0.05 and how.gain == 1)
    assert.matches("expected %(3,64,64%)", message(c.frame, c, light:contiguous():select(2, 1):narrow(2, 1, 32):contiguous()))
    c:close()
    assert.matches("closed", message(c.frame, c, light))
  end)

  it("takes actions that are written in Lua", function()
    local bow = { name = "bow", seconds = 1.2, tracks = {
      { dof = "pitch", part = "body", keys = { { 0, 0 }, { 0.4, 60 }, { 0.6, 60 }, { 1, 0 } } } } }
    assert.is_false(torch.equal((scene.film { action = bow }), (scene.film { action = "walk" })))
    assert.matches("'tail'", message(scene.film, { action = { tracks = { { dof = "tail", part = "body" } } } }))
    assert.matches("degree of freedom", message(scene.film, { action = { tracks = { { dof = "knee", part = "body" } } } }))
    assert.matches("rising times", message(scene.film, { action = { tracks = { { dof = "nod", part = "body",
      keys = { { 0.5, 1 }, { 0.2, 1 } } } } } }))
  end)

  it("refuses what it does not know", function()
    assert.matches("no action is called 'fly'", message(scene.film, { action = "fly" }))
    assert.matches("did you mean 'width'", message(scene.film, { widht = 3 }))
    assert.matches("nikon", message(scene.film, { camera = "nikon" }))
    assert.matches("dusk", message(scene.film, { light = "dusk" }))
    assert.matches("outfit is 18", message(scene.film, { outfit = 18 }))
    assert.matches("8 to 8192", message(scene.film, { width = 0 }))
    assert.matches("did you mean 'coring'", message(scene.film, { stages = { corign = false } }))
    assert.matches("read is %-1", message(scene.film, { model = { read = -1 } }))
  end)

  it("switches stages of the camera off", function()
    local how = { action = "drink", light = "ELL", lux = 0.1 }
    local plain = scene.film(how)
    how.stages = { coring = false, temporal = false, spatial = false }
    local grainy = scene.film(how)
    assert.is_true(grainy:float():std():item() > plain:float():std():item())
  end)
end)

describe("the plan", function()
  local items = synthetic.plan {}

  it("has the sizes and shares that are promised", function()
    assert.equal(720, #items)
    assert.same({ LL = 360, ELL = 360 }, count(items, "light"))
    assert.same({ train = 518, val = 58, test = 144 }, count(items, "split"))
    assert.equal(2400, #synthetic.plan { size = "small" })
    local full = synthetic.plan { size = "full" }
    assert.equal(12078, #full)
    local splits = count(full, "split")
    assert.is_true(math.abs(splits.test / 12078 - 0.2) < 0.005 and math.abs(splits.val / 12078 - 0.08) < 0.005)
    local paths = {}
    for _, item in ipairs(full) do
      assert.is_nil(paths[item.path])
      paths[item.path] = true
    end
  end)

  it("cannot tell the class from anything else", function()
    for _, o in ipairs { {}, { size = "small" }, { size = "full" }, { split = "crossed" }, { split = "bright" }, { seed = 7 } } do
      for factor, v in pairs(synthetic.balance((synthetic.plan(o)))) do
        assert.is_true(v < 0.05, ("%s: %.3f"):format(factor, v))
      end
    end
    local test = {}
    for _, item in ipairs(items) do test[#test + 1] = item.split == "test" and item or nil end
    for factor, v in pairs(synthetic.balance(test)) do assert.is_true(v < 0.05, ("test, %s: %.3f"):format(factor, v)) end
  end)

  it("measures balance rightly", function()
    local tied, even = {}, {}
    for i = 0, 99 do
      tied[i + 1] = { label = i % 4 + 1, colour = i % 4 }
      even[i + 1] = { label = i % 4 + 1, colour = i // 4 % 5, size = i // 4 }
    end
    assert.is_true(math.abs(synthetic.cramers_v(tied, "colour") - 1) < 1e-12)
    assert.is_true(synthetic.cramers_v(even, "colour") < 1e-12)
    assert.is_true(synthetic.cramers_v(even, "size") < 0.1)
  end)

  it("films LL outdoors and ELL indoors, or crosses them", function()
    local outdoor = {}
    for i, name in ipairs(scene.cast.locations) do outdoor[name] = scene.cast.outdoor[i] end
    for _, item in ipairs(items) do
      assert.equal(item.light == "LL", outdoor[item.location])
      local range = camera.preset[item.light].lux
      assert.is_true(item.lux >= range[1] and item.lux <= range[2])
    end
    local seen = {}
    for _, item in ipairs((synthetic.plan { split = "crossed" })) do seen[item.light .. item.location] = true end
    local kinds = 0
    for _ in pairs(seen) do kinds = kinds + 1 end
    assert.equal(10, kinds)
  end)

  it("leaves one actor, camera or location out", function()
    for _, case in ipairs { { "actor", "a3" }, { "actor", "a5" }, { "camera", "c920" }, { "location", "office" } } do
      local factor, level = table.unpack(case)
      local splits, actors = { train = 0, val = 0, test = 0 }, {}
      for _, item in ipairs((synthetic.plan { split = factor .. ":" .. level })) do
        assert.equal(item[factor] == level, item.split == "test")
        splits[item.split] = splits[item.split] + 1
        if item.split == "val" then actors[item.actor] = true end
      end
      assert.is_true(splits.test > 100 and splits.train > 300)
      local share = splits.val / (splits.val + splits.train)
      assert.is_true(share > 0.07 and share < 0.13, factor .. ":" .. level .. " " .. share) -- whole settings of 12 clips
      assert.is_truthy(next(actors, next(actors))) -- not all of them one person
    end
  end)

  it("names what is wrong with options", function()
    assert.matches("did you mean 'size'", message(synthetic.plan, { sise = "tiny" }))
    assert.matches("did you mean 'tiny'", message(synthetic.plan, { size = "tinny" }))
    assert.matches("unknown split 'nonsense'", message(synthetic.plan, { split = "nonsense" }))
    assert.matches("unknown actor 'bob'", message(synthetic.plan, { split = "actor:bob" }))
    assert.matches("unknown factor to leave out 'hat'", message(synthetic.plan, { split = "hat:red" }))
    assert.matches("clips is 0", message(synthetic.plan, { clips = 0 }))
  end)
end)

describe("synthetic.prepare", function()
  it("films once, goes on after a stop, and gives the same bytes again", function()
    local first = {}
    with_cache(function(folder)
      local root, items = synthetic.prepare({ clips = 30 }, quiet)
      assert.equal(30, #items)
      assert.equal(folder, root:sub(1, #folder))
      for i, item in ipairs(items) do first[i] = bytes(root .. "/" .. item.path) end
      local n = 0
      for _, split in ipairs { "train", "val", "test" } do
        for line in io.lines(("%s/lists/paper_%s.txt"):format(root, split)) do
          assert.matches("^clips/[%w-]+/%S+%.avi %d+$", line)
          n = n + 1
        end
      end
      assert.equal(30, n)
      local header = io.lines(root .. "/metadata.csv")()
      for _, factor in ipairs(synthetic.factors) do assert.is_truthy(header:find(factor, 1, true)) end
      -- nothing is filmed again
      local changed = lfs.attributes(root .. "/" .. items[1].path, "modification")
      synthetic.prepare({ clips = 30 }, { advance = function() error "filmed" end, finish = function() end })
      assert.equal(changed, lfs.attributes(root .. "/" .. items[1].path, "modification"))
    end)
    with_cache(function()
      local stop = { advance = function() error("stopped", 0) end, finish = function() end }
      assert.matches("stopped", message(synthetic.prepare, { clips = 30 }, stop))
      local done = 0
      local root, items = synthetic.prepare({ clips = 30 }, { advance = function(_, n) done = done + n end, finish = function() end })
      assert.equal(0, done) -- all were complete when it stopped
      os.remove(root .. "/complete")
      os.remove(root .. "/" .. items[7].path)
      local f = assert(io.open(root .. "/statistics.csv", "ab"))
      f:write("12,3.4") -- cut off
      f:close()
      synthetic.prepare({ clips = 30 }, { advance = function(_, n) done = done + n end, finish = function() end })
      assert.equal(1, done)
      for i, item in ipairs(items) do assert.is_true(first[i] == bytes(root .. "/" .. item.path)) end
    end)
  end)

  it("says where it cannot write", function()
    with_cache(function(folder)
      local f = assert(io.open(folder .. "/synthetic-file", "w"))
      f:close()
      local cache = synthetic.cache
      synthetic.cache = function() return folder .. "/synthetic-file/below" end
      local text = message(synthetic.prepare, { clips = 12 }, quiet)
      synthetic.cache = cache
      assert.matches("cannot make the folder .*synthetic%-file.*DGAMLUA_CACHE", text)
    end)
  end)
end)

describe("probes", function()
  it("find what is there and nothing else", function()
    torch.manual_seed(1)
    local labels, features = {}, torch.randn(240, 6)
    for i = 1, 240 do labels[i] = i % 4 + 1 end
    for _, classifier in ipairs { "ridge", "neighbours" } do
      assert.is_true(probes.classify(features, labels, { classes = 4, classifier = classifier }).at_chance)
      local leaking = features:clone()
      leaking:select(2, 3):add_(torch.tensor(labels):float() * 3)
      local r = probes.classify(leaking, labels, { classes = 4, classifier = classifier })
      assert.is_true(r.accuracy > 0.6 and not r.at_chance)
      assert.matches("LEAKS", tostring(r))
    end
  end)

  it("are at chance on clips without the person", function()
    for _, classifier in ipairs { "ridge", "neighbours" } do
      local r = probes.empty({}, { classifier = classifier, most = 240 })
      assert.is_true(r.at_chance, tostring(r))
    end
  end)
end)
