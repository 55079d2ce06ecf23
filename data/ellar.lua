--- ELLAR (Ha et al., ACCV 2024): 12 actions, low light (LL, outdoors) and extremely low light (ELL, indoors).
--
-- Expected below root: videos/..., ELLAR_label_train.txt, ELLAR_label_val.txt, ELLAR_label_test.txt with lines `path label`
-- (labels from 0; paths end in CLASS/name.avi, from which the class names are taken). Without a val list, val = 0.1 holds out
-- that share of train (seeded, every class alike). Light, camera and location are taken from the path where they stand
-- in it, or from metadata = FILE, a CSV file with columns path, light, camera, location, actor ...
--
--     dgam.data.open("data/ellar.lua", { root = "/data/ELLAR" }):where { light = "ELL" }
local CAMERAS = { brio = "brio", c920 = "c920", arducam = "arducam" }

return {
  name = "ellar",
  root = os.getenv "ELLAR_ROOT" or "ELLAR",
  options = { train = "ELLAR_label_train.txt", val = "ELLAR_label_val.txt", test = "ELLAR_label_test.txt", videos = "videos",
    metadata = false, seed = 1 },

  prepare = function(options)
    local function list(file) return { file = file, folder = options.videos } end
    local splits = { train = list(options.train), test = list(options.test) }
    if type(options.val) == "string" then splits.val = list(options.val) end
    return { splits = splits, metadata = options.metadata or nil }
  end,

  fields = function(item)
    for word in item.path:gmatch "[%w]+" do
      local w = word:lower()
      if w == "ll" or w == "ell" then item.light = item.light or w:upper() end
      for part, camera in pairs(CAMERAS) do
        if w:find(part, 1, true) then item.camera = item.camera or camera end
      end
      if w:match "^loc%a*%d+$" then item.location = item.location or w end
    end
  end,

  finish = function(dataset, options)
    if type(options.val) ~= "number" then return dataset end
    return dataset:deal { from = "train", val = options.val, test = 0, seed = options.seed }
  end,
}
