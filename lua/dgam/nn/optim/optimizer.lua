--- What the optimisers have in common: parameters chosen by name, gradients, moments and their state. An optimiser is a file
-- beside this one that makes an object with optimizer.new and gives it `step`.
local torch = require "torch"
local show = require "torch.show"
local check = require "util.check"
local suggest = require "util.suggest"
local keys_of = require "util.keys"

local optimizer = {}

--- An option that is a number from `low` to `high`, or its default.
function optimizer.number(where, options, name, default, low, high)
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
  for name, t, owner, own in model:named_parameters() do
    if t.requires_grad then
      local e = { name = name, tensor = t, lr = 1, decay = 1, owner = owner, own = own }
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

--- The object: entries (one a parameter: name, tensor, lr, decay and its moments), steps (updates so far), lr, and below.
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

--- Calls update(e, gradient) for every parameter that has a gradient, without autograd, and counts the step. A parameter that
-- was replaced since the optimiser was made is an error: it would not be trained.
function Optimizer:each(update)
  for _, e in ipairs(self.entries) do
    local now = e.owner[e.own]
    if now ~= nil and not rawequal(now, e.tensor) and now:id() ~= e.tensor:id() then
      error(("%s: the parameter '%s' was replaced after the optimiser was made, expected the one it knows; make the optimiser anew")
        :format(self.where, e.name), 3)
    end
  end
  self.steps = self.steps + 1
  torch.no_grad(function()
    for _, e in ipairs(self.entries) do
      local g = e.tensor.grad
      if g then update(e, g) end
    end
  end)
end

--- The moment of a parameter: zeros at first, and of its type and device, should the model have moved.
function optimizer.moment(e, slot)
  local t = e[slot] or torch.zeros_like(e.tensor)
  if t.dtype ~= e.tensor.dtype or t.device ~= e.tensor.device then t = t:type_as(e.tensor) end
  e[slot] = t
  return t
end

--- A new optimiser without `step`.
-- @param where its name, for errors
-- @param model nn.Module
-- @param lr learning rate
-- @param rules see dgam.optim
-- @param slots names of the moments it keeps for every parameter
function optimizer.new(where, model, lr, rules, slots)
  return setmetatable({ entries = entries(where, model, rules or {}), steps = 0, slots = slots, lr = lr, where = where }, Optimizer)
end

return optimizer
