--- Module: parameters, buffers and children under names, as every model here is built.
--
--     local Gate = nn.class "Gate"
--     function Gate:init(inputs, experts)
--       self:add("linear", nn.Linear(inputs, experts))
--     end
--     function Gate:forward(stats) return self.linear(stats):softmax(2) end
--     local gate = Gate(96, 5)
--     local lambda = gate(stats)
--
-- An error inside forward says where: "... (in DGAM > backbone > layers.2 > blocks.5)".
local torch = require "torch"
local suggest = require "dgam.suggest"

local Module = {}
Module.__index = Module
Module.class_name = "Module"

-- Names of the modules whose forward is running, outermost first; empty between calls.
local running = {}

local function call(self, ...)
  if #running == 0 then
    running[1] = self.class_name
    local function finish(ok, ...)
      if ok then
        running = {}
        return ...
      end
      local message = (...)
      local path = table.concat(running, " > ")
      running = {}
      if type(message) == "string" and message ~= "interrupted" then message = message .. "\n  in " .. path end
      error(message, 0)
    end
    return finish(pcall(self.forward, self, ...))
  end
  running[#running + 1] = self._name or self.class_name
  local function pop(...)
    running[#running] = nil
    return ...
  end
  return pop(self:forward(...))
end
Module.__call = call

function Module.__tostring(self)
  local lines = {}
  local function walk(m, name, depth)
    local text = ("  "):rep(depth) .. (name and name .. ": " or "") .. m.class_name
    if m.describe then text = text .. "(" .. m:describe() .. ")" end
    lines[#lines + 1] = text
    for _, child in ipairs(m._children) do walk(m[child], child, depth + 1) end
  end
  walk(self, nil, 0)
  lines[#lines + 1] = ("[%d parameters]"):format(self:count())
  return table.concat(lines, "\n")
end

--- Registers a trainable tensor as self[name]. Returns it.
function Module:parameter(name, tensor)
  if not self[name] then table.insert(self._parameters, name) end
  tensor.requires_grad = true
  self[name] = tensor
  return tensor
end

--- Registers a tensor that is saved but not trained (running statistics).
function Module:buffer(name, tensor)
  if not self[name] then table.insert(self._buffers, name) end
  self[name] = tensor
  return tensor
end

--- Registers a child module as self[name]; a name that is taken is replaced. Returns the child.
function Module:add(name, child)
  name = tostring(name)
  if not self[name] then table.insert(self._children, name) end
  self[name] = child
  child._name = name
  return child
end

local function walk(self, prefix, visit)
  visit(self, prefix)
  for _, name in ipairs(self._children) do
    local child = self[name]
    if child._children then walk(child, prefix .. name .. ".", visit) end
  end
end

local function named(self, kind)
  local list = {}
  walk(self, "", function(m, prefix)
    for _, name in ipairs(m[kind]) do list[#list + 1] = { prefix .. name, m[name], m, name } end
  end)
  return list
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

--- for name, tensor in m:named_parameters(), in order of registration, depth first.
function Module:named_parameters() return iterate(named(self, "_parameters")) end
function Module:named_buffers() return iterate(named(self, "_buffers")) end

--- for name, module in m:named_modules(), itself first under the name "".
function Module:named_modules()
  local list = {}
  walk(self, "", function(m, prefix) list[#list + 1] = { prefix:sub(1, -2), m } end)
  return iterate(list)
end

--- List of the trainable tensors.
function Module:parameters()
  local list = {}
  for _, t in self:named_parameters() do list[#list + 1] = t end
  return list
end

--- Number of trainable values.
function Module:count()
  local n = 0
  for _, t in self:named_parameters() do n = n + t:numel() end
  return n
end

--- name -> tensor for parameters and buffers, sharing memory with the module.
function Module:state_dict()
  local state = {}
  for name, t in self:named_parameters() do state[name] = t:detach() end
  for name, t in self:named_buffers() do state[name] = t end
  return state
end

--- Copies values in. Every name must be there with its shape and nothing else (strict = false: report only).
-- @param state name -> tensor
-- @param options {strict = true}
-- @return list of names that were missing, list of names that were not used
function Module:load_state_dict(state, options)
  options = suggest.check_options("load_state_dict", options or {}, { "strict" })
  local missing, unused, seen, wrong = {}, {}, {}, {}
  local all = named(self, "_parameters")
  table.move(named(self, "_buffers"), 1, #named(self, "_buffers"), #all + 1, all)
  for _, entry in ipairs(all) do
    local name, target = entry[1], entry[2]
    local value = state[name]
    seen[name] = true
    if not value then
      missing[#missing + 1] = name
    elseif table.concat(value.shape, "x") ~= table.concat(target.shape, "x") then
      wrong[#wrong + 1] = ("%s is %s, expected %s"):format(name, table.concat(value.shape, "x"),
        table.concat(target.shape, "x"))
    end
  end
  for name in pairs(state) do
    if not seen[name] then unused[#unused + 1] = name end
  end
  table.sort(unused)
  local function some(list)
    return table.concat(list, ", ", 1, math.min(#list, 4)) .. (#list > 4 and (", ... (%d in all)"):format(#list) or "")
  end
  if #wrong > 0 then error(("load_state_dict: %s"):format(some(wrong)), 2) end
  if options.strict ~= false and (#missing > 0 or #unused > 0) then
    error(("load_state_dict: missing: %s; not known: %s"):format(#missing > 0 and some(missing) or "none",
      #unused > 0 and some(unused) or "none"), 2)
  end
  torch.no_grad(function()
    for _, entry in ipairs(all) do
      if state[entry[1]] then entry[2]:copy_(state[entry[1]]) end
    end
  end)
  return missing, unused
end

--- Training mode on (default) or off, here and below.
function Module:train(on)
  walk(self, "", function(m) m.training = on ~= false end)
  return self
end
function Module:eval() return self:train(false) end

--- Whether gradients are computed for the parameters.
function Module:requires_grad_(on)
  for _, t in self:named_parameters() do t.requires_grad = on ~= false end
  return self
end

function Module:zero_grad()
  for _, t in self:named_parameters() do t.grad = nil end
end

--- Moves parameters and buffers to a device or floating dtype.
function Module:to(what)
  for _, kind in ipairs { "_parameters", "_buffers" } do
    for _, entry in ipairs(named(self, kind)) do
      local _, t, m, name = table.unpack(entry)
      local floating = t.dtype:find "float" ~= nil
      local is_dtype = rawget(torch, what) == what
      if floating or not is_dtype then
        local moved = t:detach():to(what)
        if kind == "_parameters" then moved.requires_grad = t.requires_grad end
        m[name] = moved
      end
    end
  end
  return self
end

--- Calls f(module, name) for itself and everything below; returns itself.
function Module:apply(f)
  walk(self, "", function(m, prefix) f(m, prefix:sub(1, -2)) end)
  return self
end

--- A new class of modules; calling the class makes an object: init(self, ...) is the constructor.
-- @param name shown in errors and when printed
-- @param parent class to inherit from (default Module)
local function class(_, name, parent)
  parent = parent or Module
  local new = setmetatable({}, {
    __index = parent,
    __call = function(self, ...)
      local object = setmetatable({ _parameters = {}, _buffers = {}, _children = {}, training = true }, self)
      if self.init then self.init(object, ...) end
      return object
    end,
  })
  new.__index, new.__call, new.__tostring, new.class_name = new, call, Module.__tostring, name
  return new
end

return setmetatable({ Module = Module }, { __call = class })
