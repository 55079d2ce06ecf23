-- Classical enhancers and Zero-DCE: OpenCV's and scipy's results, layouts, gradients on both paths, errors.
local torch = require "torch"
local enhance = require "dgam.kernels.enhance"
local models = require "models"
local optim = require "dgam.nn.optim"
local message = require("support").message
local ops = torch.ops.dgam

local function largest(a, b) return (a:double() - b:double()):abs():max():item() end
local function dark(...) return (torch.rand(...):pow(3) * 96):to("uint8") end

describe("enhancers", function()
  it("give what OpenCV and scipy give (tests/golden/make_enhance.py)", function()
    local h5 = require "dgam.kernels.h5"
    local file <close> = h5.open "tests/golden/enhance.h5"
    for _, case in ipairs { "even", "odd" } do
      local x = file:read(case .. "/source") -- [T, 3, H, W]
      local function off(name, y) return largest(y, file:read(case .. "/" .. name)) end
      assert.equal(0, off("equalise_luma", enhance.equalise(x)))
      assert.equal(0, off("equalise_rgb", enhance.equalise(x, { per_channel = true })))
      assert.is_true(off("clahe_luma", enhance.clahe(x)) <= 1)
      assert.is_true(off("clahe_5x3_rgb", enhance.clahe(x, { clip_limit = 7.5, tiles = { 3, 5 }, per_channel = true })) <= 1)
      assert.is_true(off("retinex", enhance.retinex(x)) <= 1)
      assert.is_true(off("retinex_plain", enhance.retinex(x, { scales = { 3, 12 }, dynamic = 2, restore = false })) <= 1)
      assert.is_true(off("lime", enhance.lime(x)) <= 1)
    end
  end)

  it("keep shape and type, whatever the layout", function()
    local clip = dark { 2, 3, 4, 9, 14 }
    for _, name in ipairs { "none", "gamma", "equalise", "clahe", "retinex", "lime" } do
      local step = enhance.by_name(name)
      local out = step(clip)
      assert.same(clip.shape, out.shape)
      assert.equal("uint8", out.dtype)
      local frames = step(clip[2]:transpose(1, 2)) -- [T, 3, H, W], not contiguous
      assert.is_true(torch.equal(out[2]:transpose(1, 2), frames), name)
      local turned = step(clip:transpose(4, 5):contiguous():transpose(4, 5)) -- the pixels of a row are apart
      assert.is_true(torch.equal(out, turned), name)
    end
  end)

  it("do gamma on bytes, rounded or truncated", function()
    local v = torch.arange(0, 256):to("uint8"):view(1, 1, 16, 16):expand { 1, 3, 16, 16 }
    local want = torch.arange(0, 256):double():div(255):pow(1 / 1.8):mul(255)
    assert.is_true(torch.equal(enhance.gamma(v, 1.8):select(2, 1):flatten(), want:round():to "uint8"))
    assert.is_true(torch.equal(enhance.gamma(v, 1.8, { truncate = true }):select(2, 3):flatten(), want:floor():to "uint8"))
    assert.is_true(torch.equal(enhance.gamma(v, 1), v))
  end)

  it("are listed with their options, and take the first one by itself", function()
    local clip = dark { 1, 3, 2, 9, 9 }
    for _, method in ipairs(enhance.methods) do
      assert.is_true(torch.equal(enhance[method.name](clip), enhance.by_name(method.name)(clip)), method.name)
    end
    assert.same({ name = "lime", options = { "alpha", "gamma", "sigma" } }, enhance.methods[5])
    assert.is_true(torch.equal(enhance.lime(clip, { alpha = 2, sigma = 3 }), enhance.lime(clip, 2, { sigma = 3 })))
    assert.is_true(torch.equal(enhance.equalise(clip, { per_channel = true }), enhance.equalise(clip, true)))
    assert.same({ 0, 3, 2, 9, 9 }, enhance.lime(dark { 0, 3, 2, 9, 9 }).shape)
  end)

  it("name what is wrong", function()
    local clip = dark { 1, 3, 2, 9, 9 }
    for _, name in ipairs { "gamma", "equalise", "clahe", "retinex", "lime" } do
      assert.matches("enhance." .. name .. ": clip is nil, expected a tensor", message(enhance[name]))
      assert.matches("clip is dark, expected a tensor", message(enhance.by_name(name), "dark"))
    end
    assert.matches("expected uint8", message(enhance.clahe, clip:float()))
    assert.matches("expected uint8", message(enhance.gamma, clip:float(), 2))
    assert.matches("expected 3 channels", message(enhance.lime, dark { 1, 4, 2, 9, 9 }))
    assert.matches("%[N,3,T,H,W%]", message(enhance.equalise, clip[1][1]))
    assert.matches("tiles are", message(enhance.clahe, clip, { tiles = { 0, 2 } }))
    assert.matches("20 x 2 tiles on a frame of 9 x 9", message(enhance.clahe, clip, { tiles = { 20, 2 } }))
    assert.matches("a scale is 0", message(enhance.retinex, clip, { scales = { 0 } }))
    assert.matches("0 scales", message(enhance.retinex, clip, { scales = {} }))
    assert.matches("alpha is %-?nan", message(enhance.lime, clip, { alpha = 0 / 0 }))
    assert.matches("a scale is 1e%+09, expected above 0 and at most 1024", message(enhance.retinex, clip, { scales = { 1e9 } }))
    assert.matches("sigma is 1e%+09", message(enhance.lime, clip, { sigma = 1e9 }))
    assert.matches("iterations is 1000000, expected a whole", message(models.zero_dce, { iterations = 1000000 }))
    assert.matches("gamma is %-1", message(enhance.gamma, clip, -1))
    assert.matches("did you mean 'clip_limit'", message(enhance.clahe, clip, { cliplimit = 2 }))
    assert.matches("did you mean 'retinex'", message(enhance.by_name, "retinx"))
    assert.matches("did you mean 'sigma'", message(enhance.by_name, "lime", { sigam = 1 }))
    assert.matches("unknown option 'sigma'", message(enhance.by_name, "none", { sigma = 1 }))
    assert.matches("scales%[2%] is x, expected a number", message(enhance.retinex, clip, { scales = { 3, "x" } }))
    assert.matches("9 scales, expected 1 to 8", message(enhance.retinex, clip, { scales = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } }))
    assert.matches("option 'per_channel' is 1, expected true or false", message(enhance.equalise, clip, { per_channel = 1 }))
    assert.matches("alpha is 1e%+300", message(enhance.lime, clip, 1e300))
  end)
end)

describe("Zero-DCE", function()
  it("has the same curves and gradients in C and in ATen, and those of finite differences", function()
    local x0, a0 = torch.rand(2, 3, 5, 13), torch.rand(2, 24, 5, 13) * 2 - 1
    local upstream = torch.randn(2, 3, 5, 13)
    local function run(composite)
      ops.use_composite(composite)
      local x, a = x0:clone(), a0:clone()
      x.requires_grad, a.requires_grad = true, true
      local y = enhance.curves(x, a)
      local grads = torch.grad({ (y * upstream):sum() }, { x, a })
      ops.use_composite(false)
      return { y:detach(), grads[1], grads[2] }
    end
    local kernel, composite = run(false), run(true)
    for i = 1, 3 do assert.is_true(largest(kernel[i], composite[i]) < 1e-5) end
    local function loss(x, a) return (enhance.curves(x, a) * upstream:double()):sum():item() end
    local direction, x, a = torch.randn(2, 24, 5, 13):double(), x0:double(), a0:double()
    local slope = (loss(x, a + direction * 1e-5) - loss(x, a - direction * 1e-5)) / 2e-5
    assert.is_true(math.abs((kernel[3]:double() * direction):sum():item() - slope) < 1e-3 * (1 + math.abs(slope)))
    direction = torch.randn(2, 3, 5, 13):double()
    slope = (loss(x + direction * 1e-5, a) - loss(x - direction * 1e-5, a)) / 2e-5
    assert.is_true(math.abs((kernel[2]:double() * direction):sum():item() - slope) < 1e-3 * (1 + math.abs(slope)))
  end)

  it("leaves a frame alone where the curves are zero, and keeps 0 and 1", function()
    local x = torch.rand(1, 3, 4, 4)
    assert.is_true(torch.equal(enhance.curves(x, torch.zeros(1, 24, 4, 4)), x))
    local ends = torch.tensor({ 0, 1, 0, 1 }, { dtype = "float32" }):view(1, 1, 4)
    assert.is_true(torch.equal(enhance.curves(ends, torch.rand(1, 5, 4)), ends))
  end)

  it("learns to brighten dark frames without a reference", function()
    torch.manual_seed(1)
    local net = models.zero_dce { iterations = 4, width = 8 }
    local frames = dark({ 2, 3, 24, 24 }):float() / 255
    local adam = optim.AdamW(net, { lr = 5e-3, weight_decay = 0 })
    local first, last
    for step = 1, 40 do
      adam:zero_grad()
      local bright, curves = net(frames)
      local loss, parts = models.zero_dce.loss(frames, bright, curves)
      if step == 1 then first = parts.exposed:item() end
      last = parts.exposed:item()
      loss:backward()
      adam:step()
    end
    assert.is_true(last < 0.7 * first, ("exposure loss went from %g to %g"):format(first, last))
    local clip = dark { 1, 3, 10, 12, 12 }
    local out = net:enhance(clip)
    assert.same(clip.shape, out.shape)
    assert.equal("uint8", out.dtype)
    assert.is_true(out:float():mean():item() > clip:float():mean():item() + 10)
    assert.is_true(largest(out[1]:transpose(1, 2), net:enhance(clip[1]:transpose(1, 2))) <= 1)
  end)

  it("has the published size and names", function()
    local net = models.zero_dce()
    assert.equal(79416, net:count())
    assert.same({ 24, 64, 3, 3 }, net.e_conv7.weight.shape)
    assert.is_not_nil(net:state_dict()["e_conv5.bias"])
  end)

  it("names what is wrong", function()
    local x = torch.rand(1, 3, 4, 4)
    assert.matches("multiple of the channels", message(enhance.curves, x, torch.rand(1, 4, 4, 4)))
    assert.matches("a is float64 .*, expected float32 as x is", message(enhance.curves, x, x:double()))
    assert.matches("65 iterations", message(enhance.curves, x, torch.rand(1, 195, 4, 4)))
    assert.matches("expected floats", message(enhance.curves, dark { 1, 3, 4, 4 }, x))
    assert.matches("uint8 clip", message(function() models.zero_dce({ width = 2 }):enhance(x) end))
    assert.matches("width is 0, expected a whole number of 1", message(models.zero_dce, { width = 0 }))
    assert.matches("a is nil, expected a tensor", message(models.zero_dce.loss, x, x))
    assert.matches("did you mean 'iterations'", message(models.zero_dce, { iteration = 3 }))
  end)
end)
