--- torch: libtorch's tensors, operators and autograd in Lua.
--
-- Every operator libtorch knows is a function here and a method of tensors: `torch.matmul(a, b)`, `a:sum(1)`. Arguments
-- are given in the order of the operator's schema, or by name in a table at the end: `x:sum(2, {keepdim = true})`.
-- `torch.help "sum"` prints the schemas. Dimensions, indices and class labels count from 1; -1 is the last. A sparse tensor's
-- crow_indices and ccol_indices are offsets, from 0.
--
--     local torch = require "torch"
--     local x = torch.randn(2, 3)
--     print(x[1], x[{ {}, {1, 2} }], (x * 2 + 1):mean():item())
--
-- Data types, devices, layouts and memory formats are strings: "float32", "cpu", "sparse_coo", "channels_last". A missing value in a
-- list is torch.none; in an index it is a new dimension: x[{ {}, torch.none }]. A name that is a word of Lua's has a _ after it:
-- x:repeat_(2, 1), { end_ = 3 }. As a method's tensor an operator takes the argument called self: x:where(condition, other).
--
-- The core, and with it oneDNN, is loaded before libtorch. A libtorch that has a oneDNN of its own inside offers some of its
-- functions to everything loaded after it, and the core's oneDNN, another version, would run them in place of its own.
require "dgamnative.sys"
local native = require "dgamtorch"
dgamlua.catch_signals()
local show = require "torch.show"
local check = require "util.check"
local suggest = require "util.suggest"

local torch = {
  Tensor = native.metatable,
  none = native.none,
  version = native.version,
  --- torch.grad(outputs, inputs, grad_outputs|nil, {retain_graph=, create_graph=, allow_unused=})
  -- @return list of gradients, false for an input that was not used (allow_unused)
  grad = native.grad,
  --- torch.frombytes(string, dtype, shape): the bytes as they are, copied.
  frombytes = native.frombytes,
  is_tensor = native.is_tensor,
  --- Seeds libtorch's generator (dropout, torch.randn ...). Data loading and drawing experts do not use it.
  manual_seed = native.manual_seed,
  --- torch.generator(seed): random numbers that nothing else draws from: torch.randn(3, { generator = g }). g:state() is its state
  -- as a tensor, g:set_state(t) takes it back.
  generator = native.generator,
  rng_state = native.rng_state,
  set_rng_state = native.set_rng_state,
  --- torch.threads([n]): sets and returns the number of threads: 1 to 4096, of which at most 64, or twice the processors if
  -- that is more, are used.
  threads = native.threads,
  --- torch.memory([reset_peak]) -> bytes of CPU tensors alive, most bytes alive at once.
  memory = native.memory,
}
local methods = native.methods

-- Operators that libtorch keeps outside its main namespace of names, or under another name than its documentation.
local ALIASES = { cross_entropy = "cross_entropy_loss", concat = "cat", bmm_ = "bmm" }

local DTYPES = {
  "float32", "float64", "float16", "bfloat16", "complex64", "complex128", "int64", "int32", "int16", "int8", "uint8", "bool",
}
for _, name in ipairs(DTYPES) do torch[name] = name end

local all_names
--- Every operator name, sorted, without "aten::" (others keep their namespace).
function torch.names()
  if not all_names then
    all_names = {}
    for _, n in ipairs(native.names()) do
      local bare = n:match "^aten::([%a][%w_]*)$"
      if bare then all_names[#all_names + 1] = bare end
    end
  end
  return all_names
end

--- The schemas of an operator, as text, one a line.
function torch.help(name)
  if type(name) ~= "string" then error(("torch.help: the name is %s, expected text such as \"softmax\""):format(tostring(name)), 2) end
  local text = native.schemas(name:find "::" and name or "aten::" .. (ALIASES[name] or name))
  if not text then error(suggest.unknown("operator", name, torch.names()), 2) end
  return text
end

--- Operators of other namespaces: torch.ops.dgam.gic(...).
torch.ops = setmetatable({}, {
  __index = function(ops, namespace)
    local space = setmetatable({}, {
      __index = function(self, name)
        local f = native.op(namespace .. "::" .. name)
        if not f then
          local known = {}
          for _, n in ipairs(native.names()) do
            local ns, bare = n:match "^([^:]+)::(.+)$"
            if ns == namespace then known[#known + 1] = bare end
          end
          error(suggest.unknown("operator of " .. namespace, name, known), 2)
        end
        rawset(self, name, f)
        return f
      end,
    })
    rawset(ops, namespace, space)
    return space
  end,
})

setmetatable(torch, {
  __index = function(_, name)
    if type(name) ~= "string" then return nil end
    local f = native.op("aten::" .. (ALIASES[name] or name))
    if not f then error(suggest.unknown("function of torch", name, torch.names()), 2) end
    rawset(torch, name, f)
    return f
  end,
})

methods.__missing = function(name)
  error(suggest.unknown("method or field of a tensor", tostring(name), torch.names()), 3)
end

--- torch.tensor(value[, {dtype=, device=, requires_grad=}]): from a number or a nested table. Whole numbers give
-- int64, other numbers float32, true/false bool. Complex numbers: torch.complex(real, imaginary), or
-- torch.view_as_complex of a tensor of pairs.
function torch.tensor(value, options)
  options = options or {}
  check.names("torch.tensor", options, { "dtype", "device", "requires_grad" })
  local t = native.is_tensor(value) and value:detach():clone() or native.tensor(value)
  local dtype = options.dtype or (not native.is_tensor(value) and t.dtype == "float64" and "float32") or t.dtype
  if dtype ~= t.dtype then t = t:to(dtype) end
  if options.device then t = t:to(options.device) end
  if options.requires_grad then t.requires_grad = true end
  return t
end

--- torch.no_grad(f, ...): calls f with gradients off and gives back what it returns; they are on again after it, also
-- after an error. f cannot yield.
function torch.no_grad(f, ...) return native.with_grad_mode(false, f, ...) end

--- torch.enable_grad(f, ...): the same with gradients on.
function torch.enable_grad(f, ...) return native.with_grad_mode(true, f, ...) end

torch.is_grad_enabled = native.is_grad_enabled

-- --- methods that are more than one operator ---

local to = native.op "aten::to"
local TO = { "dtype", "device", "layout", "non_blocking", "copy", "memory_format" }

-- What x:to(...) asks for: a table of options, from arguments in PyTorch's order.
local function wanted(what, ...)
  local given, at, o = table.pack(what, ...), 1, {}
  local last = given[given.n]
  if given.n > 0 and type(last) == "table" and not native.is_tensor(last) then
    check.names("to", last, TO)
    for k, v in pairs(last) do o[k] = v end
    given.n = given.n - 1
  end
  local function take(name, value)
    if o[name] ~= nil then error(("to: '%s' is given twice"):format(name), 4) end
    o[name] = value
  end
  if at <= given.n and native.is_tensor(given[at]) then
    take("dtype", given[at].dtype)
    take("device", given[at].device)
    at = at + 1
  else
    if at <= given.n and (given[at] == nil or native.is_device(given[at])) then
      if given[at] then take("device", given[at]) end
      at = at + 1
    end
    if at <= given.n and (given[at] == nil or native.is_dtype(given[at])) then
      if given[at] then take("dtype", given[at]) end
      at = at + 1
    end
    if type(given[at]) == "string" and at <= given.n then
      error(("to: '%s' is neither a dtype (%s) nor a device this build knows"):format(given[at], table.concat(DTYPES, ", ")), 3)
    end
  end
  for _, name in ipairs { "non_blocking", "copy" } do
    if at <= given.n and given[at] ~= nil then take(name, given[at]) end
    at = at + 1
  end
  if at <= given.n then error("to: more arguments than a device, a dtype, non_blocking, copy and options", 3) end
  return o
end

--- x:to(dtype), x:to(device[, dtype]), x:to(other) for dtype and device of the tensor other; after them non_blocking and copy. All,
-- and memory_format, also by name: x:to{device=, dtype=, copy=}. Itself if nothing changes, unless copy is true.
function methods:to(...) return to(self, wanted(...)) end

function methods:cpu() return self:to "cpu" end
function methods:float() return self:to "float32" end
function methods:double() return self:to "float64" end
function methods:half() return self:to "float16" end
function methods:bfloat16() return self:to "bfloat16" end
function methods:long() return self:to "int64" end
function methods:int() return self:to "int32" end
function methods:short() return self:to "int16" end
function methods:char() return self:to "int8" end
function methods:byte() return self:to "uint8" end
function methods:bool() return self:to "bool" end

-- x:plain(), in torch.c: the values as they are, in contiguous memory of the CPU, without gradient. What reads memory asks for it:
-- a conjugate or negation may not be computed yet.

--- Nested Lua tables of numbers (true/false for bool; {real, imaginary} for complex types, as torch.view_as_real has them).
function methods:totable() return methods.totable_(self:plain()) end
--- The elements' bytes in row-major order.
function methods:tobytes() return methods.tobytes_(self:plain()) end

function methods:cross_entropy(...) return torch.cross_entropy(self, ...) end
function methods:dim() return self.ndim end
methods.zero_grad = function(self) self.grad = nil end

torch.Tensor.__tostring = function(t) return show.tensor(t) end
torch.Tensor.__name = "tensor"

return torch
