-- Changes of pixels: torchvision's results, draws that depend on (seed, epoch, clip) only, errors.
local torch = require "torch"
local augment = require "dgam.kernels.augment"
local video = require "dgam.kernels.video"
local fails = require("support").fails

local function largest(a, b) return (a:double() - b:double()):abs():max():item() end

describe("changes of pixels", function()
  local h5 = require "dgam.kernels.h5"
  local file
  setup(function() file = h5.open "tests/golden/augment.h5" end)
  teardown(function() file:close() end)

  it("are torchvision's (tests/golden/make_augment.py)", function()
    local x = file:read("source"):transpose(1, 2):contiguous() -- [3, T, H, W]
    local moves = { shear_x = true, shear_y = true, rotate = true }
    local seen = {}
    for i = 1, 99 do
      local name = ("case%02d"):format(i)
      if not file:has(name) then break end
      local attributes = file:attrs(name)
      local got = augment.apply(x:clone(), attributes.kind, attributes.value)
      local want = file:read(name):transpose(1, 2)
      local what = ("%s by %g"):format(attributes.kind, attributes.value)
      if moves[attributes.kind] then -- torch adds in single precision: another pixel may be nearest
        local differ = got:ne(want):float():mean():item()
        assert.is_true(differ < 2e-3, ("%s: %g of the pixels differ"):format(what, differ))
      else
        assert.equal(0, largest(got, want), what)
      end
      seen[attributes.kind] = true
    end
    local kinds = 0
    for _ in pairs(seen) do kinds = kinds + 1 end
    assert.equal(14, kinds)
  end)

  it("brighten with a gamma above 1, as enhance.gamma does", function()
    local x = torch.arange(0, 256):to("uint8"):view(1, 1, 16, 16):expand({ 3, 1, 16, 16 }):contiguous()
    local want = require("dgam.kernels.enhance").gamma(x:transpose(1, 2):contiguous(), 1.7)
    assert.is_true(torch.equal(augment.apply(x:clone(), "gamma", 1.7):transpose(1, 2), want))
  end)

  it("erase a rectangle in every frame", function()
    local x = torch.full({ 3, 2, 6, 8 }, 9, { dtype = "uint8" })
    augment.apply(x, "erase", 200, { x = 3, y = 2, width = 4, height = 5 })
    local mask = x:eq(200)
    assert.equal(3 * 2 * 4 * 5, mask:sum():item())
    assert.is_true(mask[{ {}, {}, { 2, 6 }, { 3, 6 } }]:all():item())
  end)

  it("name what is wrong", function()
    local x = torch.zeros({ 3, 1, 4, 4 }, { dtype = "uint8" })
    fails("there is no change 'rotat'", augment.apply, x, "rotat", 1)
    fails("gamma by 0, expected 0.001 to 1000", augment.apply, x, "gamma", 0)
    fails("nan, expected 0.001", function() augment.apply(x, "gamma", -(0 / 0)) end)
    fails("posterise by 9, expected 0 to 8", augment.apply, x, "posterise", 9)
    fails("do not lie in a picture of 4 x 4", augment.apply, x, "erase", 1, { x = 2, width = 4, height = 1 })
    fails("jitter is -1, expected a number from 0", augment.options, { jitter = -1 })
    fails("did you mean 'contrast'", augment.options, { jitter = { contrst = 1 } })
    fails("randaugment: magnitude is 31", augment.options, { randaugment = 31 })
    fails("randaugment: magnitude is 3.5, expected a whole number", augment.options, { randaugment = 3.5 })
    fails("gamma_jitter is nan", function() augment.options { gamma_jitter = math.abs(0 / 0) } end)
    fails("gamma_jitter[1] is 0, expected a number from 0.001", augment.options, { gamma_jitter = { 0, 2 } })
    fails("erasing: probability is 2", augment.options, { erasing = 2 })
    fails('erasing: fill is 300, expected a whole number from 0 to 255, or "noise"', video.sampling, { erasing = { fill = 300 } })
    fails("erasing: fill is -1, expected", video.sampling, { erasing = { fill = -1 } })
    fails("erasing: fill is noisy, expected", video.sampling, { erasing = { fill = "noisy" } })
    fails("erasing: area is 0.5, expected {least, most}", video.sampling, { erasing = { area = 0.5 } })
    fails("erasing: ratio[2] is nil, expected a number from 0.001 to 1000", video.sampling, { erasing = { ratio = { 1 } } })
    fails("option 'area' is 0.5, expected {least, most}", video.sampling, { area = 0.5 })
    fails("option 'area[2]' is nil, expected a number: {least, most}", video.sampling, { area = { 0.5 } })
    fails("option 'tiles' is 3, expected {down, across}", video.sampling, { enhance = { "clahe", tiles = 3 } })
    fails("option 'tiles' has 3 values, expected two: {down, across}", video.sampling, { enhance = { "clahe", tiles = { 1, 2, 3 } } })
    fails("enhance is a number, expected a name or { name, options }", video.sampling, { enhance = 3 })
    fails("expected one of none, gamma, equalise, clahe, retinex, lime", video.sampling, { enhance = {} })
    fails("augment.apply: rectangle is 3, expected a table", augment.apply, x, "erase", 1, 3)
    fails("expected a range in ascending order", video.sampling, { gamma_jitter = { 2, 0.5 } })
    fails("unknown enhancer 'clae'; did you mean 'clahe'", video.sampling, { enhance = "clae" })
    fails("did you mean 'clip_limit'", video.sampling, { enhance = { "clahe", clip_limt = 3 } })
    fails("clip limit is -1", video.sampling, { enhance = { "clahe", clip_limit = -1 } })
    fails("gamma is 0", video.sampling, { enhance = { "gamma", gamma = 0 } })
    fails("tiles on a frame of 4 x 4", video.sampling, { enhance = "clahe", size = 4 })
  end)
end)

describe("draws", function()
  it("of RandAugment have torchvision's strengths", function()
    local h5 = require "dgam.kernels.h5"
    local file <close> = h5.open "tests/golden/augment.h5"
    local want = file:read("randaugment"):totable()
    local rows = { shear_x = 1, shear_y = 2, translate_x = 3, translate_y = 4, rotate = 5, brightness = 6, saturation = 7, contrast = 8,
      sharpness = 9, posterise = 10, solarise = 11 }
    local counts, signs = {}, 0
    for magnitude = 0, 30, 3 do
      local s = video.sampling { width = 80, height = 64, randaugment = { ops = 8, magnitude = magnitude }, seed = magnitude }
      for epoch = 1, 60 do
        for _, change in ipairs(s:changes(epoch)) do
          counts[change.kind] = (counts[change.kind] or 0) + 1
          local row, v = rows[change.kind], change.value
          if row and row >= 6 and row <= 9 then v = v - 1 end
          if v < 0 then signs = signs + 1 end
          if row then assert.is_true(math.abs(math.abs(v) - want[row][magnitude + 1]) < 1e-4, change.kind) end
        end
      end
    end
    local total = 11 * 60 * 8
    for kind, n in pairs(counts) do assert.is_true(math.abs(n - total / 14) < 5 * math.sqrt(total / 14), kind) end
    assert.is_nil(counts.identity) -- drawn, but nothing to be done
    assert.is_true(signs > total * 9 / 14 / 2 * 0.8 and signs < total * 9 / 14 / 2 * 1.1)
  end)

  it("of jitter, gamma and erasing fill their ranges, in any order", function()
    local s = video.sampling { width = 60, height = 40, jitter = { brightness = 0.4, contrast = { 0.5, 3 }, hue = 0.1 },
      gamma_jitter = 2, erasing = { probability = 0.5, fill = "noise" } }
    local least, most, first, erased = {}, {}, {}, 0
    for at = 1, 2000 do
      local list = s:changes(3, at)
      first[list[1].kind] = (first[list[1].kind] or 0) + 1
      for _, change in ipairs(list) do
        local v = change.value
        if change.kind == "erase" then
          erased, v = erased + 1, change.width * change.height / 2400
          assert.is_true(change.noise and change.x >= 1 and change.x + change.width <= 61 and change.y + change.height <= 41)
        end
        least[change.kind] = math.min(least[change.kind] or v, v)
        most[change.kind] = math.max(most[change.kind] or v, v)
      end
    end
    local function spans(kind, lo, hi, slack)
      assert.is_true(least[kind] >= lo - 1e-9 and least[kind] < lo + slack, ("%s from %g"):format(kind, least[kind]))
      assert.is_true(most[kind] <= hi + 1e-9 and most[kind] > hi - slack, ("%s to %g"):format(kind, most[kind]))
    end
    spans("brightness", 0.6, 1.4, 0.01)
    spans("contrast", 0.5, 3, 0.02)
    spans("hue", -0.1, 0.1, 0.002)
    spans("gamma", 0.5, 2, 0.02)
    spans("erase", 0.02 * 0.9, 0.33 * 1.1, 0.06)
    assert.is_nil(least.saturation)
    assert.is_true(math.abs(erased - 1000) < 5 * 23)
    for _, kind in ipairs { "brightness", "contrast", "hue" } do assert.is_true(math.abs(first[kind] - 2000 / 3) < 5 * 22) end
  end)

  it("leave frames and crops as they are drawn without", function()
    local plain, changed = video.sampling { seed = 4 }, video.sampling { seed = 4, jitter = 0.3, randaugment = 9, erasing = 1 }
    local of = { width = 320, height = 240, frames = 200 }
    assert.same(plain:views(of, 1, 7), changed:views(of, 1, 7))
    assert.same({}, plain:changes(1, 7))
    assert.same(changed:changes(1, 7), changed:changes(1, 7))
    assert.not_same(changed:changes(1, 7), changed:changes(1, 8))
  end)
end)

describe("mixup and cutmix", function()
  local mix = require "dgam.data.mix"
  local file
  setup(function() file = require("dgam.kernels.h5").open "tests/golden/augment.h5" end)
  teardown(function() file:close() end)

  it("are torchvision's", function()
    local label = file:read "mix/label" + 1
    local boxes = file:read("mix/boxes"):totable()
    for _, b in ipairs(boxes) do
      local box, left = mix.box(b[1], b[2], b[3], b[4], b[5])
      assert.same({ b[6], b[7], b[8], b[9] }, box)
      assert.is_true(math.abs(b[10] - left) < 1e-12)
    end
    local box = { boxes[1][6], boxes[1][7], boxes[1][8], boxes[1][9] }
    for i, v in ipairs(box) do box[i] = math.tointeger(v) end
    for _, how in ipairs { { kind = "mixup", lambda = 0.37 }, { kind = "cutmix", lambda = boxes[1][10], box = box } } do
      local clip = file:read "mix/clip"
      local target = mix.apply(clip, label, 3, how)
      assert.is_true(largest(clip, file:read("mix/" .. how.kind)) <= 0.5001, how.kind)
      assert.is_true(largest(target, file:read("mix/" .. how.kind .. "_target")) < 1e-6, how.kind)
    end
  end)

  it("keep the views of a sample together", function()
    local clip = torch.arange(0, 6):byte():view(6, 1, 1, 1, 1):expand({ 6, 3, 1, 2, 2 }):contiguous()
    mix.apply(clip, torch.tensor { 1, 2, 3 }, 3, { kind = "mixup", lambda = 0 })
    assert.same({ 4, 5, 0, 1, 2, 3 }, clip[{ {}, 1, 1, 1, 1 }]:totable())
  end)

  it("draw lambda from a beta distribution", function()
    local rng = require "dgam.kernels.rng"
    for _, alpha in ipairs { 0.2, 0.8, 1, 4 } do
      local sum, squares, n = 0, 0, 4000
      local r = rng.new(1, 2)
      for _ = 1, n do
        local v = mix.beta(r, alpha)
        sum, squares = sum + v, squares + (v - 0.5) ^ 2
      end
      local variance = 1 / (4 * (2 * alpha + 1))
      assert.is_true(math.abs(sum / n - 0.5) < 5 * math.sqrt(variance / n))
      assert.is_true(math.abs(squares / n / variance - 1) < 0.1)
    end
    local kinds = { mixup = 0, cutmix = 0 }
    for batch = 1, 200 do
      local how = mix.draw({ mixup = 0.8, cutmix = 1 }, 20, 30, 1, 1, batch)
      kinds[how.kind] = kinds[how.kind] + 1
    end
    assert.is_true(math.abs(kinds.mixup - 100) < 5 * 7)
  end)
end)
