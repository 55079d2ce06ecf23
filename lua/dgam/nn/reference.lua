--- dgam.reference: weights and inputs that anyone can make again, for reference activations that store only outputs.
--
-- Element i (from 0, row-major) of the tensor named KEY, in 32-bit arithmetic:
--     h = crc32(KEY) xor (i * 0x9E3779B1)
--     h ^= h >> 16;  h *= 0x85ebca6b;  h ^= h >> 13;  h *= 0xc2b2ae35;  h ^= h >> 16
--     u = h / 2^32,  s = 2u - 1
local torch = require "torch"

local reference = {}

local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = c & 1 == 1 and 0xEDB88320 ~ (c >> 1) or c >> 1 end
  crc_table[i] = c
end

--- CRC-32 (IEEE 802.3) of a string.
function reference.crc32(s)
  local c = 0xFFFFFFFF
  for i = 1, #s do c = crc_table[(c ~ s:byte(i)) & 0xFF] ~ (c >> 8) end
  return c ~ 0xFFFFFFFF
end

local function xor_shift(h, n) return h:bitwise_xor(h:bitwise_right_shift(n)) end
local function times(h, factor) return h:mul_(factor):bitwise_and_(0xFFFFFFFF) end

--- u of n elements of KEY: float64 [n] in [0, 1).
function reference.uniform(key, n)
  local h = times(torch.arange(n), 0x9E3779B1):bitwise_xor_(reference.crc32(key))
  h = times(xor_shift(h, 16), 0x85ebca6b)
  h = times(xor_shift(h, 13), 0xc2b2ae35)
  h = xor_shift(h, 16)
  return h:to("float64"):div_(2 ^ 32)
end

--- The weight for a parameter or buffer called KEY of this shape: float32.
function reference.weight(key, shape)
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  local s = reference.uniform(key, n):mul_(2):sub_(1)
  if key:find "running_mean$" then s:mul_(0.1)
  elseif key:find "running_var$" then s:mul_(0.25):add_(1)
  elseif key:find "weight$" and #shape >= 2 then s:mul_(math.sqrt(3 / (n / shape[1])))
  elseif key:find "weight$" then s:mul_(0.1):add_(1)
  elseif key:find "bias$" then s:mul_(0.1)
  else s:mul_(0.2) end
  return s:float():reshape(shape)
end

--- The input clip: uint8 of this shape, floor(u^3 * 96).
function reference.input(key, shape)
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  return (reference.uniform(key, n) ^ 3 * 96):floor():byte():reshape(shape)
end

--- Fills every floating parameter and buffer of a module; `prefix` stands before its names in KEY.
function reference.fill(module, prefix)
  torch.no_grad(function()
    for name, t in pairs(module:state_dict()) do
      if t.dtype:find "float" then t:copy_(reference.weight(prefix .. name, t.shape)) end
    end
  end)
  return module
end

return reference
