--- What bfloat16 costs in accuracy: logits of the same weights in both precisions, and training from the same start.
--
--     dgamlua experiments/precision.lua
--     dgamlua experiments/precision.lua profile=swin-t       -- trains the tiny size instead of the micro one
--     dgamlua experiments/precision.lua parts=logits
--
-- Logits are those of the test list: of the micro size with its shipped weights, which knows the classes, and of a large
-- backbone with random ones. Training: every seed has its weights and its order of clips, with which both precisions train;
-- the difference between them is held against that between seeds.
local torch = require "torch"
local dgam = require "dgam"
local models = require "models"

local suggest = require "util.suggest"
local train = dgam.train

local PARTS = { "logits", "training" }

local config = dgam.config {
  name = "precision",
  defaults = {
    parts = PARTS, data = "data/synthetic.lua", threads = 2,
    large = "swin-b", large_len = 16, large_size = 112,
    backbone = "swin-micro", pretrained = "data/pretrained/swin-micro.h5", seeds = 3, steps = 200,
    clip_len = 8, interval = 1, size = 64, crop_area = 0.85, batch = 16, lr = 5e-4, weight_decay = 0.05,
  },
  profiles = { micro = {}, ["swin-t"] = { backbone = "swin-t", clip_len = 16, size = 112, batch = 2, lr = 1e-4 } },
  profile = "micro",
}
local wanted = {}
for _, part in ipairs(config.parts) do
  if part ~= "logits" and part ~= "training" then error("precision: " .. suggest.unknown("part", part, PARTS), 0) end
  wanted[part] = true
end

local data = dgam.data.open(config.data)

-- f(...) with products in bfloat16, or without.
local function in_precision(bf16, f, ...)
  models.video_swin.bf16 = bf16
  local ok, result = pcall(f, ...)
  models.video_swin.bf16 = false
  if not ok then error(result, 0) end
  return result
end

local function new_model(cfg, backbone, pretrained, frames)
  torch.manual_seed(cfg.seed)
  local model = models.dgam { backbone = backbone, gammas = { 1.0 }, classes = #data.classes, frames = frames }
  if pretrained then models.load_pretrained(model, pretrained) end
  return model
end

-- --- logits ---

local function compare_logits(cfg)
  local model = new_model(cfg, cfg.network, cfg.weights, cfg.clip_len)
  model:eval()
  local both = { {}, {} }
  local loader = train.test_loader(data, cfg, "test", 1, 1)
  local bar = dgam.progress.new("logits of " .. cfg.network, loader:batches())
  for batch in loader:epoch(0) do
    for i, list in ipairs(both) do
      list[#list + 1] = in_precision(i == 2, function() return torch.no_grad(function() return (model(batch.clip)) end) end)
    end
    bar:advance(1)
  end
  bar:finish()
  loader:close()
  local full, half = torch.cat(both[1], 1), torch.cat(both[2], 1)
  local difference, spread = half - full, full:std():item()
  return { metrics = {
    clips = full:size(1), spread = spread,
    rms = difference:square():mean():sqrt():item() / spread, most = difference:abs():max():item() / spread,
    agree = full:argmax(2):eq(half:argmax(2)):float():mean():item(),
  } }
end

if wanted.logits then
  local exp = dgam.experiment { name = "precision-logits", seeds = 1, config = config, data = data }
  print(("%-12s %6s %22s %22s %16s"):format("logits", "clips", "rms difference/spread", "most difference/spread", "same top-1"))
  for _, v in ipairs {
    { network = "swin-micro", weights = "data/pretrained/swin-micro.h5", clip_len = 8, size = 64 },
    { network = config.large, weights = false, clip_len = config.large_len, size = config.large_size, batch = 4 },
  } do
    local m = exp:trial(v.network, v, compare_logits)[1].metrics
    print(("%-12s %6d %22.4f %22.4f %10d (%.1f%%)"):format(v.network, m.clips, m.rms, m.most, math.floor(m.agree * m.clips + 0.5),
      100 * m.agree))
  end
end

-- --- training ---

local function curve(cfg)
  local model = new_model(cfg, cfg.backbone, cfg.backbone == "swin-micro" and cfg.pretrained, cfg.clip_len)
  local opt = dgam.optim.AdamW(model, { lr = cfg.lr, weight_decay = cfg.weight_decay })
  local loader = train.train_loader(data, cfg)
  local losses, epoch = {}, 0
  local bar = dgam.progress.new(("%s, seed %d"):format(cfg.bf16 and "bfloat16" or "float32", cfg.seed), cfg.steps)
  torch.manual_seed(cfg.seed)
  model:train()
  while #losses < cfg.steps do
    epoch = epoch + 1
    for batch in loader:epoch(epoch) do
      if #losses == cfg.steps then break end
      losses[#losses + 1] = in_precision(cfg.bf16, function()
        local loss = torch.cross_entropy((model(batch.clip)), batch.label)
        opt:zero_grad()
        loss:backward()
        opt:step(math.min(1, (#losses + 1) / 20))
        return loss:item()
      end)
      bar:advance(1, { loss = losses[#losses] })
    end
  end
  bar:finish()
  loader:close()
  return { metrics = { last = losses[#losses] }, curves = { loss = losses } }
end

local function mean_of(list, from, to)
  local sum = 0
  for i = from, to do sum = sum + list[i] end
  return sum / (to - from + 1)
end

if wanted.training then
  local exp = dgam.experiment { name = "precision-training", seeds = config.seeds, config = config, data = data }
  local full = exp:trial("float32", { bf16 = false }, curve)
  local half = exp:trial("bfloat16", { bf16 = true }, curve)
  print(("\n%-10s %16s %16s %22s %22s"):format(config.backbone, "loss, float32", "loss, bfloat16", "bfloat16 - float32",
    "deviation over seeds"))
  local block = math.max(1, config.steps // 4)
  for from = 1, config.steps - block + 1, block do
    local a, b, spread = {}, {}, 0
    for s = 1, config.seeds do
      a[s] = mean_of(full[s].curves.loss, from, from + block - 1)
      b[s] = mean_of(half[s].curves.loss, from, from + block - 1)
    end
    local ma, mb = mean_of(a, 1, config.seeds), mean_of(b, 1, config.seeds)
    for s = 1, config.seeds do spread = spread + (a[s] - ma) ^ 2 end
    print(("%4d-%-5d %16.4f %16.4f %22.4f %22.4f"):format(from, from + block - 1, ma, mb, mb - ma,
      math.sqrt(spread / math.max(1, config.seeds - 1))))
  end
end
