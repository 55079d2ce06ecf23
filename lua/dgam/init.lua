--- dgam: the library. `local dgam = require "dgam"` gives every public part under its name, loaded when first used:
-- dgam.train, dgam.data, dgam.video ... The list below says in which room each part lives. A room says what may change a
-- number: kernels, nn, data and train may; trial and show may not.
local suggest = require "util.suggest"

local ROOMS = {
  kernels = { "stats", "gic", "gate", "heads", "swin", "camera", "scene", "enhance", "augment", "video", "h5", "rng" },
  nn = { "optim", "schedule", "reference" },
  data = { "survey", "darken" },
  ["data.builtin"] = { "synthetic", "probes", "levels" },
  train = { "checkpoint", "metrics" },
  trial = { "experiment", "config", "results" },
  show = { "table", "plot", "picture", "progress", "intervals", "paired" },
}

local modules = { nn = "dgam.nn", data = "dgam.data", train = "dgam.train" } -- a public name -> its module
for room, names in pairs(ROOMS) do
  for _, name in ipairs(names) do modules[name] = ("dgam.%s.%s"):format(room, name) end
end

local dgam = {}

--- A model that was kept, ready to use, and what is known of it: `local model, about = dgam.load "walk.h5"`; see models/file.lua.
function dgam.load(...) return require("models").load(...) end

return setmetatable(dgam, {
  __index = function(_, name)
    if not modules[name] then error(suggest.unknown("part of dgam", tostring(name), require("util.keys")(modules)), 2) end
    local part = require(modules[name])
    rawset(dgam, name, part)
    return part
  end,
})
