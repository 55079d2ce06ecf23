--- dgam.nn: the layers that models are made of. All of it is autograd; where the core has a faster form of an
-- operator for the CPU, the layer uses it and the device decides.
local torch = require "torch"
local check = require "util.check"
local class = require "dgam.nn.module"
local ops = torch.ops.dgam

local nn = { Module = class.Module, class = class, is_class = class.is_class }

-- --- initial values ---

local init = {}
nn.init = init

--- Uniform in [-bound, bound].
function init.uniform(shape, bound)
  return torch.no_grad(function() return torch.empty(shape):uniform_(-bound, bound) end)
end

--- Normal with the given deviation, cut at two deviations by clamping (Swin's trunc_normal_ with std .02).
function init.trunc_normal(shape, std)
  return torch.no_grad(function() return torch.randn(shape):clamp_(-2, 2):mul_(std) end)
end

--- PyTorch's default for Linear and convolutions: uniform within 1/sqrt(fan_in).
function init.fan_in(shape)
  local fan = 1
  for i = 2, #shape do fan = fan * shape[i] end
  return init.uniform(shape, 1 / math.sqrt(fan)), 1 / math.sqrt(fan)
end

local function triple(v) return type(v) == "table" and v or { v, v, v } end
local function options_of(options, known)
  return check.names("nn", options or {}, known)
end

-- --- layers ---

--- Linear(inputs, outputs[, {bias = true}]): x [..., inputs] -> x W^T + b [..., outputs].
nn.Linear = class "Linear"
function nn.Linear:init(inputs, outputs, options)
  options = options_of(options, { "bias" })
  local weight, bound = init.fan_in { outputs, inputs }
  self:parameter("weight", weight)
  if options.bias ~= false then self:parameter("bias", init.uniform({ outputs }, bound)) end
end
function nn.Linear:forward(x) return ops.linear(x, self.weight, self.bias) end
function nn.Linear:describe()
  return ("%d -> %d%s"):format(self.weight:size(2), self.weight:size(1), self.bias and "" or ", no bias")
end

--- LayerNorm(size[, {eps = 1e-5}]) over the last dimension.
nn.LayerNorm = class "LayerNorm"
function nn.LayerNorm:init(size, options)
  self.eps = options_of(options, { "eps" }).eps or 1e-5
  self:parameter("weight", torch.ones(size))
  self:parameter("bias", torch.zeros(size))
end
function nn.LayerNorm:forward(x) return torch.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps) end
function nn.LayerNorm:describe() return ("%d"):format(self.weight:numel()) end

--- BatchNorm(channels[, {eps = 1e-5, momentum = 0.1}]) over dimension 2 of [N, C] or [N, C, T, H, W]. In training a channel
-- needs more than one value: the variance of one would make running_var NaN for good.
nn.BatchNorm = class "BatchNorm"
function nn.BatchNorm:init(channels, options)
  options = options_of(options, { "eps", "momentum" })
  self.eps, self.momentum = options.eps or 1e-5, options.momentum or 0.1
  self:parameter("weight", torch.ones(channels))
  self:parameter("bias", torch.zeros(channels))
  self:buffer("running_mean", torch.zeros(channels))
  self:buffer("running_var", torch.ones(channels))
  self:buffer("num_batches_tracked", torch.tensor(0))
end
function nn.BatchNorm:forward(x)
  if self.training then
    if x:numel() == x:size(2) then
      error(("BatchNorm: x is %s, expected more than one value per channel in training"):format(table.concat(x.shape, "x")), 0)
    end
    self.num_batches_tracked:add_(1)
  end
  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.training, self.momentum,
    self.eps, false)
end
function nn.BatchNorm:describe() return ("%d"):format(self.weight:numel()) end

--- GroupNorm(groups, channels[, {eps = 1e-5}]): every item by itself, its channels (dimension 2) in so many groups of equal
-- size; with as many groups as channels it is instance normalisation.
nn.GroupNorm = class "GroupNorm"
function nn.GroupNorm:init(groups, channels, options)
  if math.type(groups) ~= "integer" or groups < 1 or channels % groups ~= 0 then
    error(("GroupNorm: groups is %s, expected a divisor of the %d channels"):format(tostring(groups), channels), 3)
  end
  self.groups, self.eps = groups, options_of(options, { "eps" }).eps or 1e-5
  self:parameter("weight", torch.ones(channels))
  self:parameter("bias", torch.zeros(channels))
end
function nn.GroupNorm:forward(x) return torch.group_norm(x, self.groups, self.weight, self.bias, self.eps, false) end
function nn.GroupNorm:describe() return ("%d of %d"):format(self.groups, self.weight:numel()) end

--- Dropout(p): zeroes values with probability p while training, scales the rest by 1/(1-p).
nn.Dropout = class "Dropout"
function nn.Dropout:init(p)
  self.p = check.option("Dropout", "p", p, check.below(0, 1))
end
function nn.Dropout:forward(x)
  if not self.training or self.p == 0 then return x end
  return torch.dropout(x, self.p, true)
end
function nn.Dropout:describe() return ("%g"):format(self.p) end

--- Conv3d(inputs, outputs, kernel[, {stride = 1, padding = 0, dilation = 1, groups = 1, bias = true}]) on
-- [N, C, T, H, W]; kernel, stride ... are a number or {t, h, w}.
nn.Conv3d = class "Conv3d"
function nn.Conv3d:init(inputs, outputs, kernel, options)
  options = options_of(options, { "stride", "padding", "dilation", "groups", "bias" })
  self.stride, self.padding = triple(options.stride or 1), triple(options.padding or 0)
  self.dilation, self.groups = triple(options.dilation or 1), options.groups or 1
  if math.type(self.groups) ~= "integer" or self.groups < 1 or inputs % self.groups ~= 0 or outputs % self.groups ~= 0 then
    error(("Conv3d: groups is %s, expected a divisor of the %d input and the %d output channels"):format(tostring(self.groups),
      inputs, outputs), 3)
  end
  local k = triple(kernel)
  local weight, bound = init.fan_in { outputs, inputs // self.groups, k[1], k[2], k[3] }
  self:parameter("weight", weight)
  if options.bias ~= false then self:parameter("bias", init.uniform({ outputs }, bound)) end
end
function nn.Conv3d:forward(x)
  return torch.conv3d(x, self.weight, self.bias or torch.none, self.stride, self.padding, self.dilation, self.groups)
end
function nn.Conv3d:describe()
  return ("%d -> %d, %dx%dx%d"):format(self.weight:size(2) * self.groups, self.weight:size(1), self.weight:size(3),
    self.weight:size(4), self.weight:size(5))
end

--- MaxPool3d(kernel[, {stride = kernel, padding = 0}]) on [N, C, T, H, W].
nn.MaxPool3d = class "MaxPool3d"
function nn.MaxPool3d:init(kernel, options)
  options = options_of(options, { "stride", "padding" })
  self.kernel, self.padding = triple(kernel), triple(options.padding or 0)
  self.stride = triple(options.stride or kernel)
end
function nn.MaxPool3d:forward(x) return torch.max_pool3d(x, self.kernel, self.stride, self.padding) end

--- GlobalAvgPool(): [N, C, ...] -> [N, C].
nn.GlobalAvgPool = class "GlobalAvgPool"
function nn.GlobalAvgPool:forward(x) return x:flatten(3):mean(-1) end -- luacheck: no unused args

local function activation(name, f)
  nn[name] = class(name)
  nn[name].forward = function(self, x) return f(x, self) end
end
activation("ReLU", function(x) return x:relu() end)
activation("GELU", function(x) return x:gelu() end)
activation("Sigmoid", function(x) return x:sigmoid() end)
activation("Tanh", function(x) return x:tanh() end)
activation("Identity", function(x) return x end)
activation("LeakyReLU", function(x, self) return torch.leaky_relu(x, self.slope) end)
function nn.LeakyReLU:init(slope) self.slope = slope or 0.01 end
activation("Softmax", function(x, self) return x:softmax(self.dimension) end)
function nn.Softmax:init(dimension) self.dimension = dimension or -1 end
activation("Flatten", function(x) return x:flatten(2) end)

--- Sequential(a, b, ...): applies its children in order. Their names are "0", "1", ... as in PyTorch's state dicts.
nn.Sequential = class "Sequential"
function nn.Sequential:init(...)
  for _, child in ipairs { ... } do self:append(child) end
end
--- Adds a module at the end; returns it.
function nn.Sequential:append(child)
  local name = #self._children
  while self[tostring(name)] do name = name + 1 end -- children may have been taken away
  return self:add(name, child)
end
function nn.Sequential:forward(x)
  for _, name in ipairs(self._children) do x = self[name](x) end
  return x
end
--- The i-th child, from 1.
function nn.Sequential:get(i) return self[self._children[i]] end
function nn.Sequential:length() return #self._children end

return nn
