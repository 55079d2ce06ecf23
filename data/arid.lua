--- ARID (Xu et al., 2020): 11 actions in the dark, 3,784 clips; version 1.5 has 5,572.
--
-- Expected below root: data/CLASS/CLASS_GROUP_CLIP.avi and list_cvt/ARID_split1_train.txt, ARID_split1_test.txt (splits 1 to 3) with
-- lines `number label path`. The official splits keep groups apart and have no validation list: val = 0.1 holds out whole
-- groups of train (seeded). Version 1.5 has list_cvt/split_0/split0_train.txt and so on (splits 0 and 1).
--
--     dgam.data.open("data/arid.lua", { root = "/data/ARID/raw", split = 2, val = 0.1 })
return {
  name = "arid",
  root = os.getenv "ARID_ROOT" or "ARID/raw",
  classes = { "Drink", "Jump", "Pick", "Pour", "Push", "Run", "Sit", "Stand", "Turn", "Walk", "Wave" },
  options = { version = "1", split = 1, val = 0, seed = 1, lists = "list_cvt", videos = "data" },

  prepare = function(options)
    local version, split = tostring(options.version), options.split
    local first, last, pattern = 1, 3, "ARID_split#_%s.txt"
    if version == "1.5" then
      first, last, pattern = 0, 1, "split_#/split#_%s.txt"
    elseif version ~= "1" then
      error(("arid: version is %s, expected 1 or 1.5"):format(version), 0)
    end
    if math.type(split) ~= "integer" or split < first or split > last then
      error(("arid: split is %s, expected %d to %d"):format(tostring(split), first, last), 0)
    end
    local function list(name)
      return { format = "numbered", file = options.lists .. "/" .. pattern:gsub("#", split):format(name), folder = options.videos }
    end
    return { splits = { train = list "train", test = list "test" } }
  end,

  fields = function(item) item.group = item.path:match "([^/]+_%d+)_%d+%.%w+$" end,

  finish = function(dataset, options)
    if options.val == 0 then return dataset end
    return dataset:deal { from = "train", val = options.val, test = 0, seed = options.seed, group = "group" }
  end,
}
