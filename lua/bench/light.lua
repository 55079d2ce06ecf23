--- From pixels to patches: what DGAM adds in front of a backbone.
local torch = require "torch"
local models = require "models"
local limits = require "bench.limits"

local light = {}

--- A function that takes a clip through statistics, gate and a mixture of `experts` into patches.
-- @param clip uint8 [1, 3, 32, H, W]
function light.path(clip, experts)
  local gammas = {}
  for e = 1, experts do gammas[e] = 1 + 2 * (e - 1) / math.max(1, experts - 1) end
  local model = models.dgam { backbone = "swin-micro", gammas = gammas, classes = 12, frames = 32 }
  model:eval()
  return function() model:light(clip):close() end
end

local function agc(threads)
  return function()
    local clip = torch.randint(90, { 1, 3, 32, 224, 224 }, { dtype = "uint8" })
    local once, before = light.path(clip, 5), torch.threads()
    if threads then torch.threads(threads) end
    return { run = once, rounds = 10, peer_rounds = 2, close = function() torch.threads(before) end,
      work = (2 + 4) * clip:numel(), -- read twice, written once as float32
      limit = limits.cached(), limit_unit = "B/s", pace = limits.gemm "float32",
      peer = function()
        local was = torch.ops.dgam.use_composite(true)
        once()
        torch.ops.dgam.use_composite(was)
      end,
      others = { one = light.path(clip, 1), sixteen = light.path(clip, 16) },
      extra = function(t) return { experts_1_share = t.one / t.run, experts_16_share = t.sixteen / t.run } end,
      note = function(t) return ("1 expert %.2f, 16 experts %.2f of this"):format(t.one / t.run, t.sixteen / t.run) end,
    }
  end
end

light.benchmarks = { light_agc = agc(), light_agc_1_thread = agc(1) }

return light
