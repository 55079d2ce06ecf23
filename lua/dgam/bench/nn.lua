--- The network: whole models and the products and updates they are made of.
local torch = require "torch"
local nn = require "dgam.nn"
local optim = require "dgam.optim"
local models = require "models"
local limits = require "dgam.bench.limits"

local CLIP = { 1, 3, 32, 224, 224 }
-- Multiply-adds of the published models on that clip, times two (ORACLE: 281.332 and 87.764 GMAC).
local FLOP = { ["swin-b"] = 2 * 281.332e9, ["swin-t"] = 2 * 87.764e9 }

local function with_bf16(on, f)
  return function()
    models.video_swin.bf16 = on
    local ok, e = pcall(f)
    models.video_swin.bf16 = false
    if not ok then error(e, 0) end
  end
end

local function composite(f)
  return function()
    local before = torch.ops.dgam.use_composite(true)
    local ok, e = pcall(f)
    torch.ops.dgam.use_composite(before)
    if not ok then error(e, 0) end
  end
end

local function forward(name, bf16)
  return function()
    local net = models.video_swin.new(name):eval()
    local x = torch.randn(CLIP)
    local function once() torch.no_grad(net, x) end
    local limit, limit_work = limits.gemm "float32"
    return { run = with_bf16(bf16, once), limit = limit, work = FLOP[name], limit_work = limit_work, limit_unit = "FLOP/s",
      peer = bf16 and once or composite(once), rounds = 3, peer_rounds = bf16 and 3 or 1 }
  end
end

local function training(name, bf16)
  return function()
    local net = models.video_swin.new(name)
    local head = nn.Linear(net.channels, 12)
    local opt = optim.AdamW(net, { lr = 1e-4 })
    local x, y = torch.randn(CLIP), torch.tensor { 3 }
    local function once()
      local loss = torch.cross_entropy(head(net(x):flatten(2, 4):mean(2)), y)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    local limit, limit_work = limits.gemm "float32"
    return { run = with_bf16(bf16, once), limit = limit, work = 3 * FLOP[name], limit_work = limit_work,
      limit_unit = "FLOP/s", peer = bf16 and once or composite(once), rounds = 3, peer_rounds = bf16 and 3 or 1 }
  end
end

local function linear()
  local x, w, b = torch.randn(4096, 768), torch.randn(3072, 768), torch.randn(3072)
  local limit, limit_work = limits.gemm "float32"
  local function once() torch.no_grad(torch.ops.dgam.linear, x, w, b) end
  return { run = once, limit = limit, work = 2 * 4096 * 768 * 3072, limit_work = limit_work, limit_unit = "FLOP/s",
    peer = function() torch.no_grad(torch.linear, x, w, b) end, rounds = 15 }
end

local function adamw()
  local n = 88000000
  local p, g, m, v = torch.randn(n), torch.randn(n), torch.zeros(n), torch.zeros(n)
  local limit, limit_work = limits.stream()
  local function once() torch.ops.dgam.adamw_(p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.05, 10) end
  return { run = once, limit = limit, work = 7 * 4 * n, limit_work = limit_work, limit_unit = "B/s",
    peer = composite(once), rounds = 7, peer_rounds = 3 }
end

return {
  { name = "linear", what = "Linear 4096 x 768 -> 3072, float32; peer: libtorch", setup = linear },
  { name = "adamw", what = "AdamW over 88 M parameters", setup = adamw },
  { name = "swin_b_forward", what = "Video Swin B, 1x3x32x224x224, float32", setup = forward("swin-b", false) },
  { name = "swin_b_forward_bf16", what = "the same in bfloat16; peer: float32", setup = forward("swin-b", true) },
  { name = "swin_t_train", what = "Video Swin T, forward + backward + AdamW, float32", setup = training("swin-t", false) },
  { name = "swin_t_train_bf16", what = "the same in bfloat16; peer: float32", setup = training("swin-t", true) },
}
