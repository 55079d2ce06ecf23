--- The numbers of a dataset: what dgam.survey measured of its videos, as it is stored, and what clips have in common.
local sorted_keys = require "util.keys"
local survey = require "dgam.data.survey"
local text = require "util.text"

local measure = {}

--- The fields of a clip that the tables and figures go by.
measure.FIELDS = { "light", "camera", "location", "spot" }

--- Figure 3 shows the clip that is brighter than this share of its kind.
measure.BRIGHT_SHARE = 0.9

local PLACES = { left = 1, centre = 2, center = 2, middle = 2, right = 3 }

--- Levels of a field in the order they are shown: rising number, LL before ELL, left before right, else by letter.
function measure.levels(d, field)
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

--- Positions in a survey of the clips whose fields are as asked.
function measure.among(d, index, wanted)
  local list = {}
  for k, at in ipairs(index) do
    local item, all = d.items[at], true
    for field, value in pairs(wanted) do all = all and item[field] == value end
    if all then list[#list + 1] = k end
  end
  return list
end

--- Value at a share of a list of numbers, those that are NaN left out.
function measure.quantile(values, share)
  local list = {}
  for _, v in ipairs(values) do
    if v == v then list[#list + 1] = v end
  end
  table.sort(list)
  return list[math.max(1, math.ceil(share * #list))] or 0 / 0, #list
end

--- The values of a list at some positions.
function measure.pick(list, ks)
  local out = {}
  for i, k in ipairs(ks) do out[i] = list[k] end
  return out
end

local function mean(list)
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v end
  return sum / #list
end

--- What clips `ks` of a survey have in common: a row of Table 1.
function measure.summary(s, ks)
  local row = { clips = #ks, seconds = 0 }
  local timed = 0 -- a file may not say how fast it is
  for _, k in ipairs(ks) do
    if s.fps[k] > 0 then row.seconds, timed = row.seconds + s.frames[k] / s.fps[k], timed + 1 end
  end
  row.clip_seconds = timed > 0 and row.seconds / timed or 0 / 0
  for _, name in ipairs { "luma", "zeros", "low", "entropy" } do row[name] = mean(measure.pick(s[name], ks)) end
  local snr = measure.pick(s.snr, ks)
  row.snr, row.snr_clips = measure.quantile(snr, 0.5)
  row.snr_low, row.snr_high = measure.quantile(snr, 0.25), (measure.quantile(snr, 0.75))
  row.lag = measure.quantile(measure.pick(s.lag, ks), 0)
  return row
end

-- The clip at a share of a list ordered by brightness.
local function typical(s, ks, share)
  local order = { table.unpack(ks) }
  table.sort(order, function(a, b) return s.luma[a] < s.luma[b] or s.luma[a] == s.luma[b] and a < b end)
  return order[math.max(1, math.ceil(share * #order))]
end

--- The clips whose frames are shown: { { light =, k = }, ... }, { { camera =, light =, k = }, ... } and so on.
function measure.samples(d, s)
  local shown = { light = {}, camera = {}, spot = {}, class = {} }
  local lights = measure.levels(d, "light")
  local function add(kind, wanted)
    local ks = measure.among(d, s.index, wanted)
    local share = (kind == "spot" or kind == "class") and measure.BRIGHT_SHARE or 0.5
    wanted.ks, wanted.k = ks, #ks > 0 and typical(s, ks, share) or nil
    table.insert(shown[kind], wanted)
  end
  local function per_light(kind, field, value)
    for _, light in ipairs(#lights > 0 and lights or { false }) do add(kind, { [field] = value, light = light or nil }) end
  end
  per_light("light", "light")
  for _, camera in ipairs(measure.levels(d, "camera")) do per_light("camera", "camera", camera) end
  if next(d:count "spot") then
    for _, location in ipairs(next(d:count "location") and measure.levels(d, "location") or { false }) do
      for _, spot in ipairs(measure.levels(d, "spot")) do add("spot", { location = location or nil, spot = spot }) end
    end
  end
  for label = 1, math.min(#d.classes, 24) do per_light("class", "label", label) end
  return shown
end

-- A level in the name of a metric, which takes ASCII only.
local function metric_name(level) return (tostring(level):gsub("[^%w]+", "_"):lower()) end

--- What is stored of a dataset, as a trial returns it: the survey's numbers of every clip, their summary over all clips and
-- for each light and camera, and the frames that the figures show.
-- @param d dataset
-- @param options those of survey.measure
function measure.trial(d, options)
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
    for _, level in ipairs(measure.levels(d, field)) do
      parts[#parts + 1], endings[#endings + 1] = { [field] = level }, "_" .. metric_name(level)
    end
  end
  endings = text.distinct(endings)
  for i, wanted in ipairs(parts) do
    local ks = measure.among(d, s.index, wanted)
    for name, v in pairs(#ks > 0 and measure.summary(s, ks) or {}) do
      if v == v then out.metrics[name .. endings[i]] = v end
    end
  end
  for _, list in pairs(measure.samples(d, s)) do
    for _, sample in ipairs(list) do
      local k = sample.k
      if k then
        out.arrays["frame_" .. s.index[k]] = survey.frame(d.items[s.index[k]].path, math.tointeger(s.frames[k]) // 2 + 1, 320)
      end
    end
  end
  return out
end

return measure
