--- Tables 1 and 2 of dataset_stats.lua as grids of texts. A set is { d = dataset, title =, s = the survey's lists, record = trial,
-- unreadable = clips }.
local measure = require "experiments.dataset_stats.measure"
local sorted_keys = require "util.keys"

local tables = {}

local MOST_ROWS = 80 -- that a picture of Table 2 has room for

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
  local low, high = measure.quantile(measure.pick(s.fps, ks), 0), (measure.quantile(measure.pick(s.fps, ks), 1))
  if high <= 0 then return "-" end
  return low == high and ("%.4g"):format(low) or ("%.4g to %.4g"):format(low, high)
end

--- Table 1: a row a dataset, and one for each of its lights.
-- @param sets list of sets
-- @param config frames, lag as they were measured with
-- @return grid of texts, rows after which a line goes, notes
function tables.first(sets, config)
  local grid = { { "", "clips", "classes", "pixels", "frames/s", "s a clip", "total", "mean luma", "luma 0, %", "luma ≤ 2, %",
    "entropy, bits", "SNR, dB" } }
  local rules, notes = {}, {}
  for i, set in ipairs(sets) do
    local d, s = set.d, set.s
    local rows = { { set.title, {} } }
    local lights = measure.levels(d, "light")
    for _, light in ipairs(#lights > 1 and lights or {}) do rows[#rows + 1] = { "   " .. tostring(light), { light = light } } end
    for _, r in ipairs(rows) do
      local ks = measure.among(d, s.index, r[2])
      if #ks > 0 then
        local t = measure.summary(s, ks)
        local bound = t.lag < config.lag and "≤ " or ""
        grid[#grid + 1] = { r[1], ("%d"):format(t.clips), ("%d"):format(#d.classes), sizes(s, ks), rates(s, ks),
          t.seconds > 0 and ("%.2f"):format(t.clip_seconds) or "-", t.seconds > 0 and duration(t.seconds) or "-",
          ("%.2f"):format(t.luma), ("%.1f"):format(100 * t.zeros), ("%.1f"):format(100 * t.low), ("%.2f"):format(t.entropy),
          t.snr == t.snr and ("%s%.1f"):format(bound, t.snr) or "-" }
      end
    end
    if i < #sets then rules[#rules + 1] = #grid - 1 end
    local all = measure.summary(s, measure.among(d, s.index, {}))
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

-- --- Table 2: how the clips are spread over splits and fields ---

local SPLIT_ORDER, NO_SPLIT = { train = 1, val = 2, test = 3 }, "no split"

--- Table 2: clips of each split by light, camera, location, spot and class.
-- @return grid of texts, rows after which a line goes, a note on the fields that are not known, or nil
function tables.second(set)
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
    for _, field in ipairs { "label", table.unpack(measure.FIELDS) } do
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
  for _, field in ipairs(measure.FIELDS) do
    local list = measure.levels(d, field)
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
function tables.shortened(grid, rules)
    if #grid - 2 <= MOST_ROWS then return grid, rules end
  local cut = { table.unpack(grid, 1, MOST_ROWS + 1) }
  cut[#cut + 1] = { ("... %d more rows"):format(#grid - 2 - MOST_ROWS), table.unpack(grid[#grid], 2) }
  for i = 2, #cut[#cut] do cut[#cut][i] = "" end
  cut[#cut + 1] = grid[#grid]
  local kept = {}
  for _, r in ipairs(rules) do kept[#kept + 1] = r < MOST_ROWS and r or nil end
  kept[#kept + 1] = #cut - 2
  return cut, kept
end

return tables
