--- Figures 1 to 3 of dataset_stats.lua, and its tables as pictures: FILE.svg and FILE.png. Of sets see tables.lua.
local torch = require "torch"
local measure = require "experiments.dataset_stats.measure"
local picture = require "dgam.show.picture"
local plot = require "dgam.show.plot"
local results = require "dgam.trial.results"
local survey = require "dgam.data.survey"
local tables = require "experiments.dataset_stats.tables"

local figures = {}

local MOST_CLASSES, MOST_GROUPS = 60, 8 -- that a figure has room for

local function stored_frame(set, k) return results.array(set.record.path, "frame_" .. set.s.index[k]) end

--- Draws a table as FILE.svg and FILE.png.
-- @return what plot.page returns
function figures.table(file, title, grid, rules, note)
  local panel = { kind = "table", title = title, head = grid[1], rows = { table.unpack(grid, 2) }, rules = rules, note = note }
  local width, height = plot.table_size(panel)
  panel.box = { 0, 0, width, height }
  return plot.page { file = file, width = width, height = height, panels = { panel } }
end

-- What is compared: every light of every dataset, at most MOST_GROUPS of them.
local function groups(sets)
  local list = {}
  for _, set in ipairs(sets) do
    for _, sample in ipairs(measure.samples(set.d, set.s).light) do
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
    local bars, t = by_light[light], measure.summary(g.set.s, g.ks)
    bars.values[at[group]], bars.low[at[group]], bars.high[at[group]] = t.snr, t.snr_low, t.snr_high
  end
  return { kind = "bars", box = box, title = "b  Signal to noise", groups = names, series = series, ylabel = "SNR, dB",
    note = "Median over clips; lines from quartile to quartile." }
end

local function gain_text(gain) return gain > 1 and ("gain ×%g"):format(gain) or "no gain" end

--- Figure 1: histogram of luma, SNR, frames as they are, gamma-corrected and amplified.
-- @param gamma of the corrected frames
function figures.first(file, sets, gamma)
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
  local cameras, lights = measure.levels(d, "camera"), measure.levels(d, "light")
  local series, labels = {}, {}
  for i, camera in ipairs(#cameras > 0 and cameras or { "all clips" }) do labels[i] = tostring(camera) end
  for l, light in ipairs(#lights > 0 and lights or { false }) do
    local values = {}
    for i = 1, #labels do
      local ks = measure.among(d, s.index, { camera = cameras[i], light = light or nil })
      values[i] = #ks > 0 and scale * measure.summary(s, ks)[name] or 0 / 0
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
function figures.second(file, set)
  local d = set.d
  local panels, y, letter = {}, 0, "a"
  local function title(text)
    local full = letter .. "  " .. text
    letter = string.char(letter:byte() + 1)
    return full
  end
  local cameras = measure.samples(d, set.s).camera
  if #cameras > 0 or #measure.levels(d, "light") > 1 then
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
  local grid = tables.second(set)
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
function figures.third(file, set)
  local shown = measure.samples(set.d, set.s)
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
    local spots = measure.levels(set.d, "spot")
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
      .. "than %d%% of its kind."):format(math.floor(100 * measure.BRIGHT_SHARE + 0.5)),
    function() return "own" end)
  return plot.page { file = file, width = 940, height = y, panels = panels }
end

return figures
