--- dgam.enhance: what one can do to a dark clip before recognising it, for two-stage baselines.
--
--     local enhance = require("dgam").enhance
--     clip = enhance.clahe(clip, { clip_limit = 3 })      -- uint8 in, uint8 out, the same shape
--     clip = enhance.gamma(clip, 1.8)                     -- a number alone is the first option
--     local step = enhance.by_name("lime", { gamma = 0.7 })
--     clip = step(clip)
--     for _, m in ipairs(enhance.methods) do print(m.name, table.concat(m.options, ", ")) end
--
-- Clips are uint8 RGB, [N, 3, T, H, W] or [T, 3, H, W]; every frame is enhanced by itself. There is one function for each of the
-- core's enhancers: core/light/enhance.h has their equations, docs/data.md their options. They run on the CPU; a clip on
-- another device goes there and back. Learned curves, Zero-DCE, are a model: models.zero_dce.
local native = require "dgamnative.enhance" -- loads libtorch when the first tensor is made, not before
local check = require "util.check"
local suggest = require "util.suggest"

local enhance = { methods = native.methods } -- list of { name =, options = names }

local TENSOR = { "a tensor", function(v) return require("torch").is_tensor(v) end }

local NAMES, OPTIONS = { "none" }, { none = {} }
for i, method in ipairs(enhance.methods) do NAMES[i + 1], OPTIONS[method.name] = method.name, method.options end

--- A method with its options, as dgamnative takes it: { name = "clahe", clip_limit = 3 }. An unknown name is an error.
-- @param where how errors begin
function enhance.described(where, name, options)
  local known = OPTIONS[name]
  if not known then check.fail(where, suggest.unknown("enhancer", tostring(name), NAMES)) end
  local how = check.filled(check.names("enhance." .. name, options or {}, known), {})
  how.name = name
  return how
end

local function apply(how, clip)
  check.option("enhance." .. how.name, "clip", clip, TENSOR)
  return native.apply(clip:cpu():contiguous(), how):to(clip.device)
end

for _, method in ipairs(enhance.methods) do
  local name, first = method.name, method.options[1]
  --- enhance.NAME(clip, options) or enhance.NAME(clip, value of the first option, the other options)
  enhance[name] = function(clip, value, options)
    if type(value) == "table" and options == nil then value, options = nil, value end
    local how = enhance.described("enhance", name, options)
    if value ~= nil then
      if not first then check.fail("enhance." .. name, "there are no options") end
      how[first] = value
    end
    return apply(how, clip)
  end
end

--- The curves of Zero-DCE: x + a x (1 - x), once per group of channels of a.
-- @param x float [N, C, ...] in 0 .. 1; a float [N, I C, ...] in -1 .. 1; both may require gradients
-- @return float [N, C, ...]
function enhance.curves(x, a) return require("torch").ops.dgam.dce_curve(x, a) end

--- A method by its name, with its options bound: a function from clip to clip.
-- @param name "none" or that of a method
-- @param options those of the method
function enhance.by_name(name, options)
  local how = enhance.described("enhance.by_name", name, options)
  return function(clip) return name == "none" and clip or apply(how, clip) end
end

return enhance
