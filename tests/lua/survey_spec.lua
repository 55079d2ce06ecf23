-- What a dataset looks like in numbers: against a naive count, and against noise that was put there.
local torch = require "torch"
local film = require "film"
local lfs = require "lfs"
local survey = require "dgam.data.survey"
local video = require "dgam.kernels.video"
local support = require "support"

local LOSSLESS = { codec = "ffv1", pixels = "bgr0", fps = 10 } -- what goes in comes out
local quiet = { advance = function() end, finish = function() end }

describe("dgam.survey", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function dataset(names)
    local items = {}
    for i, name in ipairs(names) do items[i] = { path = folder .. "/" .. name, label = 1 } end
    return require("dgam.data").open { name = "spec", classes = { "a" }, items = items }
  end

  local function measure(names, options)
    options = options or {}
    options.bar = quiet
    return survey.measure(dataset(names), options)
  end

  it("measures flat grey exactly, whatever the size and length", function()
    for i, grey in ipairs { 0, 2, 77 } do
      local frames = torch.empty({ 4 * i, 3, 17 + i, 33 }, { dtype = "uint8" }):fill_(grey)
      video.write(("%s/%d.avi"):format(folder, i), frames, LOSSLESS)
    end
    local s = measure { "1.avi", "2.avi", "3.avi" }
    assert.same({ 0, 2, 77 }, s.luma)
    assert.same({ 1, 0, 0 }, s.zeros)
    assert.same({ 1, 1, 0 }, s.low)
    assert.same({ 4, 8, 12 }, s.frames)
    assert.same({ 18, 19, 20 }, s.height)
    assert.same({ 10, 10, 10 }, s.fps)
    for i = 1, 3 do
      assert.truthy(math.abs(s.entropy[i]) < 1e-9)
      assert.truthy(s.rho[i] ~= s.rho[i]) -- nothing to correlate
      assert.near(-40, s.snr[i], 0.01)
    end
    assert.same({ 3, 7, 8 }, s.lag) -- the third is long enough
    assert.equal(4 * 18 * 33, s.histogram[1][1]:item())
    assert.equal(12 * 20 * 33, s.histogram[3][78]:item())
    assert.equal(12 * 20 * 33, s.histogram[3]:sum():item())
  end)

  it("counts as a loop over all pixels does", function()
    torch.manual_seed(3)
    local frames = torch.randint(0, 200, { 5, 3, 12, 20 }):float():mul(torch.rand(5, 1, 12, 20)):to "uint8"
    video.write(folder .. "/a.avi", frames, LOSSLESS)
    local s = measure { "a.avi" }
    local counts, sum, n = {}, 0, 12 * 20
    local entropy = 0
    for _, frame in ipairs(frames:totable()) do
      local here = {}
      for y = 1, 12 do
        for x = 1, 20 do
          local luma = math.floor(0.299 * frame[1][y][x] + 0.587 * frame[2][y][x] + 0.114 * frame[3][y][x] + 0.5)
          here[luma], counts[luma], sum = (here[luma] or 0) + 1, (counts[luma] or 0) + 1, sum + luma
        end
      end
      for _, c in pairs(here) do entropy = entropy - c / n * math.log(c / n, 2) / 5 end
    end
    assert.near(sum / n / 5, s.luma[1], 1e-3) -- a rounding of .5 may fall the other way
    assert.near(entropy, s.entropy[1], 1e-3)
    assert.near((counts[0] or 0) / n / 5, s.zeros[1], 1e-9)
    local off = 0
    for v, c in ipairs(s.histogram[1]:totable()) do off = off + math.abs(c - (counts[v - 1] or 0)) end
    assert.truthy(off <= 4, off)
  end)

  -- Frames of a scene with standard deviation `scene` under noise with standard deviation `noise`, and something bright that moves.
  local function noisy(name, scene, noise, moving, t)
    torch.manual_seed(7)
    t = t or 20
    local h, w = 96, 128
    local y = torch.linspace(0, 6, h):unsqueeze(2)
    local x = torch.linspace(0, 9, w):unsqueeze(1)
    local pattern = torch.sin(y) * torch.cos(x * 1.3) + 0.3 * torch.sin(x * 5 + y)
    pattern = (pattern - pattern:mean()) / pattern:std({}, false) * scene
    local frames = torch.randn(t, 1, h, w) * noise + 100 + pattern
    if moving then
      for k = 1, t do -- in 8 frames it goes farther than it is wide, so that no pixel is in it twice
        local at = { k, {}, { 20, 50 }, { 10 + 4 * k, 30 + 4 * k } }
        frames[at] = frames[at] + 60
      end
    end
    frames = (frames + 0.5):floor():clamp(0, 255):to("uint8"):expand { -1, 3, -1, -1 }:contiguous()
    video.write(folder .. "/" .. name, frames, LOSSLESS)
  end

  it("finds the SNR that was put in, within half a decibel", function()
    for i, case in ipairs { { 10, 20 }, { 10, 10 }, { 20, 5 }, { 20, 2 }, { 6, 20 } } do
      noisy(i .. ".avi", case[1], case[2])
      local s = measure { i .. ".avi" }
      local noise = math.sqrt(case[2] ^ 2 + 1 / 12) -- rounding to whole numbers is noise too
      assert.near(20 * math.log(case[1] / noise, 10), s.snr[1], 0.5)
      assert.equal(8, s.lag[1])
    end
  end)

  it("leaves out what moves, says where, and does not take a short clip for more than it is", function()
    noisy("moving.avi", 10, 10, true)
    noisy("short.avi", 10, 10, false, 5)
    noisy("one.avi", 10, 10, false, 1)
    local s = measure { "moving.avi", "short.avi", "one.avi" }
    assert.near(0, s.snr[1], 0.7)
    assert.near(0, s.snr[2], 0.7)
    assert.same({ 8, 4, 0 }, s.lag)
    assert.truthy(s.snr[3] ~= s.snr[3])
    local spot = survey.spot(s.motion[1])
    assert.near((20 + 42) / 128, spot.x, 0.08)
    assert.near(35 / 96, spot.y, 0.08)
    assert.truthy(spot.w > 0.4 and spot.w < 1 and spot.h > 0.2 and spot.h < 0.7)
    assert.is_nil(survey.spot(s.motion[3]))
  end)

  it("goes over all the film for the frames it reads, and to any size of clip in one go", function()
    film.write(folder .. "/long.avi", 50, 40, 24, LOSSLESS)
    film.write(folder .. "/other.avi", 6, 16, 8, LOSSLESS)
    film.write(folder .. "/again.avi", 50, 40, 24, LOSSLESS)
    local s = measure({ "long.avi", "other.avi", "again.avi" }, { frames = 5, threads = 2 })
    local wanted = 0
    for k = 1, 5 do wanted = wanted + film.grey(3 + 10 * (k - 1)) / 5 end -- 50 - 5 * 10 + 1 places to start: the first
    local seen = {}
    for v, c in ipairs(s.histogram[1]:totable()) do
      if c > 0 then seen[#seen + 1] = v - 1 end
    end
    assert.equal(5, #seen)
    for i = 2, 5 do assert.equal(40, seen[i] - seen[i - 1]) end -- ten frames of four levels each
    assert.truthy(math.abs(s.luma[1] - wanted) <= 12)
    assert.equal(s.luma[1], s.luma[3])
    assert.same({ 40, 16, 40 }, s.width)
  end)

  it("holds one clip, however many sizes there are", function()
    local names, held = {}, {}
    for i = 1, 12 do
      names[i] = i .. ".avi"
      film.write(folder .. "/" .. names[i], 16, 160 + 16 * (i * 5 % 12), 96, LOSSLESS)
    end
    survey.measure(dataset(names), { bar = { finish = function() end, advance = function()
      collectgarbage()
      collectgarbage()
      held[#held + 1] = torch.memory()
    end } })
    local largest = 3 * 16 * 96 * (160 + 16 * 11)
    assert.equal(12, #held)
    assert.is_true(math.max(table.unpack(held)) - held[1] < 2 * largest, ("%d bytes"):format(held[12] - held[1]))
  end)

  it("reports what it cannot read and goes on", function()
    film.write(folder .. "/good.avi", 9, 16, 8, LOSSLESS)
    film.text(folder .. "/bad.avi", "no video at all")
    local old, said = io.stderr, {}
    io.stderr = { write = function(_, ...) said[#said + 1] = table.concat { ... } end, flush = function() end } -- luacheck: ignore
    local ok, s = pcall(measure, { "none.avi", "good.avi", "bad.avi" })
    io.stderr = old -- luacheck: ignore
    assert.truthy(ok, s)
    assert.equal(1, s.n)
    assert.same({ 2 }, s.index)
    assert.equal(2, #s.unreadable)
    assert.truthy(table.concat(said):find("bad.avi", 1, true) and table.concat(said):find("none.avi", 1, true))
    for _, text in ipairs(s.unreadable) do assert.is_nil(text:find("survey_spec.lua", 1, true), text) end
    io.stderr = { write = function() end, flush = function() end } -- luacheck: ignore
    ok, s = pcall(measure, { "bad.avi" })
    io.stderr = old -- luacheck: ignore
    assert.is_false(ok)
    assert.truthy(tostring(s):find("none of its 1 clips", 1, true))
    assert.is_nil(lfs.attributes(folder .. "/none.avi"))
  end)

  it("refuses options that mean nothing", function()
    local fails = require("support").fails
    film.write(folder .. "/good.avi", 2, 16, 8, LOSSLESS)
    fails("frames is 0", measure, { "good.avi" }, { frames = 0 })
    fails("lag is 1.5", measure, { "good.avi" }, { lag = 1.5 })
    fails("did you mean 'frames'", measure, { "good.avi" }, { frame = 3 })
  end)

  it("keeps the promise of decibels at both ends", function()
    assert.near(0, survey.decibels(0.5), 1e-12)
    assert.near(-40, survey.decibels(-0.3), 0.01)
    assert.near(60, survey.decibels(1), 0.01)
    assert.near(-40, survey.decibels(0 / 0), 0.01)
  end)
end)
