--- The network: whole models and the products and updates they are made of.
local torch = require "torch"
local nn = require "dgam.nn"
local optim = require "dgam.nn.optim"
local models = require "models"
local limits = require "bench.limits"

local CLIP = { 1, 3, 32, 224, 224 }
-- Multiply-adds of the published models on that clip, times two.
local FLOP = { ["swin-b"] = 2 * 281.332e9, ["swin-t"] = 2 * 87.764e9 }

-- f with a switch turned on: set(true) returns what was set before.
local function with(set, f)
  return function()
    local before = set(true)
    local ok, e = pcall(f)
    set(before)
    if not ok then error(e, 0) end
  end
end

local function bf16(on)
  local before = models.video_swin.bf16
  models.video_swin.bf16 = on
  return before
end

local composite = torch.ops.dgam.use_composite

-- float32 work is held against the float32 products and the composite path; bfloat16 work against bfloat16 products,
-- the composite path in bfloat16, and our own float32.
local function network(once, work, reduced)
  local case = { run = once, peer = with(composite, once), peer_rounds = 1, rounds = 3, work = work, limit_unit = "FLOP/s",
    limit = limits.gemm(reduced and "bfloat16" or "float32") }
  if reduced then
    case.run, case.peer = with(bf16, case.run), with(bf16, case.peer)
    case.others = { float32 = once }
    case.extra = function(t) return { float32_share = t.run / t.float32 } end
    case.note = function(t) return ("%.2f of the time of float32"):format(t.run / t.float32) end
  end
  return case
end

local function forward(name, reduced)
  return function()
    local net = models.video_swin.new(name):eval()
    local x = torch.randn(CLIP)
    return network(function() torch.no_grad(net, x) end, FLOP[name], reduced)
  end
end

local function training(name, reduced, recompute)
  return function()
    -- Without drop_path: blocks left out would count as done, and every run would leave out others.
    local net = models.video_swin.new(name, { recompute = recompute or false, drop_path = 0 })
    local head = nn.Linear(net.channels, 12)
    local opt = optim.AdamW(net, { lr = 1e-4 })
    local x, y = torch.randn(CLIP), torch.tensor { 3 }
    local function once()
      local loss = torch.cross_entropy(head(net(x):flatten(2, 4):mean(2)), y)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    local case = network(once, 3 * FLOP[name], reduced)
    case.compare_peak = not reduced
    return case
  end
end

local function linear()
  local x, w, b = torch.randn(4096, 768), torch.randn(3072, 768), torch.randn(3072)
  return { run = function() torch.no_grad(torch.ops.dgam.linear, x, w, b) end, work = 2 * 4096 * 768 * 3072,
    limit = limits.gemm "float32", limit_unit = "FLOP/s", peer = function() torch.no_grad(torch.linear, x, w, b) end, rounds = 12 }
end

local function adamw()
  local n = 88000000
  local p, g, m, v = torch.randn(n), torch.randn(n), torch.zeros(n), torch.zeros(n)
  local function once() torch.ops.dgam.adamw_(p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.05, 10) end
  return { run = once, work = 7 * 4 * n, limit = limits.stream(function() return p, g, m, v end), limit_unit = "B/s",
    peer = with(composite, once), rounds = 10, peer_rounds = 3 }
end

return {
  linear = linear,
  adamw = adamw,
  swin_b_forward = forward("swin-b", false),
  swin_b_forward_bf16 = forward("swin-b", true),
  swin_t_train = training("swin-t", false),
  swin_t_train_recompute = training("swin-t", false, true),
  swin_t_train_bf16 = training("swin-t", true),
}
