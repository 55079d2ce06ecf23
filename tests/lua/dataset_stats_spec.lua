-- The dataset statistics, run as a user runs them: on a folder of odd names with a damaged clip in it.
local lfs = require "lfs"
local torch = require "torch"
local film = require "film"
local fs = require "dgamnative.fs"
local h5 = require "dgam.kernels.h5"
local results = require "dgam.trial.results"
local shell = require "util.shell"
local support = require "support"
local video = require "dgam.kernels.video"

describe("experiments/dataset_stats.lua", function()
  local folder, data
  local CLASSES = { "<b>bold &amp; more", "Zoë 日本 {x}^2", "it's_a `touch trap`" }

  setup(function()
    folder = support.folder()
    data = folder .. "/we'ird $(touch trap) name"
    lfs.mkdir(data)
    lfs.mkdir(folder .. "/results")
    torch.manual_seed(5)
    for c, class in ipairs(CLASSES) do
      lfs.mkdir(data .. "/" .. class)
      for i = 1, 3 do
        local frames = (torch.rand(12, 3, 24, 32) * (10 * c)):to "uint8"
        video.write(("%s/%s/clip %d.avi"):format(data, class, i), frames, { fps = 10, codec = "ffv1", pixels = "bgr0" })
      end
    end
    fs.write(data .. "/" .. CLASSES[2] .. "/clip 2.avi", "this is no video")
  end)
  teardown(function() support.remove(folder) end)

  local function run(...)
    local words = {}
    for i, word in ipairs { "experiments/dataset_stats.lua", ... } do words[i] = shell.quote(word) end
    local command = ("cd %s && DGAMLUA_RESULTS=results %s %s 2>&1"):format(shell.quote(folder), shell.program(), table.concat(words, " "))
    local pipe = assert(io.popen(command))
    local text = pipe:read "a"
    return text, pipe:close()
  end

  it("measures what can be read, draws everything, and reads it back the next time", function()
    local text, ok = run("data=" .. data)
    assert.truthy(ok, text)
    assert.truthy(text:find("left out a clip: ", 1, true) and text:find("clip 2.avi", 1, true), text)
    assert.truthy(text:find("1 clips could not be read", 1, true), text)
    assert.truthy(text:find("Not known of this dataset: light, camera, location, spot.", 1, true), text)
    for _, class in ipairs(CLASSES) do assert.truthy(text:find(class, 1, true), class) end
    assert.is_nil(lfs.attributes(folder .. "/trap"))

    local records = results.scan(folder .. "/results")
    assert.equal(1, #records)
    local r = results.load(records[1].path)
    assert.equal(8, r.metrics.clips)
    assert.equal(1, r.metrics.unreadable)
    assert.near(9.6, r.metrics.seconds, 1e-9)
    local file <close> = h5.open(records[1].path)
    assert.same(CLASSES, file:read "texts/classes")
    assert.equal(8, #file:read "texts/clips")
    assert.equal(8 * 12 * 24 * 32, file:read("arrays/histogram"):sum():item())
    -- what is printed is what is stored
    local line = text:match "\n(we'ird[^\n]*)"
    assert.truthy(line:find((" %.2f "):format(r.metrics.luma), 1, true), line)
    assert.truthy(line:find((" %.1f"):format(r.metrics.snr), 1, true), line)

    local drawn = {}
    for name in lfs.dir(folder .. "/results") do
      local ending = name:match "%.(%l%l%l)$"
      if ending then drawn[ending] = (drawn[ending] or 0) + 1 end
      if ending == "svg" then
        local svg = support.bytes(folder .. "/results/" .. name)
        assert.is_nil(svg:find("<b>", 1, true), name)
        if name:find "figure2" then assert.truthy(svg:find("{x}^2", 1, true) and svg:find("it's_a `touch trap`", 1, true)) end
      end
    end
    assert.same({ svg = 5, png = 5 }, drawn)

    for i = 1, 3 do -- as many bytes, so the same dataset
      local path = ("%s/%s/clip %d.avi"):format(data, CLASSES[1], i)
      fs.write(path, ("x"):rep(lfs.attributes(path, "size")))
    end
    local again
    again, ok = run("data=" .. data)
    assert.truthy(ok, again)
    assert.is_nil(again:find("left out a clip", 1, true)) -- nothing was read
    assert.equal(text:match "Table 1.*", again:match "Table 1.*")
  end)

  it("gives every dataset and every light a name of its own", function()
    for i, name in ipairs { "A", "B" } do
      lfs.mkdir(folder .. "/" .. name)
      lfs.mkdir(folder .. "/" .. name .. "/vids")
      lfs.mkdir(folder .. "/" .. name .. "/vids/sit")
      film.write(folder .. "/" .. name .. "/vids/sit/1.avi", 3, 16, 8, nil, 20 * i)
    end
    for _, name in ipairs { "視頻", "暗い" } do lfs.link("A/vids", folder .. "/" .. name, true) end
    film.text(folder .. "/lights.lua", [[return { name = "lights", classes = { "a" }, options = {}, items = {
      { path = "A/vids/sit/1.avi", label = 1, light = "暗い" }, { path = "B/vids/sit/1.avi", label = 1, light = "明るい" } } }]])
    local text, ok = run "data=A/vids,B/vids,視頻,暗い,lights.lua?root=A/..,lights.lua?root=B/.."
    assert.truthy(ok, text)
    for title, name in pairs { ["A/vids"] = "a_vids", ["B/vids"] = "b_vids", ["視頻"] = "視頻", ["暗い"] = "暗い",
      ["lights.lua?root=A/.."] = "lights_lua_root_a_", ["lights.lua?root=B/.."] = "lights_lua_root_b_" } do
      assert.truthy(text:find("\nTable 2, " .. title .. "\n", 1, true), text)
      local file = folder .. "/results/dataset_stats_" .. name .. "_table2.svg"
      assert.truthy(support.bytes(file):find(title, 1, true), file)
    end
    local luma, of_lights = {}, {}
    for _, record in ipairs(results.scan(folder .. "/results")) do
      luma[record.label] = record.metrics.luma
      if record.label:find("lights", 1, true) then of_lights = record.metrics end
    end
    assert.is_true(luma["B/vids"] > luma["A/vids"] + 50)
    assert.same({ 1, 1, 2 }, { of_lights["clips__"], of_lights["clips__-2"], of_lights.clips })
  end)

  it("compares datasets with options of their own and names what is wrong with them", function()
    local description = folder .. "/described.lua"
    film.text(description, ([[return { name = "described", classes = { "a", "b" }, options = { many = 2 }, prepare = function(o)
      local items = {}
      for i = 1, o.many do
        items[i] = { path = %q .. "/clip " .. i .. ".avi", label = i %% 2 + 1, split = ({ "test", "train" })[i],
          light = i == 1 and "ELL" or "LL", camera = "it's", location = "yard", spot = i == 1 and "left" or "right" }
      end
      return { items = items } end }]]):format(data .. "/" .. CLASSES[3]))
    local text, ok = run("data=described.lua?many=3,described.lua", "frames=4")
    assert.truthy(ok, text)
    assert.truthy(text:find("described, many=3 +3 ") and text:find("\ndescribed +2 "), text)
    assert.truthy(text:find("   ELL +1 ") and text:find("spot: left", 1, true), text)
    assert.truthy(text:find("train +test +no split +all") and text:find("\nall +1 +1 +1 +3 "), text)
    text, ok = run "data=described.lua?mani=3"
    assert.is_nil(ok)
    assert.truthy(text:find("did you mean 'many'", 1, true), text)
    text, ok = run "data=described.lua?many"
    assert.is_nil(ok)
    assert.truthy(text:find("is not an option of the form key=value", 1, true), text)
  end)
end)
