--- AdamW (Loshchilov & Hutter 2019), as torch.optim.AdamW computes it.
--
--     local opt = optim.AdamW(model, { lr = 3e-4, weight_decay = 0.05 })
--     opt:step(factor)
--
-- Arguments: model, an nn.Module; options
--   lr = 1e-3           learning rate, 0 or more
--   betas = {0.9, 0.999}  decay of the first and second moment, from 0 to below 1
--   eps = 1e-8          added to the root of the second moment, from 0 to 1
--   weight_decay = 0.01   of the parameter itself, times lr, 0 or more
--   rules               see dgam.optim
-- Result: an optimiser, see dgam.optim; it keeps two moments of every parameter, m and v, and how many updates it has had.
local torch = require "torch"
local check = require "util.check"
local optimizer = require "dgam.nn.optim.optimizer"

return function(model, options)
  options = check.names("AdamW", options or {}, { "lr", "betas", "eps", "weight_decay", "rules" })
  local function number(...) return optimizer.number("AdamW", options, ...) end
  local lr, eps, decay = number("lr", 1e-3, 0, math.huge), number("eps", 1e-8, 0, 1), number("weight_decay", 0.01, 0, math.huge)
  local betas = check.default(options.betas, { 0.9, 0.999 })
  check.option("AdamW", "betas", betas, { "two numbers", function(v) return type(v) == "table" end })
  for i = 1, 2 do check.option("AdamW", ("betas[%d]"):format(i), betas[i], check.below(0, 1)) end
  local beta1, beta2 = betas[1], betas[2]
  local opt, adamw_ = optimizer.new("AdamW", model, lr, options.rules, { "m", "v" }), torch.ops.dgam.adamw_

  --- One update with every learning rate times `factor` (default 1). The moments of a parameter count its own updates.
  function opt:step(factor)
    self:each(function(e, g)
      local m, v = optimizer.moment(e, "m"), optimizer.moment(e, "v")
      e.steps = (e.steps or 0) + 1
      adamw_(e.tensor, g, m, v, self.lr * e.lr * (factor or 1), beta1, beta2, eps, decay * e.decay, e.steps)
    end)
  end
  return opt
end
