--- dgam.train.objectives: what a gate can minimise when backbone and heads are frozen. One of your own is a function like these:
--
--     local function mine(lambda, logits, labels, cfg)
--       local p = logits:exp():gather(3, labels:view(-1, 1, 1):expand(-1, lambda:size(2), 1)):squeeze(3) -- [N, E]
--       return (lambda * (1 - p)):sum(2):mean()                       -- the expected share of wrong answers
--     end
--     train.switching(model, data, cfg { gate_objective = mine })     -- or: gate.objective = mine, of a gate of your own
--
-- lambda  float [N, E]     what the gate gives for N clips, rows sum to one; the loss must depend on it
-- logits  float [N, E, K]  log-probabilities of the K classes by every expert; constants
-- labels  int64 [N]        the right classes, from 1
-- cfg     the settings of the run; cfg.temperature is the model's
-- Returns the loss: a tensor with one finite number.
local torch = require "torch"

local objectives = {}

-- The negative log of sum_e weights_e p_e(label), mean over clips.
local function of_mixture(weights, logits, labels)
  local mixed = (logits + weights:clamp(1e-12, 1):log():unsqueeze(3)):logsumexp(2)
  return torch.nll_loss(mixed, labels)
end

--- -log sum_e lambda_e p_e(label). Its gradient reaches every expert's weight.
function objectives.mixture(lambda, logits, labels) return of_mixture(lambda, logits, labels) end

--- The same of softmax(lambda / temperature), as the official code trains. At its temperature of 1e-6 the gradient is zero
-- unless two lambdas nearly tie; it is there to be measured.
function objectives.official(lambda, logits, labels, cfg)
  return of_mixture((lambda / cfg.temperature):softmax(2), logits, labels)
end

return objectives
