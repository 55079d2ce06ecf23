--- From pixels to patches: what DGAM adds in front of a backbone.
local torch = require "torch"
local models = require "models"

local MEAN, STD = { 123.675, 116.28, 103.53 }, { 58.395, 57.12, 57.375 }

local function agc(experts, threads)
  return function()
    local gammas = {}
    for e = 1, experts do gammas[e] = 1 + 2 * (e - 1) / math.max(1, experts - 1) end
    local model = models.dgam { backbone = "swin-micro", gammas = gammas, classes = 12, frames = 32 }
    model:eval()
    local clip = torch.randint(90, { 1, 3, 32, 224, 224 }, { dtype = "uint8" })
    local uniform = torch.full({ 1, experts }, 1 / experts)
    local function once()
      torch.no_grad(function()
        model:lambda(model:stats(clip))
        torch.ops.dgam.gic(clip, uniform, model.gamma, "normalised", MEAN, STD, "patches", false)
      end)
    end
    local before = torch.threads()
    if threads then torch.threads(threads) end
    return { run = once, rounds = 20, peer_rounds = 2, close = function()
      if threads then torch.threads(before) end
    end, peer = function()
      local was = torch.ops.dgam.use_composite(true)
      once()
      torch.ops.dgam.use_composite(was)
    end }
  end
end

return {
  { name = "light_agc", what = "uint8 clip 3x32x224x224 -> statistics -> gate -> 5-expert mixture -> patches", setup = agc(5) },
  { name = "light_agc_1_thread", what = "the same on one thread", setup = agc(5, 1) },
  { name = "light_agc_1_expert", what = "the same with one expert", setup = agc(1) },
  { name = "light_agc_16_experts", what = "the same with sixteen experts", setup = agc(16) },
}
