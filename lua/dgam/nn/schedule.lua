--- dgam.schedule: learning rates over the steps of a training. A schedule is a function(step) -> factor, step from 0, for
-- opt:step(factor) of dgam.optim.
local check = require "util.check"

local schedule = {}

--- Linear warm-up per iteration from `ratio`, then cosine per epoch to 0 (mmcv's CosineAnnealing with by_epoch).
-- @param options epochs, steps_per_epoch, warmup_epochs = 2.5, ratio = 0.1
-- @return function(step) -> factor; step counts from 0
function schedule.warmup_cosine(options)
  check.names("warmup_cosine", options, { "epochs", "steps_per_epoch", "warmup_epochs", "ratio" })
  local function number(name, default, low, high)
    return check.option("warmup_cosine", name, check.default(options[name], default), check.number(low, high))
  end
  local epochs, per_epoch = number("epochs", nil, 1e-9, math.huge), number("steps_per_epoch", nil, 1, math.huge)
  local warmup, ratio = number("warmup_epochs", 2.5, 0, math.huge) * per_epoch, number("ratio", 0.1, 0, 1)
  return function(step)
    local epoch = step // per_epoch
    local factor = 0.5 * (1 + math.cos(math.pi * math.min(1, epoch / epochs)))
    if step < warmup then factor = factor * (1 - (1 - step / warmup) * (1 - ratio)) end
    return factor
  end
end

return schedule
