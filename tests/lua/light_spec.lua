-- Light operators and their modules: the C path against the ATen twin and the official code, gradients, errors.
local torch = require "torch"
local stats = require "dgam.kernels.stats"
local gic = require "dgam.kernels.gic"
local message = require("support").message
local ops = torch.ops.dgam

local function largest(a, b) return (a:double() - b:double()):abs():max():item() end

-- a dark clip: u^3 * 96
local function dark(...) return (torch.rand(...):pow(3) * 96):to("uint8") end

-- calls f with the C kernels on, then with the ATen twins only
local function both(f)
  local results = {}
  for i, composite in ipairs { false, true } do
    local before = ops.use_composite(composite)
    local ok, r = pcall(f)
    ops.use_composite(before)
    if not ok then error(r, 0) end
    results[i] = r
  end
  return results[1], results[2]
end

local MEAN, STD = torch.tensor(stats.MEAN):view(3, 1, 1, 1), torch.tensor(stats.STD):view(3, 1, 1, 1)
local SHAPES = { { 1, 3, 1, 1, 1 }, { 2, 3, 3, 9, 10 }, { 1, 3, 4, 8, 16 }, { 3, 3, 2, 7, 37 } }

describe("histograms", function()
  it("are the same from the kernel and from ATen, in any layout", function()
    for _, shape in ipairs(SHAPES) do
      local clip = dark(shape)
      local kernel, composite = both(function() return stats.histogram(clip) end)
      assert.equal("int32", kernel.dtype)
      assert.same({ shape[1], shape[3], 3, 256 }, kernel.shape)
      assert.is_true(torch.equal(kernel, composite))
      assert.is_true(torch.equal(kernel, ops.histogram_composite(clip)))
      local frames = clip[1]:transpose(1, 2):contiguous() -- [T, 3, H, W]
      assert.is_true(torch.equal(kernel[1], stats.histogram(frames)[1]))
      local crop = clip:narrow(5, 1, (shape[5] + 1) // 2)
      assert.is_true(torch.equal(stats.histogram(crop), stats.histogram(crop:contiguous())))
      local mirrored = clip:transpose(4, 5) -- rows are not adjacent pixels
      assert.is_true(torch.equal(kernel, stats.histogram(mirrored)))
    end
  end)
end)

describe("frame statistics", function()
  it("agree between the kernel, ATen and the float path, in both domains", function()
    for _, shape in ipairs(SHAPES) do
      local clip = dark(shape)
      local floats = (clip:float() - MEAN) / STD
      for _, domain in ipairs { "normalised", "pixel" } do
        local kernel, composite = both(function() return stats.frames(clip, { domain = domain }) end)
        assert.is_true(largest(kernel, composite) < 1e-5)
        if domain == "normalised" then
          assert.is_true(largest(kernel, stats.frames(floats)) < 1e-5)
        else -- through normalised floats and back, values move between bins: mean and deviation only
          local back = stats.frames(floats, { domain = domain }):view(-1, 3):narrow(2, 1, 2)
          assert.is_true(largest(kernel:view(-1, 3):narrow(2, 1, 2), back) < 1e-5)
        end
        local counts = stats.histogram(clip)
        assert.is_true(torch.equal(kernel, stats.frames(clip, { domain = domain, histogram = counts })))
      end
    end
  end)

  it("are the official code's", function()
    local h5 = require "dgam.kernels.h5"
    local file <close> = h5.open "tests/golden/dgam_tiny.h5"
    local clip, want = file:read "input/clip_uint8", file:read "gate/stats"
    local kernel, composite = both(function() return stats.frames(clip) end)
    assert.is_true(((kernel:double() - want) / want):abs():max():item() < 1e-6)
    assert.is_true(((composite:double() - want) / want):abs():max():item() < 2e-6)
  end)

  it("become a table with names", function()
    local clip = torch.full({ 1, 3, 2, 4, 4 }, 51, { dtype = "uint8" })
    local t = stats.table(stats.frames(clip, { domain = "pixel" }))
    assert.equal(2, #t[1])
    assert.is_true(math.abs(t[1][2].mean - 0.2) < 1e-6 and t[1][2].std < 1e-6 and math.abs(t[1][2].entropy) < 1e-6)
  end)
end)

describe("gamma correction", function()
  it("agrees between the kernel, ATen and the float path, in every layout, type and domain", function()
    for _, shape in ipairs(SHAPES) do
      local clip, weights = dark(shape), torch.rand(shape[1], 5):softmax(2)
      local floats = (clip:float() - MEAN) / STD
      for _, domain in ipairs { "normalised", "pixel" } do
        for _, layout in ipairs { "clip", "patches" } do
          for _, bf16 in ipairs { false, true } do
            local options = { domain = domain, layout = layout, bf16 = bf16 }
            local kernel, composite = both(function() return gic.mixture(clip, weights, gic.GAMMAS, options) end)
            assert.same(composite.shape, kernel.shape)
            assert.equal(bf16 and "bfloat16" or "float32", kernel.dtype)
            local tolerance = bf16 and 2 ^ -6 or 1e-5 -- one step of a bfloat16 between 2 and 4
            assert.is_true(largest(kernel, composite) < tolerance, domain .. " " .. layout)
            if domain == "normalised" then -- pixel 0 comes back from floats as 1e-6, whose cube root is 1e-2
              assert.is_true(largest(kernel, gic.mixture(floats, weights, gic.GAMMAS, options)) < tolerance)
            end
            options.histogram = stats.histogram(clip)
            assert.is_true(torch.equal(kernel, gic.mixture(clip, weights, gic.GAMMAS, options)))
          end
        end
      end
    end
  end)

  it("is the official code's", function()
    local h5 = require "dgam.kernels.h5"
    local file <close> = h5.open "tests/golden/dgam_tiny.h5"
    local clip, want, weights = file:read "input/clip_uint8", file:read "enhanced", file:read "gate/one_hot"
    local kernel, composite = both(function() return gic.mixture(clip, weights, gic.GAMMAS) end)
    assert.is_true(largest(kernel, want) < 1e-6)
    assert.is_true(largest(composite, want) < 1e-6)
    local one = gic.expert(clip:narrow(1, 1, 1), 2.5)
    assert.is_true(largest(one, file:read "gic/gamma_2.5") < 1e-6)
  end)

  it("puts a clip into the patches that a convolution reads", function()
    local clip, weight = dark { 1, 3, 5, 10, 13 }, torch.randn(7, 3, 2, 4, 4)
    local x = gic.expert(clip, 2)
    local padded = torch.constant_pad_nd(x, { 0, 3, 0, 2, 0, 1 })
    local want = torch.conv3d(padded, weight, torch.none, { 2, 4, 4 }):flatten(3):transpose(2, 3)
    local got = gic.expert(clip, 2, { layout = "patches" }):matmul(weight:view(7, 96):t())
    assert.is_true(largest(got, want) < 1e-4)
  end)

  it("has gradients for weights and gammas, as finite differences say, on both paths", function()
    local clip = dark { 2, 3, 3, 6, 9 } + 1 -- see above
    for _, domain in ipairs { "normalised", "pixel" } do
      for _, layout in ipairs { "clip", "patches" } do
        for _, own in ipairs { false, true } do
          local w = torch.rand(2, 3) + 0.1
          local g = own and torch.rand(2, 3) * 2 + 0.5 or torch.rand(3) * 2 + 0.5
          local shape = gic.mixture(clip, w, g, { layout = layout }).shape
          local upstream = torch.randn(shape)
          -- The float64 twin is exact enough for differences.
          local exact = (clip:double() - MEAN:double()) / STD:double()
          local function loss(a, b)
            return (gic.mixture(exact, a, b, { domain = domain, layout = layout }) * upstream:double()):sum():item()
          end
          local function gradients()
            local a, b = w:clone(), g:clone()
            a.requires_grad, b.requires_grad = true, true
            local y = gic.mixture(clip, a, b, { domain = domain, layout = layout })
            return torch.grad({ (y * upstream):sum() }, { a, b })
          end
          local kernel, composite = both(gradients)
          for i, x in ipairs { w, g } do
            local flat, step = x:double():flatten(), 1e-5
            local got, twin = kernel[i]:flatten():totable(), composite[i]:flatten():totable()
            for k = 1, flat:size(1) do
              local function at(d)
                local moved = flat:clone()
                moved[k] = flat[k]:item() + d
                moved = moved:view(x.shape)
                return i == 1 and loss(moved, g:double()) or loss(w:double(), moved)
              end
              local want = (at(step) - at(-step)) / (2 * step)
              local tolerance = 1e-3 * math.abs(want) + 2e-3
              for _, value in ipairs { got[k], twin[k] } do
                assert.is_true(math.abs(value - want) < tolerance, ("%g, expected %g"):format(value, want))
              end
            end
          end
        end
      end
    end
  end)

  it("gives a differentiable clip finite gradients", function()
    local x = torch.randn(1, 3, 2, 4, 4)
    x.requires_grad = true
    gic.expert(x, 2.5):sum():backward()
    assert.is_true(torch.isfinite(x.grad):all():item())
  end)

  it("refuses second derivatives in C and has them in ATen", function()
    local clip = dark { 1, 3, 1, 4, 4 }
    local function second()
      local g = torch.tensor { 2.0 }
      g.requires_grad = true
      local y = gic.mixture(clip, torch.ones(1, 1), g):sum()
      local first = torch.grad({ y }, { g }, nil, { create_graph = true })[1]
      return torch.grad({ first:sum() }, { g })[1]:item()
    end
    assert.matches("second derivatives", message(second))
    ops.use_composite(true)
    local ok, value = pcall(second)
    ops.use_composite(false)
    assert.is_true(ok, value)
    assert.is_true(value == value)
  end)

  it("draws its curve", function()
    local xs, ys = gic.curve(2, 5)
    assert.same({ 0, 0.25, 0.5, 0.75, 1 }, xs)
    assert.is_true(math.abs(ys[2] - 0.5) < 1e-12 and ys[1] == 0 and ys[5] == 1)
    assert.matches("gamma is 0", message(gic.curve, 0))
    assert.matches("gamma is x", message(gic.curve, "x"))
  end)
end)

describe("bad input", function()
  local clip, weights, gammas = dark { 2, 3, 2, 4, 4 }, torch.ones(2, 3), torch.tensor { 1.0, 2.0, 3.0 }

  -- both paths must name what is wrong
  local function refused(pattern, f, ...)
    assert.matches(pattern, message(f, ...))
    ops.use_composite(true)
    local ok, text = pcall(message, f, ...)
    ops.use_composite(false)
    assert.is_true(ok, text)
    assert.matches(pattern, text)
  end

  it("of a wrong shape or type is named", function()
    refused("expected %[N,3,T,H,W%] or %[T,3,H,W%]", stats.histogram, clip[1][1])
    refused("expected 3 channels", stats.frames, dark { 1, 4, 2, 4, 4 })
    refused("at least one frame", stats.frames, dark { 1, 3, 0, 4, 4 })
    refused("type float32, expected uint8", stats.histogram, clip:float())
    refused("expected uint8 pixels or normalised floats", stats.frames, clip:to "int64")
    refused("expected uint8 pixels or normalised floats", gic.mixture, clip:to "int64", weights, gammas)
    refused("weights are .*expected floats %[N,E%] with N = 2", gic.mixture, clip, torch.ones(3, 3), gammas)
    refused("weights are", gic.mixture, clip, torch.ones(3), gammas)
    refused("weights are", gic.mixture, clip, torch.ones(2, 0), torch.ones(0))
    refused("gammas are .*expected floats %[E%] or %[N,E%] with N = 2, E = 3", gic.mixture, clip, weights, { 1, 2 })
    local wrong = torch.zeros({ 1, 2, 3, 256 }, { dtype = "int32" })
    refused("histogram is .*expected int32 %[2, 2, 3, 256%]", stats.frames, clip, { histogram = wrong })
    refused("histogram is .*expected int32", gic.mixture, clip, weights, gammas, { histogram = wrong })
  end)

  it("of a wrong value is named", function()
    for _, g in ipairs { 0, -1, 0 / 0, math.huge } do
      refused("gamma 2 is .*expected a finite number above 0", gic.mixture, clip, weights, { 1, g, 2 })
    end
    refused("domain is \"pixels\"", stats.frames, clip, { domain = "pixels" })
    refused("layout is \"rows\"", gic.mixture, clip, weights, gammas, { layout = "rows" })
    refused("std of channel 3 is 0", stats.frames, clip, { std = { 1, 1, 0 } })
    refused("mean of channel 1 is %-?nan", gic.expert, clip, 2, { mean = { 0 / 0, 1, 1 } })
    refused("2 and 3 values, expected 3 each", stats.frames, clip, { mean = { 1, 2 } })
  end)

  it("of an unknown option is named with what was meant", function()
    assert.matches("did you mean 'domain'", message(stats.frames, clip, { domian = "pixel" }))
    assert.matches("did you mean 'layout'", message(gic.mixture, clip, weights, gammas, { layuot = "clip" }))
  end)

  it("that is empty gives an empty answer", function()
    local none = torch.empty({ 0, 3, 2, 4, 4 }, { dtype = "uint8" })
    local kernel, composite = both(function()
      local weights0 = torch.ones(0, 2)
      return { stats.histogram(none).shape, stats.frames(none).shape, gic.mixture(none, weights0, { 1, 2 }).shape,
        gic.mixture(none, weights0, { 1, 2 }, { layout = "patches" }).shape }
    end)
    assert.same({ { 0, 2, 3, 256 }, { 0, 6 }, { 0, 3, 2, 4, 4 }, { 0, 1, 96 } }, kernel)
    assert.same(kernel, composite)
  end)
end)
