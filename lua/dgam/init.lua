--- dgam: the library. `local dgam = require "dgam"` gives every part under its name, loaded when first used:
-- dgam.data, dgam.nn, dgam.optim, dgam.train, dgam.experiment, dgam.results, dgam.plot, dgam.config, and the C kernels
-- one by one: dgam.video, dgam.stats, dgam.gic, dgam.swin, dgam.gate, dgam.heads, dgam.camera, dgam.scene, dgam.h5.
local suggest = require "dgam.suggest"

return setmetatable({}, {
  __index = function(dgam, name)
    if not package.searchpath("dgam." .. name, package.path) then
      local known = { "data", "nn", "optim", "train", "experiment", "results", "plot", "config", "video", "stats", "gic",
        "swin", "gate", "heads", "camera", "scene", "h5", "checkpoint", "enhance", "probes",
        "levels" }
      error(suggest.unknown("part of dgam", tostring(name), known), 2)
    end
    local part = require("dgam." .. name)
    rawset(dgam, name, part)
    return part
  end,
})
