--- Tables 1 and 2 and Figures 1 to 3 of the paper for any dataset: how dark, how noisy, how it is dealt out, how it looks.
--
--     dgamlua experiments/dataset_stats.lua
--     dgamlua experiments/dataset_stats.lua "data=data/synthetic.lua?size=small,data/ellar.lua?root=/data/ELLAR"
--
-- Each dataset is a description, folder or list as dgam.data.open takes it, with its options behind a question mark, joined
-- by &. All files are read once (dgam.survey says what is measured and how); the numbers stay in the results folder, one
-- HDF5 file a dataset, and the tables and figures are drawn from them, named after the datasets; of those that share a
-- title each is called as it stands in data=. What a dataset does not say (light, camera, location, spot) is left out.
local dgam = require "dgam"
local datasheet = require "experiments.dataset_stats.sheet"
local sorted_keys = require "util.keys"
local Table = require "dgam.show.table"

local config = dgam.config {
  name = "dataset_stats",
  defaults = {
    data = { "data/synthetic.lua" },
    frames = 16, -- read of every clip
    lag = 8,     -- frames between the two whose correlation gives the SNR
    gamma = 3.0, -- of the corrected frames in Figure 1
    threads = 2,
  },
}

-- A dataset, and what it is called: its name with its options.
local function open(text)
  local d, title = dgam.data.open(text), {}
  local _, options = dgam.data.parse(text)
  for _, key in ipairs(sorted_keys(options)) do
    if key ~= "root" then title[#title + 1] = ("%s=%s"):format(key, tostring(options[key])) end
  end
  return { d = d, text = text, title = table.concat({ d.name, table.unpack(title) }, ", ") }
end

local exp = dgam.experiment { name = "dataset_stats",
  config = { frames = config.frames, lag = config.lag, threads = config.threads } }

local opened, sets = {}, {}
for i, text in ipairs(config.data) do opened[i] = open(text) end
local titles, names, all = datasheet.names(opened)
for i, one in ipairs(opened) do
  local variant = { dataset = one.title, key = datasheet.key(one.d) } -- whatever else it is compared with
  local record = exp:trial(titles[i], variant, function(cfg)
    return datasheet.measure(one.d, { frames = cfg.frames, lag = cfg.lag, threads = cfg.threads })
  end)[1]
  sets[i] = datasheet.set(one.d, titles[i], names[i], record)
end

local file = exp.folder .. "/dataset_stats_"
local grid, rules, notes = datasheet.table1(sets, config)
print "Table 1"
print(Table.text(grid, rules))
for _, note in ipairs(notes) do print(note) end
local files = { (datasheet.draw_table(file .. all .. "_table1", "Table 1  Datasets", grid, rules, table.concat(notes, " "))),
  (datasheet.figure1(file .. all .. "_figure1", sets, config.gamma)) }
for _, set in ipairs(sets) do
  local rows, lines, left_out = datasheet.table2(set)
  print(("\nTable 2, %s"):format(set.title))
  print(Table.text(rows, lines))
  if left_out then print(left_out) end
  rows, lines = datasheet.shortened(rows, lines)
  files[#files + 1] = datasheet.draw_table(file .. set.name .. "_table2", "Table 2  " .. set.title, rows, lines, left_out)
  files[#files + 1] = datasheet.figure2(file .. set.name .. "_figure2", set)
  files[#files + 1] = datasheet.figure3(file .. set.name .. "_figure3", set)
end
print("\n" .. table.concat(files, "\n") .. "\n(and the same as .png)")
