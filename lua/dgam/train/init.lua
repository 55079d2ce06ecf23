--- dgam.train: the paper's training procedure, stage by stage, and its evaluation.
--
-- Stage 0 (train.fit, one expert) fine-tunes backbone and head. Stage 1 (train.fit, experts = "uniform") trains backbone
-- and heads with an expert drawn uniformly for every clip, the gate frozen. Stage 2 (train.gate) freezes backbone and
-- heads and trains the gate on the logits every expert gives (train.expert_logits, computed once).
--
-- Settings (cfg) are any table; what it does not say is taken from train.defaults, the paper's values. train.options has all of
-- them with their meaning.
local options = require "dgam.train.options"
local trainer = require "dgam.train.trainer"
local gate = require "dgam.train.gate"
local evaluate = require "dgam.train.evaluate"
local loaders = require "dgam.train.loaders"

local train = {
  options = options, --             every setting: default, kind, meaning, stages
  defaults = options.defaults, --   name -> default
  check = options.check, --         (cfg) -> cfg with defaults; an error that names the first setting that is wrong

  trainer = trainer.new, --         (model, dataset, cfg) -> an object with step, validate, save, load, run and hooks

  expert_logits = gate.expert_logits, -- (model, dataset, cfg, split[, clips, crops]) -> what a gate needs to know
  gate = gate.train, --             (model, known, val, cfg) -> history
  switch = gate.switch, --          (known, lambda) -> log-probabilities of the experts that lambda chooses
  collapsed = gate.collapsed, --    (lambda, gammas) -> a line if nearly all clips go to one expert, or nil
  objectives = require "dgam.train.objectives", -- what a gate minimises, by name

  predict = evaluate.predict, --    (model, dataset, cfg, split) -> probabilities, labels, index
  evaluate = evaluate.evaluate, --  (model, dataset, cfg, split[, by]) -> metrics
  score = evaluate.score, --        (dataset, scores, labels, index[, by]) -> metrics
  report = require "dgam.train.report", -- (model, dataset, cfg, trained[, by]) -> what a trial returns

  train_loader = loaders.train, --  (dataset, cfg) -> the loader of training clips
  test_loader = loaders.test, --    (dataset, cfg, split, clips, crops) -> one of clips that are measured
  dim = require "dgam.train.dim", -- (clip, share) -> clips, some dimmed and noisy
  estimate = require "dgam.train.estimate", -- (model, dataset, cfg) -> seconds that it will take, by a measured step
}

--- Trains backbone and heads, of them what is not frozen; the gate, if there is one, keeps still. The model ends with the
-- weights of its best validation. A trainer (train.trainer) that runs; see there for arguments and errors.
-- @return history: list of { epoch, loss, accuracy, lr, val_top1, val_top5, val_loss }
function train.fit(model, dataset, cfg)
  local t <close> = trainer.new(model, dataset, cfg)
  return t:run()
end

--- Stages 1 and 2 on a model that starts from stage 0, as the paper trains its switching models.
-- @return { history =, gate_history =, val = (what train.report takes the best fixed expert from) }
function train.switching(model, dataset, cfg)
  local history = train.fit(model, dataset, setmetatable({ experts = "uniform" }, { __index = cfg }))
  if not model.gate then return { history = history, gate_history = {} } end
  local known = train.expert_logits(model, dataset, cfg, "train")
  local val = train.expert_logits(model, dataset, cfg, "val")
  return { history = history, gate_history = train.gate(model, known, val, cfg), val = val }
end

return train
