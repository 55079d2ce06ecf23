--- Dark-48 (Tu et al., 2023): 48 actions in dark videos, 8,815 clips.
--
-- Expected below root: lists train.txt and test.txt with lines `path label` (labels from 0; paths from root that end in CLASS/name, from
-- which the class names are taken, or classes = FILE). lists = false: folders train/CLASS/... and test/CLASS/... instead.
-- val = 0.1 holds out that share of train (seeded, every class alike).
return {
  name = "dark48",
  root = os.getenv "DARK48_ROOT" or "Dark-48",
  options = { lists = true, train = "train.txt", test = "test.txt", classes = false, val = 0, seed = 1 },

  prepare = function(options)
    if not options.lists then
      return { splits = { train = { format = "folders", folder = "train" }, test = { format = "folders", folder = "test" } } }
    end
    return { classes = options.classes or nil, splits = { train = options.train, test = options.test } }
  end,

  finish = function(dataset, options)
    if options.val == 0 then return dataset end
    return dataset:deal { from = "train", val = options.val, test = 0, seed = options.seed }
  end,
}
