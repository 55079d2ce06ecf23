--- An experiment in thirty lines: what gamma correction does to the entropy that the gate reads. docs/experiments.md explains it.
local dgam = require "dgam"

local config = dgam.config {
  name = "entropy",
  defaults = { data = "data/synthetic.lua", light = "ELL", clips = 32, seeds = 3 },
}
local data = dgam.data.open(config.data):where { light = config.light }
local exp = dgam.experiment { name = "entropy", seeds = config.seeds, config = config, data = data }

for _, gamma in ipairs { 1, 2, 3 } do
  exp:trial("gamma " .. gamma, { gamma = gamma }, function(cfg)      -- cfg: config, the variant's fields, cfg.seed
    local loader <close> = dgam.data.loader(data, { split = "train", train = true, batch = cfg.clips, clip_len = 8,
      interval = 1, size = 64, seed = cfg.seed })
    local batch = loader:epoch(1)()                                               -- the first of the epoch
    local light = dgam.stats.frames(dgam.gic.expert(batch.clip, cfg.gamma))       -- mean, deviation, entropy, mean, ...
    local entropy = light[{ {}, { 3, -1, 3 } }]
    return { metrics = { entropy = entropy:mean():item() }, curves = { by_frame = entropy:mean({ 1 }):totable() } }
  end)
end

local t = exp:table { "entropy" }
t:print()
t:chart(exp.folder .. "/entropy", { title = "Entropy of corrected frames", ylabel = "nats" })
