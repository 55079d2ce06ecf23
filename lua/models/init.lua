--- models: one architecture a file. `models.dgam { ... }` builds one; models.NAME is the module models/NAME.lua.
local suggest = require "dgam.suggest"

return setmetatable({}, {
  __index = function(models, name)
    if not package.searchpath("models." .. name, package.path) then
      error(suggest.unknown("model", tostring(name), { "dgam", "video_swin" }), 2)
    end
    local model = require("models." .. name)
    rawset(models, name, model)
    return model
  end,
})
