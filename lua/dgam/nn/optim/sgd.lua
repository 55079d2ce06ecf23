--- SGD with momentum, as torch.optim.SGD (dampening 0) computes it.
--
--     local opt = optim.SGD(model, { lr = 0.1, momentum = 0.9, nesterov = true })
--     opt:step(factor)
--
-- Arguments: model, an nn.Module; options
--   lr = 1e-2           learning rate, 0 or more
--   momentum = 0        from 0 to 1
--   weight_decay = 0    added to the gradient, times the parameter, 0 or more
--   nesterov = false    the gradient is looked at where the momentum leads; needs a momentum above 0
--   rules               see dgam.optim
-- Result: an optimiser, see dgam.optim; with momentum it keeps one moment of every parameter, velocity.
local check = require "util.check"
local optimizer = require "dgam.nn.optim.optimizer"

return function(model, options)
  options = check.names("SGD", options or {}, { "lr", "momentum", "weight_decay", "nesterov", "rules" })
  local function number(...) return optimizer.number("SGD", options, ...) end
  local lr, momentum, decay = number("lr", 1e-2, 0, math.huge), number("momentum", 0, 0, 1), number("weight_decay", 0, 0, math.huge)
  local nesterov = options.nesterov
  if nesterov and momentum == 0 then error("SGD: nesterov is true and momentum 0, expected a momentum above 0", 2) end
  local opt = optimizer.new("SGD", model, lr, options.rules, momentum > 0 and { "velocity" } or {})

  --- One update with every learning rate times `factor` (default 1).
  function opt:step(factor)
    self:each(function(e, g)
      if decay * e.decay > 0 then g = g + e.tensor * (decay * e.decay) end
      if momentum > 0 then
        local velocity = optimizer.moment(e, "velocity"):mul_(momentum):add_(g)
        g = nesterov and g + velocity * momentum or velocity
      end
      e.tensor:add_(g, { alpha = -self.lr * e.lr * (factor or 1) })
    end)
  end
  return opt
end
