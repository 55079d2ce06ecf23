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
-- An error inside forward says where, on a line of its own: "in DGAM > backbone > layers > 2 > blocks > 5".
local torch = require "torch"
local check = require "util.check"

local Module = {}
Module.__index = Module
Module.class_name = "Module"

-- Every module that an error passes puts its name in front of the path. So nothing is remembered between calls, and a
-- forward may yield, or catch what a child raises.
local function finish(self, ok, ...)
  if ok then return ... end
  local message = (...)
  if type(message) == "string" and message ~= "interrupted" then
    local text, path = message:match "^(.*)\n  in ([^\n]*)$"
    message = ("%s\n  in %s%s"):format(text or message, self._name or self.class_name, path and " > " .. path or "")
  end
  error(message, 0)
end

local function call(self, ...) return finish(self, pcall(self.forward, self, ...)) end
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

-- Lists of the names that are registered, and what is under them.
local KINDS = { _parameters = "parameter", _buffers = "buffer", _children = "child" }

-- Makes `value` self[name]. A name of the same kind is replaced, any other that is taken an error.
local function register(self, kind, name, value)
  local listed
  for k in pairs(KINDS) do
    for _, known in ipairs(self[k]) do
      if known == name then listed = k end
    end
  end
  if listed ~= kind then
    if listed or self[name] ~= nil then
      error(("%s '%s': %s has a %s of that name already, expected another name"):format(KINDS[kind], name, self.class_name,
        KINDS[listed] or "field or method"), 3)
    end
    table.insert(self[kind], name)
  end
  self[name] = value
  return value
end

-- Whether a value is a class, not one of its objects.
local function is_class(v) return type(v) == "table" and rawget(v, "class_name") ~= nil end

local function check_tensor(what, name, value)
  if not torch.is_tensor(value) then error(("%s '%s' is %s, expected a tensor"):format(what, name, tostring(value)), 3) end
end

--- Registers a trainable tensor as self[name]. Returns it. A name that is a buffer's, a child's, a field's or a method's is an
-- error, here and below.
function Module:parameter(name, tensor)
  check_tensor("parameter", name, tensor)
  register(self, "_parameters", name, tensor)
  tensor.requires_grad = true
  return tensor
end

--- Registers a tensor that is saved but not trained (running statistics).
function Module:buffer(name, tensor)
  check_tensor("buffer", name, tensor)
  register(self, "_buffers", name, tensor)
  return tensor
end

--- Registers a child module as self[name]; a child of that name is replaced. Returns the child.
function Module:add(name, child)
  name = tostring(name)
  if type(child) ~= "table" or is_class(child) then
    error(("child '%s' is %s, expected a module"):format(name, is_class(child) and "the class " .. child.class_name or tostring(child)), 2)
  end
  register(self, "_children", name, child)
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

-- List of {full name, tensor, its module, its name there}. A tensor with several names comes under the first of them, or
-- under `all`.
local function named(self, kind, all)
  local list, seen = {}, {}
  walk(self, "", function(m, prefix)
    for _, name in ipairs(m[kind]) do
      local t = m[name]
      if t and (all or not seen[t:id()]) then -- one set to nil is none, as the bias of a layer that shall have none
        seen[t:id()] = true
        list[#list + 1] = { prefix .. name, t, m, name }
      end
    end
  end)
  return list
end

-- The same for parameters, then buffers, under all their names.
local function everything(self)
  local list, buffers = named(self, "_parameters", true), named(self, "_buffers", true)
  return table.move(buffers, 1, #buffers, #list + 1, list)
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

--- for name, tensor in m:named_parameters(), in order of registration, depth first. A tensor comes once, under the first
-- of its names.
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

--- name -> tensor for parameters and buffers, sharing memory with the module. A tensor with several names has all of them.
function Module:state_dict()
  local state = {}
  for _, entry in ipairs(everything(self)) do state[entry[1]] = entry[2]:detach() end
  return state
end

--- Copies values in. Every name must be there with its shape and nothing else (strict = false: report only).
-- @param state name -> tensor
-- @param options {strict = true}
-- @return list of names that were missing, list of names that were not used
function Module:load_state_dict(state, options)
  options = check.names("load_state_dict", options or {}, { "strict" })
  if type(state) ~= "table" then
    error(("load_state_dict: the state is %s, expected a table of names and tensors"):format(tostring(state)), 2)
  end
  local missing, unused, seen, wrong = {}, {}, {}, {}
  local all = everything(self)
  for _, entry in ipairs(all) do
    local name, target = entry[1], entry[2]
    local value = state[name]
    seen[name] = true
    if value == nil then
      missing[#missing + 1] = name
    elseif not torch.is_tensor(value) then
      wrong[#wrong + 1] = ("%s is %s, expected a tensor"):format(name, tostring(value))
    elseif table.concat(value.shape, "x") ~= table.concat(target.shape, "x") then
      wrong[#wrong + 1] = ("%s is %s, expected %s"):format(name, table.concat(value.shape, "x"),
        table.concat(target.shape, "x"))
    end
  end
  for name in pairs(state) do
    if not seen[name] then unused[#unused + 1] = tostring(name) end
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

--- Moves parameters, their gradients and buffers to a device or floating dtype. The tensors stay the same, so that an
-- optimiser goes on with them; only where a device cannot take over their memory (to "meta") there are new ones.
function Module:to(what)
  local is_dtype = rawget(torch, what) == what
  for _, entry in ipairs(everything(self)) do
    local _, t, m, name = table.unpack(entry)
    if not is_dtype or t.dtype:find "float" then
      local moved, grad = t:detach():to(what), t.grad
      if t:_has_compatible_shallow_copy_type(moved) then
        t:set_data(moved)
        if grad then grad:set_data(grad:to(what)) end
      else
        moved.requires_grad = t.requires_grad
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

return setmetatable({ Module = Module, is_class = is_class }, { __call = class })
