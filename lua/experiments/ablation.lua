--- Table 7 of the paper: what the gate and the per-expert heads are worth, on dark video.
--
--     dgamlua experiments/ablation.lua                       -- built-in dataset, profile quick
--     dgamlua experiments/ablation.lua profile=standard seeds=5
--     dgamlua experiments/ablation.lua "data=data/ellar.lua?root=/data/ELLAR" profile=full
--
-- For every seed: stage 0 fine-tunes a single-head model; each variant starts from it and trains for the same number of
-- epochs more. The context rows need no training of their own: they are other ways to choose among the experts of the
-- last variant, and what that variant makes of clips without motion or order (its middle frame only, its frames shuffled):
-- what it can tell from a pose alone. Choices are made on the validation list; the test list is read once, for the table.
local torch = require "torch"
local dgam = require "dgam"
local models = require "models"
local train = dgam.train

local GAMMAS = { 1.0, 1.5, 2.0, 2.5, 3.0 }

local config = dgam.config {
  name = "ablation",
  defaults = {
    data = "data/synthetic.lua",
    backbone = "swin-micro", pretrained = "data/pretrained/swin-micro.h5",
    seeds = 3,
    clip_len = 8, interval = 1, size = 64, crop_area = 0.85, batch = 16, test_clips = 1, test_crops = 1,
    stage0_epochs = 7, stage1_epochs = 3, gate_epochs = 40,
    lr = 5e-4, backbone_lr = 1.0, gate_lr = 3, weight_decay = 0.05, warmup_epochs = 1, patience = 12,
    threads = 2, keep = "best",
  },
  profiles = {
    ci = { seeds = 2, stage0_epochs = 2, stage1_epochs = 1, gate_epochs = 10 },
    quick = {},
    standard = { data = "data/synthetic.lua?size=small", clip_len = 16, size = 96, crop_area = 0.3, seeds = 5, stage0_epochs = 30,
      stage1_epochs = 10, test_clips = 4, test_crops = 3, patience = 5 },
    full = { data = "data/synthetic.lua?size=full", backbone = "swin-b", pretrained = "", clip_len = 32, interval = 2, size = 224,
      seeds = 3, crop_area = 0.08, batch = 128, lr = 3e-4, backbone_lr = 0.1, gate_lr = 10, warmup_epochs = 2.5, stage0_epochs = 30,
      stage1_epochs = 30, test_clips = 4, test_crops = 3, patience = 5 },
  },
  profile = "quick",
  help = { stage0_epochs = "length of stage 0, at most (epochs)", stage1_epochs = "length of stage 1, at most (epochs)",
    keep = "models that are kept: best of every variant's seeds on the validation list, all or none" },
}

train.check(config { epochs = config.stage0_epochs }) -- all that any stage needs, before the first one
train.check(config { epochs = config.stage1_epochs })

local data = dgam.data.open(config.data)
local exp = dgam.experiment { name = "ablation", seeds = config.seeds, config = config, data = data }

-- A model with one expert, as stage 0 and the first variant use it.
local function single(cfg)
  local model = models.dgam { backbone = cfg.backbone, gammas = { 1.0 }, classes = #data.classes, frames = cfg.clip_len }
  if cfg.pretrained ~= "" then models.load_pretrained(model, cfg.pretrained) end
  return model
end

-- Stage 0, trained once for each seed and kept beside the results.
local function stage0(cfg)
  local training = cfg { epochs = cfg.stage0_epochs, label = "stage 0, seed " .. cfg.seed }
  local depends = train.options.settings(training, "fit")
  depends.backbone, depends.pretrained = cfg.backbone, cfg.pretrained
  local weights = exp:artifact("stage0", depends, function(path)
    local model = single(cfg)
    train.fit(model, data, training { checkpoint = path })
    return model:state_dict()
  end)
  local model = single(cfg)
  model:load_state_dict(weights)
  return model
end

local variants = {
  { "w/o gate + multi-head", gammas = { 1.0 }, heads = "shared" },
  { "w/o multi-head", gammas = GAMMAS, heads = "shared" },
  { "dual", gammas = GAMMAS, heads = "per-expert" },
}

-- What is left of a clip for a model that sees no motion: its middle frame all the time, or its frames in random order.
local still = {
  frame_ = function(clip) return clip:narrow(3, clip:size(3) // 2 + 1, 1):expand_as(clip):contiguous() end,
  shuffled_ = function(clip, seed)
    local rows = clip:unbind(1)
    for i, row in ipairs(rows) do
      rows[i] = row:index_select(2, torch.tensor(dgam.rng.permutation(row:size(2), seed, i), { device = clip.device }))
    end
    return torch.stack(rows)
  end,
}

-- Accuracy on the test list of a model that is shown such clips, as PREFIX_top1 and so on.
local function without_motion(model, cfg, metrics)
  for prefix, view in pairs(still) do
    local blind = setmetatable({ eval = function() model:eval() end },
      { __index = model, __call = function(_, clip) return model(view(clip, cfg.seed)) end })
    local shown = cfg { label = ("%s, %s"):format(cfg.label, prefix:sub(1, -2)) }
    for name, value in pairs(train.evaluate(blind, data, shown, "test", "light")) do metrics[prefix .. name] = value end
  end
end

-- Seconds of one trial: its share of stage 0, which the variants have in common, and its own stage.
local function estimate()
  return train.estimate(single(config), data, config { epochs = config.stage0_epochs }) / #variants
    + train.estimate(single(config), data, config { epochs = config.stage1_epochs })
end

exp:run(variants, function(cfg, label)
  cfg = cfg { label = ("%s, seed %d"):format(label, cfg.seed) }
  local model = models.dgam { backbone = cfg.backbone, gammas = cfg.gammas, heads = cfg.heads, classes = #data.classes,
    frames = cfg.clip_len }
  model:start_from(stage0(cfg))
  local trained = train.switching(model, data, cfg { epochs = cfg.stage1_epochs })
  local report = train.report(model, data, cfg, trained, "light")
  without_motion(model, cfg, report.metrics)
  return report
end, estimate)

exp:rule()
exp:row("best fixed gamma", "dual", "fixed_")
exp:row("random gate", "dual", "random_")
exp:row("oracle per clip", "dual", "oracle_")
exp:row("one frame only", "dual", "frame_")
exp:row("frames shuffled", "dual", "shuffled_")

local table7 = exp:table({ "top1", "top5" }, { "top1_ll", "top1_ell", "top5_ll", "top5_ell" })
table7:print()
table7:chart(exp.folder .. "/ablation", { title = "Gate and heads on dark video", columns = { "top1", "top1_ll", "top1_ell" },
  ylabel = "top-1 accuracy, %", chance = 100 / #data.classes })
exp:goodbye()
