--- dgam.train.loaders: the loaders of training and testing, by a run's settings.
local data = require "dgam.data"
local options = require "dgam.train.options"

local loaders = {}

--- The loader that trains: random start, random resized crop, flip, and what else the settings change.
function loaders.train(dataset, cfg)
  local o = options.for_loader(cfg, "train")
  o.split, o.train = "train", true
  return data.loader(dataset, o)
end

--- The loader that measures: `clips` x `crops` views of every video, in the order of the list.
function loaders.test(dataset, cfg, split, clips, crops)
  local o = options.for_loader(cfg, "test")
  o.split, o.views = split, { clips = clips, crops = crops }
  return data.loader(dataset, o)
end

--- Ends a loader; says how many clips it had to leave out, if any.
function loaders.finish(loader)
  local text = loader:summary()
  if text then io.stderr:write(text, "\n") end
  loader:close()
end

return loaders
