--- What should a gate minimise? An objective of one's own beside the two that are built in. docs/experiments.md explains it.
--
--     dgamlua examples/gate_objectives.lua seeds=3
--     dgamlua examples/gate_objectives.lua data=myvideos          -- a folder with train, val and test in it
local dgam = require "dgam"
local models = require "models"
local train = dgam.train

local config = dgam.config {
  name = "gate_objectives",
  defaults = {
    data = "data/synthetic.lua", pretrained = "data/pretrained/swin-micro.h5", seeds = 1, epochs = 4, gate_epochs = 20,
    clip_len = 8, interval = 1, size = 64, crop_area = 0.85, batch = 16, test_clips = 1, test_crops = 1,
    lr = 5e-4, backbone_lr = 1.0, gate_lr = 3,
  },
  training = { "weight_decay", "patience", "gate_batch", "threads" },
}
local data = dgam.data.open(config.data)
local exp = dgam.experiment { name = "gate_objectives", seeds = config.seeds, config = config, data = data }

-- The share of wrong answers that is to be expected when experts are drawn by lambda.
local function expected_errors(lambda, logits, labels)                           -- [N, E], [N, E, K], int64 [N]
  local rows = labels:view(-1, 1, 1):expand(-1, lambda:size(2), 1)
  return (lambda * (1 - logits:exp():gather(3, rows):squeeze(3))):sum(2):mean()
end

for _, v in ipairs { { "mixture", "mixture" }, { "official", "official" }, { "expected errors", expected_errors } } do
  exp:trial(v[1], { gate_objective = v[2] }, function(cfg)
    cfg = cfg { label = ("%s, seed %d"):format(v[1], cfg.seed) }
    local model = models.dgam { backbone = "swin-micro", classes = #data.classes, frames = cfg.clip_len }
    models.load_pretrained(model, cfg.pretrained)
    return train.report(model, data, cfg, train.switching(model, data, cfg))
  end)
end

exp:table({ "top1", "fixed_top1", "random_top1", "oracle_top1" }):print()
