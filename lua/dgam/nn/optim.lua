--- dgam.optim: AdamW and SGD with parameter groups chosen by name, and learning-rate schedules.
--
--     local opt = optim.AdamW(model, { lr = 3e-4, weight_decay = 0.05, rules = {
--       { "^backbone%.", lr = 0.1 },                 -- a Lua pattern on the parameter's name; factors multiply
--       { "norm", "bias_table", decay = 0 },         -- several patterns, one rule
--     } })
--     opt:step(factor)                               -- factor from a schedule, times every lr
local torch = require "torch"
local show = require "torch.show"
local check = require "util.check"
local suggest = require "util.suggest"
local keys_of = require "util.keys"

local optim = {}

local function number(where, options, name, default, low, high)
  return check.option(where, name, check.default(options[name], default), check.number(low, high))
end

-- Rules are tables of patterns, with lr and decay, two factors, and optional.
local function check_rules(where, rules)
  local function fail(...) error(where .. ": " .. (...):format(select(2, ...)), 6) end
  if type(rules) ~= "table" then fail("rules are %s, expected a list of rules", tostring(rules)) end
  for r, rule in ipairs(rules) do
    if type(rule) ~= "table" then fail("rule %d is %s, expected a table { pattern, lr =, decay = }", r, tostring(rule)) end
    for key, value in pairs(rule) do
      if type(key) == "number" then
        if type(value) ~= "string" then fail("rule %d: pattern %s is %s, expected a string", r, key, tostring(value)) end
      elseif key == "lr" or key == "decay" then
        if type(value) ~= "number" or not (value >= 0 and value < math.huge) then
          fail("rule %d: %s is %s, expected a factor of 0 or more", r, key, tostring(value))
        end
      elseif key ~= "optional" then
        fail("rule %d: %s", r, suggest.unknown("field", tostring(key), { "lr", "decay", "optional" }))
      end
    end
  end
end

--- Pairs every trainable parameter with its lr and decay factor. A rule that matches nothing is an error: it is a typo.
local function entries(where, model, rules)
  if type(model) ~= "table" or not model._children then
    error(("%s: the model is %s, expected a module"):format(where, check.show(model)), 4)
  end
  check_rules(where, rules)
  local list, used = {}, {}
  for name, t in model:named_parameters() do
    if t.requires_grad then
      local e = { name = name, tensor = t, lr = 1, decay = 1 }
      for r, rule in ipairs(rules) do
        for _, pattern in ipairs(rule) do
          local ok, found = pcall(string.find, name, pattern)
          if not ok then error(("%s: rule %d: '%s' is no pattern: %s"):format(where, r, pattern, found), 4) end
          if found then
            e.lr, e.decay = e.lr * (rule.lr or 1), e.decay * (rule.decay or 1)
            used[r] = true
            break
          end
        end
      end
      list[#list + 1] = e
    end
  end
  for r, rule in ipairs(rules) do
    if not used[r] and not rule.optional then
      error(("%s: rule %d ('%s') matches no trainable parameter"):format(where, r, table.concat(rule, "', '")), 4)
    end
  end
  if #list == 0 then error(where .. ": the model has no trainable parameter", 4) end
  return list
end

local Optimizer = {}
Optimizer.__index = Optimizer

--- Clears all gradients.
function Optimizer:zero_grad()
  for _, e in ipairs(self.entries) do e.tensor.grad = nil end
end

--- Scales gradients so that their joint 2-norm is at most `limit`; returns the norm before.
function Optimizer:clip_grad_norm(limit)
  local norms = {}
  for _, e in ipairs(self.entries) do
    local g = e.tensor.grad
    if g then norms[#norms + 1] = g:norm() end
  end
  if #norms == 0 then return 0 end
  local total = torch.stack(norms):norm():item()
  if total > limit then
    for _, e in ipairs(self.entries) do
      local g = e.tensor.grad
      if g then g:mul_(limit / (total + 1e-6)) end
    end
  end
  return total
end

--- name -> tensor of everything needed to go on after a restart: step, the number of steps; of every parameter that has had
-- a gradient its moments, "m/NAME", and "steps/NAME", the updates it has had, where those are fewer than the steps.
function Optimizer:state_dict()
  local state = { step = torch.tensor(self.steps) }
  for _, e in ipairs(self.entries) do
    for _, slot in ipairs(self.slots) do
      if e[slot] then state[slot .. "/" .. e.name] = e[slot] end
    end
    if e.m and e.steps ~= self.steps then state["steps/" .. e.name] = torch.tensor(e.steps) end
  end
  return state
end

-- state[name], which must be a tensor of that shape.
local function take(state, name, shape)
  local t = state[name]
  if not torch.is_tensor(t) or table.concat(t.shape, "x") ~= table.concat(shape, "x") then
    error(("load_state_dict: %s is %s, expected a tensor %s"):format(name, torch.is_tensor(t) and show.footer(t) or tostring(t),
      #shape == 0 and "with one whole number" or "of shape " .. table.concat(shape, "x")), 3)
  end
  return t
end

--- Goes on from what state_dict of such an optimiser gave; a parameter that had no gradient yet is not in it and begins anew.
-- What this one does not know, and moments that are missing, are errors, and nothing is changed.
function Optimizer:load_state_dict(state)
  check.option("load_state_dict", "the state", state, check.table)
  local steps = take(state, "step", {}):item()
  local known, loaded, any = { step = true }, {}, false
  local function moment_of(e, slot) return take(state, slot .. "/" .. e.name, e.tensor.shape):clone() end
  for i, e in ipairs(self.entries) do
    local values, there = {}, false
    for _, slot in ipairs(self.slots) do
      local name = slot .. "/" .. e.name
      known[name], there = true, there or state[name] ~= nil
    end
    if there then -- all of them or none
      local count = "steps/" .. e.name
      for _, slot in ipairs(self.slots) do values[slot] = moment_of(e, slot) end
      values.steps = state[count] ~= nil and take(state, count, {}):item() or steps
      known[count], any = true, true
    end
    loaded[i] = values
  end
  for _, name in ipairs(keys_of(state)) do
    if not known[name] then
      error(("load_state_dict: the state has '%s', which this optimiser of this model does not know"):format(tostring(name)), 2)
    end
  end
  if steps > 0 and not any and self.slots[1] then moment_of(self.entries[1], self.slots[1]) end -- which says what is missing
  self.steps = steps
  for i, e in ipairs(self.entries) do
    for _, slot in ipairs(self.slots) do e[slot] = loaded[i][slot] end
    e.steps = loaded[i].steps
  end
end

-- The moment of a parameter: zeros at first, and of its type and device, should the model have moved.
local function moment(e, slot)
  local t = e[slot] or torch.zeros_like(e.tensor)
  if t.dtype ~= e.tensor.dtype or t.device ~= e.tensor.device then t = t:type_as(e.tensor) end
  e[slot] = t
  return t
end

local function new(where, model, options, slots)
  return setmetatable({ entries = entries(where, model, options.rules or {}), steps = 0, slots = slots, lr = options.lr },
    Optimizer)
end

--- AdamW (Loshchilov & Hutter 2019), as torch.optim.AdamW computes it.
-- @param model nn.Module
-- @param options lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01, rules
function optim.AdamW(model, options)
  options = check.names("AdamW", options or {}, { "lr", "betas", "eps", "weight_decay", "rules" })
  options.lr = number("AdamW", options, "lr", 1e-3, 0, math.huge)
  local betas = check.default(options.betas, { 0.9, 0.999 })
  check.option("AdamW", "betas", betas, { "two numbers", function(v) return type(v) == "table" end })
  for i = 1, 2 do check.option("AdamW", ("betas[%d]"):format(i), betas[i], check.below(0, 1)) end
  local eps = number("AdamW", options, "eps", 1e-8, 0, 1)
  local decay = number("AdamW", options, "weight_decay", 0.01, 0, math.huge)
  local opt = new("AdamW", model, options, { "m", "v" })
  local adamw_ = torch.ops.dgam.adamw_

  --- One update with every learning rate times `factor` (default 1). The moments of a parameter count its own updates.
  function opt:step(factor)
    self.steps = self.steps + 1
    torch.no_grad(function()
      for _, e in ipairs(self.entries) do
        local g = e.tensor.grad
        if g then
          local m, v, lr = moment(e, "m"), moment(e, "v"), self.lr * e.lr * (factor or 1)
          e.steps = (e.steps or 0) + 1
          adamw_(e.tensor, g, m, v, lr, betas[1], betas[2], eps, decay * e.decay, e.steps)
        end
      end
    end)
  end
  return opt
end

--- SGD with momentum, as torch.optim.SGD (dampening 0).
-- @param options lr = 1e-2, momentum = 0, weight_decay = 0, nesterov = false, rules
function optim.SGD(model, options)
  options = check.names("SGD", options or {}, { "lr", "momentum", "weight_decay", "nesterov", "rules" })
  options.lr = number("SGD", options, "lr", 1e-2, 0, math.huge)
  local momentum = number("SGD", options, "momentum", 0, 0, 1)
  local decay = number("SGD", options, "weight_decay", 0, 0, math.huge)
  if options.nesterov and momentum == 0 then error("SGD: nesterov is true and momentum 0, expected a momentum above 0", 2) end
  local opt = new("SGD", model, options, momentum > 0 and { "velocity" } or {})

  function opt:step(factor)
    self.steps = self.steps + 1
    torch.no_grad(function()
      for _, e in ipairs(self.entries) do
        local g = e.tensor.grad
        if g then
          if decay * e.decay > 0 then g = g + e.tensor * (decay * e.decay) end
          if momentum > 0 then
            local velocity = moment(e, "velocity"):mul_(momentum):add_(g)
            g = options.nesterov and g + velocity * momentum or velocity
          end
          e.tensor:add_(g, { alpha = -self.lr * e.lr * (factor or 1) })
        end
      end
    end)
  end
  return opt
end

--- Linear warm-up per iteration from `ratio`, then cosine per epoch to 0 (mmcv's CosineAnnealing with by_epoch).
-- @param options epochs, steps_per_epoch, warmup_epochs = 2.5, ratio = 0.1
-- @return function(step) -> factor; step counts from 0
function optim.warmup_cosine(options)
  check.names("warmup_cosine", options, { "epochs", "steps_per_epoch", "warmup_epochs", "ratio" })
  local epochs = number("warmup_cosine", options, "epochs", nil, 1e-9, math.huge)
  local per_epoch = number("warmup_cosine", options, "steps_per_epoch", nil, 1, math.huge)
  local warmup = number("warmup_cosine", options, "warmup_epochs", 2.5, 0, math.huge) * per_epoch
  local ratio = number("warmup_cosine", options, "ratio", 0.1, 0, 1)
  return function(step)
    local epoch = step // per_epoch
    local factor = 0.5 * (1 + math.cos(math.pi * math.min(1, epoch / epochs)))
    if step < warmup then factor = factor * (1 - (1 - step / warmup) * (1 - ratio)) end
    return factor
  end
end

return optim
