--- Kinetics as it is downloaded: CSV lists with columns label, youtube_id, time_start, time_end, split.
--
-- Expected below root: train.csv, val.csv, classes.txt (one name a line) and the clips as SPLIT/NAME with NAME by `pattern`
-- ("%s_%06d_%06d.mp4": id, start, end), in class folders if folders = true. A clip that was never downloaded is
-- left out if present = true (which asks the disk about every clip); otherwise it is skipped when it is read.
local lfs = require "lfs"

return {
  name = "kinetics",
  root = os.getenv "KINETICS_ROOT" or "kinetics",
  classes = "classes.txt",
  options = { train = "train.csv", val = "val.csv", test = false, pattern = "%s_%06d_%06d.mp4", folders = true, present = false },

  prepare = function(options)
    local splits = {}
    for _, name in ipairs { "train", "val", "test" } do
      if options[name] then
        splits[name] = { format = "csv", file = options[name], item = function(row)
          local first, last = math.tointeger(tonumber(row.time_start)), math.tointeger(tonumber(row.time_end))
          if not row.youtube_id or not row.label or not first or not last then
            return nil, ("youtube_id is %s, label %s, time_start %s and time_end %s, expected text, text and whole seconds"):format(
              row.youtube_id, row.label, row.time_start, row.time_end)
          end
          local file = options.pattern:format(row.youtube_id, first, last)
          return { path = options.folders and ("%s/%s/%s"):format(name, row.label, file) or name .. "/" .. file, label = row.label }
        end }
      end
    end
    return { splits = splits }
  end,

  finish = function(dataset, options)
    if not options.present then return dataset end
    local items = {}
    for _, item in ipairs(dataset.items) do
      if lfs.attributes(item.path, "mode") then items[#items + 1] = item end
    end
    dataset.items = items
    return dataset
  end,
}
