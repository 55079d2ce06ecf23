--- Single kernels against the roofline: a kernel that does F FLOP and must move at least B bytes can end no sooner than
-- max(F / gemm rate, B / bandwidth). Bytes are compulsory traffic: inputs and weights read once, results written once. Those
-- of the light kernels stay in some cache, whose bandwidth is their limit then.
local torch = require "torch"
local stats = require "dgam.kernels.stats"
local limits = require "bench.limits"

local ops = torch.ops.dgam

-- A case bound by products: work in FLOP.
local function products(run, flop, bytes, dtype)
  return { run = run, peer = function()
    local before = ops.use_composite(true)
    run()
    ops.use_composite(before)
  end, peer_rounds = 2, rounds = 6, work = flop, limit = limits.gemm(dtype or "float32"), limit_unit = "FLOP/s",
    extra = function() return { flop = flop, bytes = bytes, intensity = flop / bytes } end,
    note = function() return ("%.1f GFLOP, %.0f FLOP a byte"):format(flop / 1e9, flop / bytes) end }
end

-- A case bound by moving data: work in bytes. flop: additions and multiplications, without those that make tables.
local function traffic(run, bytes, flop)
  local case = products(run, flop, bytes)
  case.work, case.limit, case.limit_unit = bytes, limits.cached(), "B/s"
  case.pace = limits.gemm "float32"
  case.note = function() return ("%.0f MB, %.2g FLOP a byte"):format(bytes / 1e6, flop / bytes) end
  return case
end

-- The block that Swin B has eighteen of.
local N, C, HEADS, WINDOW = { 1, 16, 14, 14 }, 512, 16, { 8, 7, 7 }

local function block(reduced, train)
  return function()
    local tokens, window = N[2] * N[3] * N[4], WINDOW[1] * WINDOW[2] * WINDOW[3]
    local function weight(...) return torch.randn(...):mul_(0.02):requires_grad_(train) end
    local x = torch.randn(N[1], N[2], N[3], N[4], C, { requires_grad = train })
    local rows = (2 * WINDOW[1] - 1) * (2 * WINDOW[2] - 1) * (2 * WINDOW[3] - 1)
    local one, zero = torch.ones(C, { requires_grad = train }), torch.zeros(C, { requires_grad = train })
    local p = { one, zero, weight(3 * C, C), weight(3 * C), weight(C, C), weight(C), weight(rows, HEADS), one, zero, weight(4 * C, C),
      weight(4 * C), weight(C, 4 * C), weight(C) }
    local function forward() return ops.swin_block(x, p, HEADS, WINDOW, { 0, 0, 0 }, torch.none, reduced) end
    local gradient = torch.randn(N[1], N[2], N[3], N[4], C)
    local function run()
      if train then
        forward():backward(gradient)
      else
        torch.no_grad(forward):close()
      end
    end
    local flop = tokens * (24 * C * C + 4 * window * C) * (train and 3 or 1)
    local bytes = 4 * (2 * tokens * C + 12 * C * C) * (train and 2 or 1)
    return products(run, flop, bytes, reduced and "bfloat16")
  end
end

local function patch_embed()
  local x, w, b = torch.randn(1, 3, 32, 224, 224), torch.randn(128, 3, 2, 4, 4), torch.randn(128)
  local nw, nb = torch.ones(128), torch.zeros(128)
  local tokens = 16 * 56 * 56
  return products(function() torch.no_grad(ops.patch_embed, x, w, b, nw, nb, { 32, 224, 224 }):close() end,
    2 * tokens * 96 * 128, 4 * (x:numel() + tokens * 128))
end

local function patch_merge()
  local x, w = torch.randn(1, 16, 56, 56, 128), torch.randn(256, 512)
  local nw, nb = torch.ones(512), torch.zeros(512)
  local tokens = 16 * 28 * 28
  return products(function() torch.no_grad(ops.patch_merge, x, nw, nb, w):close() end, 2 * tokens * 512 * 256,
    4 * (x:numel() + tokens * 256))
end

local function dark_clip() return torch.randint(90, { 1, 3, 32, 224, 224 }, { dtype = "uint8" }) end

local function histogram()
  local clip = dark_clip()
  return traffic(function() ops.histogram(clip):close() end, clip:numel(), clip:numel())
end

local function mixture(reduced, train)
  return function()
    local clip = dark_clip()
    local counts = ops.histogram(clip)
    local lambda = torch.full({ 1, 5 }, 0.2):requires_grad_(train)
    local gammas = torch.tensor({ 1.0, 1.5, 2.0, 2.5, 3.0 }):requires_grad_(train)
    local size = reduced and 2 or 4
    local gradient = torch.randn(1, 16 * 56 * 56, 96):to(reduced and "bfloat16" or "float32")
    local function run()
      local y = ops.gic(clip, lambda, gammas, "normalised", stats.MEAN, stats.STD, "patches", reduced, counts)
      if train then y:backward(gradient) end
      y:close()
    end
    local n = clip:numel()
    return traffic(run, train and n * (2 + 2 * size) or n * (1 + size), train and n or 0)
  end
end

return {
  kernel_block = block(false, false),
  kernel_block_bf16 = block(true, false),
  kernel_block_train = block(false, true),
  kernel_patch_embed = patch_embed,
  kernel_patch_merge = patch_merge,
  kernel_histogram = histogram,
  kernel_gic = mixture(false, false),
  kernel_gic_bf16 = mixture(true, false),
  kernel_gic_gradient = mixture(false, true),
}
