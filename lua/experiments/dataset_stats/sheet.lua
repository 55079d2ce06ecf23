--- dgam.datasheet: tables and figures of datasets, from what dgam.survey measured of their videos. The layout behind
-- experiments/dataset_stats.lua.
local torch = require "torch"
local picture = require "dgam.show.picture"
local plot = require "dgam.show.plot"
local results = require "dgam.trial.results"
local sorted_keys = require "util.keys"
local survey = require "dgam.data.survey"

local datasheet = {}

local FIELDS = { "light", "camera", "location", "spot" }
local MOST_CLASSES, MOST_GROUPS = 60, 8 -- that a figure has room for
local BRIGHT_SHARE = 0.9 -- Figure 3 shows the clip that is brighter than this share of its kind

-- Levels of a field in the order they are shown: rising number, LL before ELL, left before right, else by letter.
local PLACES = { left = 1, centre = 2, center = 2, middle = 2, right = 3 }
local function levels(d, field)
  local list = sorted_keys(d:count(field))
  if field == "spot" then
    table.sort(list, function(a, b)
      local p, q = PLACES[a] or 9, PLACES[b] or 9
      return p < q or p == q and tostring(a) < tostring(b)
    end)
  end
  if field == "light" then table.sort(list, function(a, b) return #tostring(a) < #tostring(b) end) end
  return list
end

-- Positions in a survey of the clips whose fields are as asked.
local function among(d, index, wanted)
  local list = {}
  for k, at in ipairs(index) do
    local item, all = d.items[at], true
    for field, value in pairs(wanted) do all = all and item[field] == value end
    if all then list[#list + 1] = k end
  end
  return list
end

-- Value at a share of a list of numbers, those that are NaN left out.
local function quantile(values, share)
  local list = {}
  for _, v in ipairs(values) do
    if v == v then list[#list + 1] = v end
  end
  table.sort(list)
  return list[math.max(1, math.ceil(share * #list))] or 0 / 0, #list
end

local function pick(list, ks)
  local out = {}
  for i, k in ipairs(ks) do out[i] = list[k] end
  return out
end

local function mean(list)
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v end
  return sum / #list
end

-- One row of Table 1: what clips `ks` of a survey have in common.
local function summary(s, ks)
  local row = { clips = #ks, seconds = 0 }
  local timed = 0 -- a file may not say how fast it is
  for _, k in ipairs(ks) do
    if s.fps[k] > 0 then row.seconds, timed = row.seconds + s.frames[k] / s.fps[k], timed + 1 end
  end
  row.clip_seconds = timed > 0 and row.seconds / timed or 0 / 0
  for _, name in ipairs { "luma", "zeros", "low", "entropy" } do row[name] = mean(pick(s[name], ks)) end
  local snr = pick(s.snr, ks)
  row.snr, row.snr_clips = quantile(snr, 0.5)
  row.snr_low, row.snr_high = quantile(snr, 0.25), (quantile(snr, 0.75))
  row.lag = quantile(pick(s.lag, ks), 0)
  return row
end

-- The clip at a share of a list ordered by brightness.
local function typical(s, ks, share)
  local order = { table.unpack(ks) }
  table.sort(order, function(a, b) return s.luma[a] < s.luma[b] or s.luma[a] == s.luma[b] and a < b end)
  return order[math.max(1, math.ceil(share * #order))]
end

-- The clips whose frames are shown: { { light =, k = }, ... }, { { camera =, light =, k = }, ... } and so on.
local function samples(d, s)
  local shown = { light = {}, camera = {}, spot = {}, class = {} }
  local lights = levels(d, "light")
  local function add(kind, wanted)
    local ks = among(d, s.index, wanted)
    local share = (kind == "spot" or kind == "class") and BRIGHT_SHARE or 0.5
    wanted.ks, wanted.k = ks, #ks > 0 and typical(s, ks, share) or nil
    table.insert(shown[kind], wanted)
  end
  local function per_light(kind, field, value)
    for _, light in ipairs(#lights > 0 and lights or { false }) do add(kind, { [field] = value, light = light or nil }) end
  end
  per_light("light", "light")
  for _, camera in ipairs(levels(d, "camera")) do per_light("camera", "camera", camera) end
  if next(d:count "spot") then
    for _, location in ipairs(next(d:count "location") and levels(d, "location") or { false }) do
      for _, spot in ipairs(levels(d, "spot")) do add("spot", { location = location or nil, spot = spot }) end
    end
  end
  for label = 1, math.min(#d.classes, 24) do per_light("class", "label", label) end
  return shown
end

-- Every name that was there before gets a number: a, b, a -> a, b, a-2.
local function distinct(names)
  local list, taken = {}, {}
  for i, name in ipairs(names) do
    local own, n = name, 1
    while taken[own] do
      n = n + 1
      own = name .. "-" .. n
    end
    list[i], taken[own] = own, true
  end
  return list
end

-- --- what things are called ---

-- A level in the name of a metric, which takes ASCII only.
local function metric_name(level) return (tostring(level):gsub("[^%w]+", "_"):lower()) end

-- A title in the name of a file: letters and digits, and all that is not ASCII.
local function file_name(title) return (title:gsub("[^%w\x80-\xFF]+", "_"):lower()) end

-- Of a long name the beginning, and a hash.
local function brief(name)
  if #name <= 100 then return name end
  return name:sub(1, 80):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") .. "-" .. results.key(name)
end

--- What datasets are called side by side, no two of them alike.
-- @param list of { title = , text = what it was opened by, instead of a title that several share }
-- @return titles, the same as parts of file names, and such a part for all of them together
function datasheet.names(list)
  local count, titles, names = {}, {}, {}
  for _, one in ipairs(list) do count[one.title] = (count[one.title] or 0) + 1 end
  for i, one in ipairs(list) do titles[i] = count[one.title] > 1 and one.text or one.title end
  titles = distinct(titles)
  for i, title in ipairs(titles) do names[i] = brief(file_name(title)) end
  names = distinct(names)
  return titles, names, brief(table.concat(names, "+"))
end

-- --- one dataset: what is measured, and what is stored of it ---

--- What is stored of a dataset, as a trial returns it: the survey's numbers of every clip, their summary over all clips and
-- for each light and camera, and the frames that the figures show.
-- @param d dataset
-- @param options those of survey.measure
function datasheet.measure(d, options)
  local s = survey.measure(d, options)
  local out = { metrics = { unreadable = #s.unreadable, classes = #d.classes }, curves = {}, texts = { classes = d.classes,
    clips = {} }, arrays = { histogram = s.histogram, motion = s.motion } }
  for _, name in ipairs { "index", "frames", "width", "height", "fps", "luma", "zeros", "low", "entropy", "rho", "snr", "lag" } do
    out.curves[name] = s[name]
  end
  for k, at in ipairs(s.index) do out.texts.clips[k] = d.items[at].path:match "([^/]+/[^/]+)$" or d.items[at].path end
  if #s.unreadable > 0 then out.texts.unreadable = s.unreadable end
  local parts, endings = { {} }, { "" }
  for _, field in ipairs { "light", "camera" } do
    for _, level in ipairs(levels(d, field)) do
      parts[#parts + 1], endings[#endings + 1] = { [field] = level }, "_" .. metric_name(level)
    end
  end
  endings = distinct(endings)
  for i, wanted in ipairs(parts) do
    local ks = among(d, s.index, wanted)
    for name, v in pairs(#ks > 0 and summary(s, ks) or {}) do
      if v == v then out.metrics[name .. endings[i]] = v end
    end
  end
  for _, list in pairs(samples(d, s)) do
    for _, sample in ipairs(list) do
      local k = sample.k
      if k then
        out.arrays["frame_" .. s.index[k]] = survey.frame(d.items[s.index[k]].path, math.tointeger(s.frames[k]) // 2 + 1, 320)
      end
    end
  end
  return out
end

--- What determines that, beside the options: the files, and the fields that say which clips go together.
function datasheet.key(d)
  local fields = {}
  for k, item in ipairs(d.items) do
    local line = {}
    for f, field in ipairs(FIELDS) do line[f] = tostring(item[field]) end
    fields[k] = table.concat(line, ",")
  end
  return { fingerprint = d:fingerprint(), fields = results.key(fields) }
end

--- A dataset with what was stored of it, for the tables and figures.
-- @param title, name from datasheet.names
-- @param record the trial
function datasheet.set(d, title, name, record)
  local s = record.curves
  for k, at in ipairs(s.index) do s.index[k] = math.tointeger(at) end
  return { d = d, s = s, title = title, record = record, unreadable = record.metrics.unreadable, name = name }
end

local function stored_frame(set, k) return results.array(set.record.path, "frame_" .. set.s.index[k]) end

-- --- Table 1: the datasets side by side ---

local function duration(seconds)
  return seconds >= 5400 and ("%.1f h"):format(seconds / 3600) or seconds >= 90 and ("%.1f min"):format(seconds / 60)
    or ("%.1f s"):format(seconds)
end

local function sizes(s, ks)
  local count = {}
  for _, k in ipairs(ks) do
    local name = ("%d x %d"):format(s.width[k], s.height[k])
    count[name] = (count[name] or 0) + 1
  end
  local names = sorted_keys(count)
  table.sort(names, function(a, b) return count[a] > count[b] end)
  if #names > 2 then return ("%s and %d more"):format(names[1], #names - 1) end
  return table.concat(names, ", ")
end

local function rates(s, ks)
  local low, high = quantile(pick(s.fps, ks), 0), (quantile(pick(s.fps, ks), 1))
  if high <= 0 then return "-" end
  return low == high and ("%.4g"):format(low) or ("%.4g to %.4g"):format(low, high)
end

--- Table 1: a row a dataset, and one for each of its lights.
-- @param sets list of datasheet.set
-- @param config frames, lag as they were measured with
-- @return grid of texts, rows after which a line goes, notes
function datasheet.table1(sets, config)
  local grid = { { "", "clips", "classes", "pixels", "frames/s", "s a clip", "total", "mean luma", "luma 0, %", "luma ≤ 2, %",
    "entropy, bits", "SNR, dB" } }
  local rules, notes = {}, {}
  for i, set in ipairs(sets) do
    local d, s = set.d, set.s
    local rows = { { set.title, {} } }
    local lights = levels(d, "light")
    for _, light in ipairs(#lights > 1 and lights or {}) do rows[#rows + 1] = { "   " .. tostring(light), { light = light } } end
    for _, r in ipairs(rows) do
      local ks = among(d, s.index, r[2])
      if #ks > 0 then
        local t = summary(s, ks)
        local bound = t.lag < config.lag and "≤ " or ""
        grid[#grid + 1] = { r[1], ("%d"):format(t.clips), ("%d"):format(#d.classes), sizes(s, ks), rates(s, ks),
          t.seconds > 0 and ("%.2f"):format(t.clip_seconds) or "-", t.seconds > 0 and duration(t.seconds) or "-",
          ("%.2f"):format(t.luma), ("%.1f"):format(100 * t.zeros), ("%.1f"):format(100 * t.low), ("%.2f"):format(t.entropy),
          t.snr == t.snr and ("%s%.1f"):format(bound, t.snr) or "-" }
      end
    end
    if i < #sets then rules[#rules + 1] = #grid - 1 end
    local all = summary(s, among(d, s.index, {}))
    if all.lag < config.lag then
      notes[#notes + 1] = ("%s has clips too short for frames %d apart (the shortest allow %d), so that its SNR is an upper bound.")
        :format(set.title, config.lag, math.tointeger(all.lag))
    end
    if all.snr_clips < all.clips then
      notes[#notes + 1] = ("%s: %d clips of one frame have no SNR."):format(set.title, all.clips - all.snr_clips)
    end
    if set.unreadable > 0 then
      notes[#notes + 1] = ("%s: %d clips could not be read and are left out."):format(set.title, math.tointeger(set.unreadable))
    end
  end
  table.insert(notes, 1, ("Luma, zeros and entropy: mean over clips of %d frames each (all of shorter ones); SNR: median over clips.")
    :format(config.frames))
  return grid, rules, notes
end

--- Draws a table as FILE.svg and FILE.png.
-- @return what plot.page returns
function datasheet.draw_table(file, title, grid, rules, note)
  local panel = { kind = "table", title = title, head = grid[1], rows = { table.unpack(grid, 2) }, rules = rules, note = note }
  local width, height = plot.table_size(panel)
  panel.box = { 0, 0, width, height }
  return plot.page { file = file, width = width, height = height, panels = { panel } }
end

-- --- Table 2: how the clips are spread over splits and fields ---

local SPLIT_ORDER, NO_SPLIT = { train = 1, val = 2, test = 3 }, "no split"

--- Table 2: clips of each split by light, camera, location, spot and class.
-- @return grid of texts, rows after which a line goes, a note on the fields that are not known, or nil
function datasheet.table2(set)
  local d, s = set.d, set.s
  local splits, dealt = d:splits(), 0
  for _, n in pairs(d:count "split") do dealt = dealt + n end
  if dealt < #d.items then splits[#splits + 1] = NO_SPLIT end
  table.sort(splits, function(a, b)
    local p, q = SPLIT_ORDER[a] or 9, SPLIT_ORDER[b] or 9
    return p < q or p == q and a < b
  end)
  local seconds, tally, total = {}, {}, { splits = {}, seconds = 0 }
  for k, at in ipairs(s.index) do seconds[at] = s.fps[k] > 0 and s.frames[k] / s.fps[k] or nil end
  local function count(t, at, split)
    t.splits[split], t.seconds = (t.splits[split] or 0) + 1, t.seconds + (seconds[at] or 0)
  end
  for at, item in ipairs(d.items) do
    count(total, at, item.split or NO_SPLIT)
    for _, field in ipairs { "label", table.unpack(FIELDS) } do
      local value = item[field]
      if value ~= nil then
        tally[field] = tally[field] or {}
        tally[field][value] = tally[field][value] or { splits = {}, seconds = 0 }
        count(tally[field][value], at, item.split or NO_SPLIT)
      end
    end
  end
  local grid, rules, left_out = { { "" } }, {}, {}
  for _, split in ipairs(splits) do table.insert(grid[1], split) end
  for _, name in ipairs { "all", "duration" } do table.insert(grid[1], name) end
  local function row(name, t)
    local cells, all = { name }, 0
    for i, split in ipairs(splits) do
      local n = t and t.splits[split] or 0
      cells[i + 1], all = ("%d"):format(n), all + n
    end
    cells[#cells + 1] = ("%d"):format(all)
    cells[#cells + 1] = t and t.seconds > 0 and ("%.0f s"):format(t.seconds) or "-"
    grid[#grid + 1] = cells
  end
  for _, field in ipairs(FIELDS) do
    local list = levels(d, field)
    if #list == 0 then left_out[#left_out + 1] = field end
    for i, level in ipairs(list) do row((i == 1 and field .. ": " or "   ") .. tostring(level), tally[field][level]) end
    if #list > 0 then rules[#rules + 1] = #grid - 1 end
  end
  for label, class in ipairs(d.classes) do row((label == 1 and "class: " or "   ") .. class, tally.label[label]) end
  rules[#rules + 1] = #grid - 1
  row("all", total)
  return grid, rules, #left_out > 0 and ("Not known of this dataset: %s."):format(table.concat(left_out, ", ")) or nil
end

--- A table that is too long for a picture: its first rows, and how many are left out.
function datasheet.shortened(grid, rules)
  local most = MOST_CLASSES + 20
  if #grid - 2 <= most then return grid, rules end
  local cut = { table.unpack(grid, 1, most + 1) }
  cut[#cut + 1] = { ("... %d more rows"):format(#grid - 2 - most), table.unpack(grid[#grid], 2) }
  for i = 2, #cut[#cut] do cut[#cut][i] = "" end
  cut[#cut + 1] = grid[#grid]
  local kept = {}
  for _, r in ipairs(rules) do kept[#kept + 1] = r < most and r or nil end
  kept[#kept + 1] = #cut - 2
  return cut, kept
end

-- --- figures ---

-- What is compared: every light of every dataset, at most MOST_GROUPS of them.
local function groups(sets)
  local list = {}
  for _, set in ipairs(sets) do
    for _, sample in ipairs(samples(set.d, set.s).light) do
      local light = sample.light and tostring(sample.light)
      local name = #sets == 1 and (light or set.title) or light and set.title .. " " .. light or set.title
      if sample.k then list[#list + 1] = { set = set, name = name, k = sample.k, ks = sample.ks, light = sample.light } end
    end
  end
  return { table.unpack(list, 1, MOST_GROUPS) }
end

local TICS = { 0, 1, 2, 5, 10, 20, 50, 100, 255 }

local function histogram_panel(list, box)
  local series, least = {}, 1
  for i, g in ipairs(list) do
    g.set.histogram = g.set.histogram or results.array(g.set.record.path, "histogram"):double()
    local counts = g.set.histogram:index_select(1, torch.tensor(g.ks)):sum({ 1 })
    local share = counts:div(counts:sum()):totable()
    local s = { name = g.name, x = {}, y = {} }
    for v = 0, 255 do
      if share[v + 1] > 0 then
        s.x[#s.x + 1], s.y[#s.y + 1] = v + 1, share[v + 1]
        least = math.min(least, share[v + 1])
      end
    end
    series[i] = s
  end
  local tics = {}
  for i, v in ipairs(TICS) do tics[i] = { v + 1, ("%d"):format(v) } end
  return { kind = "lines", box = box, title = "a  Luma of all pixels", series = series, logx = true, logy = true, xtics = tics,
    xrange = { 1, 256 }, yrange = { 10 ^ math.floor(math.log(least, 10)), 1 }, xlabel = "luma (the axis is logarithmic in luma + 1)",
    ylabel = "share of pixels" }
end

-- One dataset: a bar a light. Several: a group a dataset, a colour a light.
local function snr_panel(list, box, one_set)
  local names, series, at, by_light = {}, {}, {}, {}
  for _, g in ipairs(list) do
    local group = one_set and g.name or g.set.title
    local light = one_set and "" or g.light and tostring(g.light) or "all clips"
    if not at[group] then names[#names + 1], at[group] = group, #names + 1 end
    if not by_light[light] then
      by_light[light] = { name = light ~= "" and light or nil, values = {}, low = {}, high = {} }
      series[#series + 1] = by_light[light]
    end
    local bars, t = by_light[light], summary(g.set.s, g.ks)
    bars.values[at[group]], bars.low[at[group]], bars.high[at[group]] = t.snr, t.snr_low, t.snr_high
  end
  return { kind = "bars", box = box, title = "b  Signal to noise", groups = names, series = series, ylabel = "SNR, dB",
    note = "Median over clips; lines from quartile to quartile." }
end

local function gain_text(gain) return gain > 1 and ("gain ×%g"):format(gain) or "no gain" end

--- Figure 1: histogram of luma, SNR, frames as they are, gamma-corrected and amplified.
-- @param gamma of the corrected frames
function datasheet.figure1(file, sets, gamma)
  local list = groups(sets)
  local tiles, across = {}, #list > 3 -- many: one a column
  local ways = { "as it is", ("gamma %g"):format(gamma), "amplified" }
  for i, g in ipairs(list) do
    local frame = stored_frame(g.set, g.k)
    local bright, gain = picture.bright(frame)
    bright.below = { gain_text(gain) }
    for r, tile in ipairs { picture.tile(frame), picture.tile(picture.corrected(frame, gamma)), bright } do
      if across then
        tile.above, tile.left = r == 1 and g.name or nil, i == 1 and ways[r] or nil
      else
        tile.above, tile.left = i == 1 and ways[r] or nil, r == 1 and g.name or nil
      end
      tiles[across and (r - 1) * #list + i or (i - 1) * #ways + r] = tile
    end
  end
  local frames = { kind = "frames", title = "c  A clip of median brightness", tiles = tiles, columns = across and #list or #ways }
  local height = plot.frames_size(frames, 940)
  frames.box = { 0, 380, 940, height }
  return plot.page { file = file, width = 940, height = 380 + height,
    panels = { histogram_panel(list, { 0, 0, 540, 370 }), snr_panel(list, { 550, 0, 390, 370 }, #sets == 1), frames } }
end

-- Bars of one number for every camera (or all clips) and light.
local function camera_bars(set, box, title, ylabel, name, scale)
  local d, s = set.d, set.s
  local cameras, lights = levels(d, "camera"), levels(d, "light")
  local series, labels = {}, {}
  for i, camera in ipairs(#cameras > 0 and cameras or { "all clips" }) do labels[i] = tostring(camera) end
  for l, light in ipairs(#lights > 0 and lights or { false }) do
    local values = {}
    for i = 1, #labels do
      local ks = among(d, s.index, { camera = cameras[i], light = light or nil })
      values[i] = #ks > 0 and scale * summary(s, ks)[name] or 0 / 0
    end
    series[l] = { name = light and tostring(light), values = values }
  end
  return { kind = "bars", box = box, title = title, ylabel = ylabel, groups = labels, series = series,
    format = name == "luma" and "%.2f" or "%.1f" }
end

local function caption(set, sample, gain)
  local item = set.d.items[set.s.index[sample.k]]
  local parts = { set.d.classes[item.label] }
  if item.light then parts[#parts + 1] = tostring(item.light) end
  return { table.concat(parts, ", "), gain_text(gain) }
end

--- Figure 2: brightness and noise by camera, a frame of each, clips of each class.
function datasheet.figure2(file, set)
  local d = set.d
  local panels, y, letter = {}, 0, "a"
  local function title(text)
    local full = letter .. "  " .. text
    letter = string.char(letter:byte() + 1)
    return full
  end
  local cameras = samples(d, set.s).camera
  if #cameras > 0 or #levels(d, "light") > 1 then
    panels = { camera_bars(set, { 0, 0, 310, 300 }, title "Mean luma", "luma", "luma", 1),
      camera_bars(set, { 315, 0, 310, 300 }, title "Pixels of luma 0", "share of pixels, %", "zeros", 100),
      camera_bars(set, { 630, 0, 310, 300 }, title "Signal to noise", "SNR, dB", "snr", 1) }
    y = 310
  end
  if #cameras > 0 then
    local tiles = {}
    for i, sample in ipairs(cameras) do
      local tile, gain = {}, nil
      if sample.k then tile, gain = picture.bright(stored_frame(set, sample.k)) end
      tile.above = tostring(sample.camera)
      tile.below = sample.k and caption(set, sample, gain) or { tostring(sample.light) }
      tiles[i] = tile
    end
    local frames = { kind = "frames", title = title "What the cameras see", tiles = tiles, columns = math.min(#tiles, 6), tile = 220 }
    local height = plot.frames_size(frames, 940)
    frames.box = { 0, y, 940, height }
    panels[#panels + 1], y = frames, y + height + 8
  end
  local names, series = {}, {}
  for label = 1, math.min(#d.classes, MOST_CLASSES) do names[label] = d.classes[label] end
  local grid = datasheet.table2(set)
  local first = #grid - #d.classes -- the class rows end one before the last
  for c = 2, #grid[1] - 2 do
    local values = {}
    for label = 1, #names do values[label] = tonumber(grid[first + label - 1][c]) end
    series[#series + 1] = { name = grid[1][c], values = values }
  end
  local height = 110 + 20 * #names
  panels[#panels + 1] = { kind = "across", box = { 0, y, 940, height }, title = title "Clips of each class",
    groups = names, series = series, stacked = true, format = "%d", xlabel = "clips",
    note = #names < #d.classes and ("The first %d of %d classes."):format(#names, #d.classes) or nil }
  return plot.page { file = file, width = 940, height = y + height, panels = panels }
end

--- Figure 3: where the action is, and a clip of each class.
function datasheet.figure3(file, set)
  local shown = samples(set.d, set.s)
  local motion = results.array(set.record.path, "motion")
  local panels, y = {}, 0
  local function sheet(title, list, columns, note, decorate)
    local tiles = {}
    for i, sample in ipairs(list) do
      local tile = {}
      if sample.k then
        local gain
        tile, gain = picture.bright(stored_frame(set, sample.k))
        tile.below = caption(set, sample, gain)
        tile.marks = { survey.spot(decorate(tile, sample, i) == "own" and motion[sample.k]
          or motion:index_select(1, torch.tensor(sample.ks)):mean { 1 }) }
      else
        decorate(tile, sample, i)
      end
      tiles[i] = tile
    end
    local panel = { kind = "frames", title = title, tiles = tiles, columns = columns, tile = 220, note = note }
    local height = plot.frames_size(panel, 940)
    panel.box = { 0, y, 940, height }
    panels[#panels + 1], y = panel, y + height + 10
  end
  if #shown.spot > 0 then
    local spots = levels(set.d, "spot")
    local places = #shown.spot // #spots
    local down = places <= 8 -- a column a location
    local list = {}
    for i, sample in ipairs(shown.spot) do
      list[down and (i - 1) % #spots * places + (i - 1) // #spots + 1 or i] = sample
    end
    sheet("a  Where the action is", list, down and places or #spots,
      "Ellipses: where the pictures of all clips of that place and spot change over time; measured, not taken from the labels.",
      function(tile, sample, i)
        local place, spot = sample.location and tostring(sample.location), tostring(sample.spot)
        if i <= (down and places or #spots) then tile.above = down and place or spot end
        if (i - 1) % (down and places or #spots) == 0 then tile.left = down and spot or place end
      end)
  end
  sheet((#shown.spot > 0 and "b" or "a") .. "  The classes", shown.class, math.min(6, #shown.class),
    ("Ellipses: where this clip's pictures change over time; none where nothing stands out of the noise. Every clip shown is brighter "
      .. "than %d%% of its kind."):format(math.floor(100 * BRIGHT_SHARE + 0.5)),
    function() return "own" end)
  return plot.page { file = file, width = 940, height = y, panels = panels }
end

return datasheet
