--- dgam.train.estimate: how long a training will take, by a step of it that is measured.
local torch = require "torch"
local device = require "dgam.train.device"
local options = require "dgam.train.options"
local trainer = require "dgam.train.trainer"
local progress = require "dgam.show.progress"

-- A batch of random pixels as the loader would give it.
local function made_up(dataset, cfg, n)
  return { clip = torch.randint(60, { n, 3, cfg.clip_len, cfg.size, cfg.size }, { dtype = "uint8" }),
    label = torch.ones({ n }, { dtype = "int64" }), index = torch.arange(1, n + 1):clamp(1, #dataset.items), number = 1 }
end

local function seconds(f)
  f()
  local start = progress.now()
  f()
  return progress.now() - start
end

--- Seconds that stages 0 or 1 and the test will take at most. Decoding is taken to keep up, as it does unless clips are large.
-- @param model one that is thrown away: two steps are trained on random pixels
-- @param dataset, cfg as train.fit takes them
-- @return seconds
return function(model, dataset, cfg)
  cfg = options.check(cfg)
  local before, counts = torch.rng_state(), dataset:count "split"
  local where = device.of(model)
  local unkept = setmetatable({}, { __index = function(_, name) return name ~= "checkpoint" and cfg[name] or nil end })
  local t <close> = trainer.new(model, dataset, unkept)
  local n = math.min(cfg.batch, counts.train or cfg.batch)
  local batch = made_up(dataset, cfg, n)
  local step = seconds(function() t:step(batch) end)
  model:eval()
  local clip = device.put(batch.clip, where)
  local look = seconds(function() torch.no_grad(function() return (model(clip)) end) end) / n -- of one view
  torch.set_rng_state(before)
  local validations = cfg.epochs / cfg.val_every
  return cfg.epochs * t.steps * step + look * (validations * (counts.val or 0) + (counts.test or 0) * cfg.test_clips * cfg.test_crops)
end
