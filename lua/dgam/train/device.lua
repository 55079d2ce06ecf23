--- dgam.train.device: where a model computes, and what has to go there and back. Clips and labels come from the loader on
-- the CPU; metrics are counted there.
--
-- libtorch's device "meta" has shapes and no numbers. A run on it finds what was left on another device, in a test without a
-- GPU; so what is asked of it as a number is 0.
local torch = require "torch"

local device = {}

--- The device of a model's first parameter or buffer, as text; "cpu" for what has none, such as a table that can be called.
function device.of(model)
  if type(model.named_parameters) ~= "function" then return "cpu" end
  local _, t = model:named_parameters()()
  if not t then _, t = model:named_buffers()() end
  return t and t.device or "cpu"
end

--- The tensor on that device; itself, if it is there.
function device.put(t, where)
  if t.device == where then return t end
  return t:to(where)
end

--- The tensor on the CPU.
function device.back(t)
  if t.device == "meta" then return torch.zeros(t.shape, { dtype = t.dtype }) end
  return device.put(t, "cpu")
end

--- The number in a tensor of one.
function device.number(t)
  if t.device == "meta" then return 0.0 end
  return t:item()
end

return device
