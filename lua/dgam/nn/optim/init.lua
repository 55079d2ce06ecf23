--- dgam.optim: AdamW and SGD with parameter groups chosen by name, and learning-rate schedules. One algorithm a file.
--
--     local opt = optim.AdamW(model, { lr = 3e-4, weight_decay = 0.05, rules = {
--       { "^backbone%.", lr = 0.1 },                 -- a Lua pattern on the parameter's name; factors multiply
--       { "norm", "bias_table", decay = 0 },         -- several patterns, one rule; optional = true: may match nothing
--     } })
--     opt:step(factor)                               -- factor from a schedule, times every lr
--
-- An optimiser has zero_grad(), clip_grad_norm(limit) -> norm, step(factor), state_dict() and load_state_dict(state). It trains the
-- parameters that the model had, and that required gradients, when it was made. The options stay as the caller gave them.
local schedule = require "dgam.nn.schedule"

return {
  AdamW = require "dgam.nn.optim.adamw",
  SGD = require "dgam.nn.optim.sgd",
  warmup_cosine = schedule.warmup_cosine,
}
