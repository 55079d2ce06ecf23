--- models: one architecture a file. `models.dgam { ... }` builds one; models.NAME is the module models/NAME.lua.
local suggest = require "util.suggest"

local models = {}

--- Starts a models.dgam from stored weights: the backbone always, the head too if it has as many classes.
-- @param model models.dgam
-- @param path .h5, .safetensors or .pth with names "backbone..." and "heads.0..." (as lua/experiments/pretrain.lua writes)
function models.load_pretrained(model, path)
  local found = require("util.paths").find(path, "pretrained weights")
  local state = require("dgam.train.checkpoint").load(found)
  local wanted = {}
  for name, t in pairs(state) do
    local is_head = name:match "^heads%.0%."
    if name:match "^backbone%." or (is_head and t:size(1) == model.classes) then wanted[name] = t end
  end
  local missing, unused = model:load_state_dict(wanted, { strict = false })
  for _, name in ipairs(missing) do
    if name:match "^backbone%." then
      error(("%s: has no '%s', which the backbone needs; was it made for another architecture?"):format(found, name), 0)
    end
  end
  if #unused > 0 then
    error(("%s: has '%s', which the model does not know; was it made for another architecture?"):format(found, unused[1]), 0)
  end
  model.heads:copy_first()
  return model
end

return setmetatable(models, {
  __index = function(_, name)
    if not package.searchpath("models." .. name, package.path) then
      error(suggest.unknown("model", tostring(name), { "dgam", "video_swin", "zero_dce" }), 2)
    end
    local model = require("models." .. name)
    rawset(models, name, model)
    return model
  end,
})
