--- The built-in dataset: procedurally animated people in the dark, twelve actions, three cameras. Filmed on first use
-- into the cache folder ($DGAMLUA_CACHE, else ~/.cache/dgamlua). Options: size ("tiny", "small", "full"), split
-- ("paper", "crossed", "actor:a3", "camera:c920", "location:office", "bright"), seed, clips. See dgam.synthetic.
local synthetic = require "dgam.data.builtin.synthetic"

return {
  name = "synthetic",
  classes = synthetic.classes,
  options = synthetic.defaults,

  --- Films what is missing.
  -- @param options any of the above
  -- @param note progress bar to use instead of the own one
  -- @return { root = folder, items = list of { path=, label= (1-based), split=, light=, camera=, location=, actor=, spot=,
  --   scale=, outfit=, lux= } }
  prepare = function(options, note)
    local root, items = synthetic.prepare(options, note)
    return { root = root, items = items }
  end,
}
