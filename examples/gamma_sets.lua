--- Which experts? Trains DGAM with several sets of gammas, on the built-in dataset or on videos of your own.
--
--     dgamlua examples/gamma_sets.lua
--     dgamlua examples/gamma_sets.lua data=myvideos seeds=3      -- a folder with train, val and test in it
local dgam = require "dgam"
local models = require "models"
local train = dgam.train

local config = dgam.config {
  name = "gamma_sets",
  defaults = {
    data = "data/synthetic.lua", pretrained = "data/pretrained/swin-micro.h5", seeds = 1, epochs = 4, gate_epochs = 20,
    clip_len = 8, interval = 1, size = 64, crop_area = 0.85, batch = 16, test_clips = 1, test_crops = 1,
    lr = 5e-4, backbone_lr = 1.0, gate_lr = 3,
  },
  training = { "weight_decay", "patience", "gate_objective", "threads" },       -- as in the paper unless the command line says else
}
local data = dgam.data.open(config.data)
local exp = dgam.experiment { name = "gamma_sets", seeds = config.seeds, config = config, data = data }

for _, gammas in ipairs { { 1.0 }, { 1.0, 2.0 }, { 1.0, 1.5, 2.0, 2.5, 3.0 } } do
  local name = "gammas " .. table.concat(gammas, " ")
  exp:trial(name, { gammas = gammas }, function(cfg)                             -- cfg: config, gammas, cfg.seed
    local model = models.dgam { backbone = "swin-micro", gammas = cfg.gammas, classes = #data.classes, frames = cfg.clip_len }
    models.load_pretrained(model, cfg.pretrained)
    cfg = cfg { label = name .. ", seed " .. cfg.seed }                          -- what progress bars say
    local trained = train.switching(model, data, cfg)
    return train.report(model, data, cfg, trained)
  end)
end

local t = exp:table { "top1", "top5", "mean_class" }
t:print()
t:chart(exp.folder .. "/gamma_sets", { title = "Sets of gammas", columns = { "top1" }, ylabel = "top-1 accuracy, %",
  chance = 100 / #data.classes })
