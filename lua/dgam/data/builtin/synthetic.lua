--- dgam.synthetic: the built-in dataset, planned and filmed. data/synthetic.lua describes it to dgam.data.
--
-- A *setting* is everything about a clip but its action: light, lux, camera, location, actor, spot, scale, outfit. Every
-- setting is filmed once with every action, so no setting can tell the action (Cramer's V of class against each factor
-- is 0 up to rounding). Settings, not clips, are dealt to train, val and test, 72 / 8 / 20 within each light.
--
-- Sizes (kept frames a second = fps / every):
--   tiny    720 clips of 8 x 64 x 64, 5 a second: 1.4 s, which one step cycle or one sit-down just fills
--   small   2,400 clips of 16 x 112 x 112, 7.5 a second: 2.0 s
--   full    12,078 clips (LL 6,222, ELL 5,856) of 105 frames at the camera's native size, 30 a second: 3.5 s
-- Splits:
--   paper           LL is filmed outdoors, ELL indoors
--   crossed         both lights at all five locations
--   actor:NAME, camera:NAME, location:NAME   the clips of crossed; everything of NAME is the test list, a tenth of the
--                   rest is val
--   bright          well-lit clips for pretraining: a tenth is val and a tenth test
local lfs = require "lfs"
local camera = require "dgam.kernels.camera"
local fs = require "dgamnative.fs"
local keys_of = require "util.keys"
local paths = require "util.paths"
local progress = require "dgam.show.progress"
local rng = require "dgam.kernels.rng"
local scene = require "dgam.kernels.scene"
local check = require "util.check"
local suggest = require "util.suggest"

local synthetic = {}

-- Goes up when the renderer or the camera changes what a clip looks like, so that no old clip is taken for a new one.
local VERSION = 3
local BATCH = 48 -- clips between two looks at the progress bar

synthetic.classes = scene.cast.actions

synthetic.sizes = {
  tiny = { LL = 360, ELL = 360, width = 64, height = 64, frames = 8, fps = 15, every = 3 },
  small = { LL = 1200, ELL = 1200, width = 112, height = 112, frames = 16, fps = 15, every = 2 },
  full = { LL = 6222, ELL = 5856, frames = 105, fps = 30, every = 1 },
}

--- clips = false: as many as the size says.
synthetic.defaults = { size = "tiny", split = "paper", seed = 1, clips = false }

--- What must not tell the class, and is written down for every clip.
synthetic.factors = { "camera", "light", "location", "actor", "spot", "scale", "outfit", "lux" }

local SCALES = { 0.68, 0.78, 0.88 }
local TEST, VAL = 0.2, 0.08

local function names(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = item.name end
  return out
end

local FACTOR_LEVELS = { actor = scene.cast.actors, camera = names(camera.models), location = scene.cast.locations }

local function has(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

--- Options with defaults behind them, checked. Adds `design` ("paper", "crossed", "bright") and, for leave-one-out
-- splits, `leave` and `out` (factor and level).
local function complete(options)
  options = check.names("synthetic", options or {}, { "size", "split", "seed", "clips" })
  local o = setmetatable({}, { __index = synthetic.defaults })
  for k, v in pairs(options) do o[k] = v end
  if not synthetic.sizes[o.size] then error(suggest.unknown("size", tostring(o.size), keys_of(synthetic.sizes)), 0) end
  check.option("synthetic", "seed", o.seed, check.whole(), false)
  check.option("synthetic", "clips", o.clips or nil, check.optional(check.whole(1)), false)
  local leave, out = tostring(o.split):match "^(%l+):(.+)$"
  if leave then
    if not FACTOR_LEVELS[leave] then error(suggest.unknown("factor to leave out", leave, keys_of(FACTOR_LEVELS)), 0) end
    if not has(FACTOR_LEVELS[leave], out) then error(suggest.unknown(leave, out, FACTOR_LEVELS[leave]), 0) end
    o.design, o.leave, o.out = "crossed", leave, out
  elseif has({ "paper", "crossed", "bright" }, o.split) then
    o.design = o.split
  else
    error(suggest.unknown("split", tostring(o.split), { "paper", "crossed", "bright", "actor:a1", "camera:brio",
      "location:street" }), 0)
  end
  return o
end

-- --- the plan ---

--- The numbers 0..n-1 reversed in binary, as shares of 1: any first few of them are spread evenly.
local function spread(i)
  local x, step = 0, 0.5
  while i > 0 do
    x, i, step = x + step * (i % 2), i // 2, step / 2
  end
  return x
end

--- Which locations a light is filmed at.
local function locations(design, light)
  local list = {}
  for i, name in ipairs(scene.cast.locations) do
    if design ~= "paper" or scene.cast.outdoor[i] == (light == "LL") then list[#list + 1] = name end
  end
  return list
end

--- A number `share` of the way from a to b: along the numbers, or along their logarithms where b is many times a.
local function between(a, b, share) return b > 10 * a and a * (b / a) ^ share or a + share * (b - a) end

--- `count` settings of one light. Camera, location and actor go round in step, so that any stretch of settings is
-- balanced; spot, scale and outfit are dealt evenly in random order; lux is spread evenly within each camera.
local function settings(o, light, count)
  local places, range, purpose = locations(o.design, light), camera.preset[light].lux, #light + 16 * #o.design
  local function dealt(list, salt)
    local order, out = rng.permutation(count, o.seed, purpose, salt), {}
    for i = 1, count do out[order[i]] = list[(i - 1) % #list + 1] end
    return out
  end
  local spots, scales, outfits = dealt(scene.cast.spots, 1), dealt(SCALES, 2), dealt(scene.cast.outfits, 3)
  local out, cameras = {}, camera.models
  for s = 0, count - 1 do
    local round, k = s // #cameras, s % #cameras
    local share = (spread(round) + rng.new(o.seed, purpose, 4, s):uniform() / count) % 1
    out[s + 1] = { light = light, camera = cameras[k + 1].name, location = places[(round + k) % #places + 1],
      actor = scene.cast.actors[s % #scene.cast.actors + 1], spot = spots[s + 1], scale = scales[s + 1],
      outfit = outfits[s + 1], lux = tonumber(("%.4g"):format(between(range[1], range[2], share))) }
  end
  return out
end

--- Test, val or train for item number `i` (0-based) of `n`: whole settings for test, and val as near to its share as
-- whole clips allow.
local function deal(i, n, test, val)
  local per = #synthetic.classes
  local tests = math.floor(test * n / per + 0.5) * per
  local vals = math.floor(val * n + 0.5)
  return i < tests and "test" or i < tests + vals and "val" or "train"
end

--- The settings for val where one actor, spot ... is left out for test: a tenth of the others, drawn, at least one.
-- @return set of their places in the list
local function some_of_the_rest(all, o, light)
  local rest, set = {}, {}
  for s, setting in ipairs(all) do
    if setting[o.leave] ~= o.out then rest[#rest + 1] = s end
  end
  local order = rng.permutation(#rest, o.seed, light, 6, 0)
  for i = 1, math.min(#rest, math.max(1, math.floor(#rest / 10 + 0.5))) do set[rest[order[i]]] = true end
  return set
end

--- All clips of a dataset, in a fixed order.
-- @param options size, split, seed, clips; see synthetic.defaults
-- @return list of { path=, label= (1-based), class=, split=, camera=, light=, ... } and the completed options
function synthetic.plan(options)
  local o = complete(options)
  local size, items = synthetic.sizes[o.size], {}
  local lights = o.design == "bright" and { "bright" } or { "LL", "ELL" }
  for _, light in ipairs(lights) do
    local count
    if o.design == "bright" then
      count = o.clips or size.LL + size.ELL
    else
      count = o.clips and (light == "LL" and (o.clips + 1) // 2 or o.clips // 2) or size[light]
    end
    local per, of_light = #synthetic.classes, 0
    local all = settings(o, light, math.ceil(count / per))
    local val = o.leave and some_of_the_rest(all, o, #light)
    for s, setting in ipairs(all) do
      local order = rng.permutation(per, o.seed, #light, 5, s) -- matters where the last setting is cut off, and for val
      for _, label in ipairs(order) do
        if of_light == count then break end
        local item = { label = label, class = synthetic.classes[label], number = #items }
        for k, v in pairs(setting) do item[k] = v end
        item.path = ("clips/%s/%s_%s_%05d.avi"):format(item.class, light, item.camera, item.number)
        if o.leave then
          item.split = item[o.leave] == o.out and "test" or val[s] and "val" or "train"
        elseif o.design == "bright" then
          item.split = deal(of_light, count, 0.1, 0.1)
        else
          item.split = deal(of_light, count, TEST, VAL)
        end
        items[#items + 1], of_light = item, of_light + 1
      end
    end
  end
  return items, o
end

--- What dgam.scene films for an item.
-- @param extra fields to add or change, e.g. { empty = true }
function synthetic.clip(item, o, extra)
  local size, model = synthetic.sizes[o.size], camera.model[item.camera]
  local clip = { action = item.class, actor = item.actor, outfit = item.outfit, location = item.location,
    spot = item.spot, scale = item.scale, light = item.light, lux = item.lux, camera = item.camera,
    width = size.width or model.width, height = size.height or model.height, frames = size.frames, fps = size.fps,
    every = size.every, seed = o.seed, clip = item.number + (o.design == "crossed" and 1 << 20 or 0) }
  for k, v in pairs(extra or {}) do clip[k] = v end
  return clip
end

-- --- balance ---

--- Cramer's V between the classes and a factor over the items: 0 = the factor says nothing about the class, 1 = all.
-- Numbers with more than 8 values are put into 4 groups of equal size first.
function synthetic.cramers_v(items, factor)
  local values, sorted = {}, {}
  for i, item in ipairs(items) do
    values[i] = item[factor]
    sorted[i] = values[i]
  end
  local distinct, kinds = {}, 0
  for _, v in ipairs(values) do
    if not distinct[v] then distinct[v], kinds = true, kinds + 1 end
  end
  if type(values[1]) == "number" and kinds > 8 then
    table.sort(sorted)
    local cut = { sorted[#sorted // 4], sorted[#sorted // 2], sorted[3 * #sorted // 4] }
    for i, v in ipairs(values) do values[i] = (v > cut[1] and 1 or 0) + (v > cut[2] and 1 or 0) + (v > cut[3] and 1 or 0) end
  end
  local cell, row, column, n = {}, {}, {}, #items
  for i, item in ipairs(items) do
    local c, v = item.label, values[i]
    cell[c] = cell[c] or {}
    cell[c][v] = (cell[c][v] or 0) + 1
    row[c], column[v] = (row[c] or 0) + 1, (column[v] or 0) + 1
  end
  local chi2, rows, columns = 0, 0, 0
  for _ in pairs(column) do columns = columns + 1 end
  for c, in_class in pairs(row) do
    rows = rows + 1
    for v, of_value in pairs(column) do
      local expected = in_class * of_value / n
      chi2 = chi2 + ((cell[c][v] or 0) - expected) ^ 2 / expected
    end
  end
  local least = math.min(rows, columns) - 1
  return least < 1 and 0 or math.sqrt(chi2 / (n * least))
end

--- Cramer's V of the class against every factor: { camera = 0.0, ... }.
function synthetic.balance(items)
  local out = {}
  for _, factor in ipairs(synthetic.factors) do out[factor] = synthetic.cramers_v(items, factor) end
  return out
end

-- --- filming ---

--- The folder that holds generated data (dgam.paths.cache).
synthetic.cache = paths.cache

local function mkdir(path) paths.make_folder(path, "set DGAMLUA_CACHE to a folder that can be written") end

local function whole(lines) return table.concat(lines, "\n") .. (#lines > 0 and "\n" or "") end
local function write_whole(path, lines) fs.write(path, whole(lines)) end

local STATISTICS = { "luma", "zeros", "low", "time", "gain", "sensitivity", "read" }
local STATISTICS_FILE, DONE_FILE = "statistics.csv", "complete"

--- What is in a statistics file: clip number -> list of values; lines that were cut off are left out.
local function read_statistics(path)
  local known, f = {}, io.open(path, "rb")
  if not f then return known end
  local text = f:read "a"
  f:close()
  for line in text:gmatch "([^\n]*)\n" do
    local values = {}
    for v in line:gmatch "[^,]+" do values[#values + 1] = tonumber(v) end
    if #values == #STATISTICS + 1 then known[values[1]] = table.move(values, 2, #values, 1, {}) end
  end
  return known
end

--- What was drawn and measured, one line a clip; kept beside the clips.
local function metadata(items, known)
  local columns = { "path", "class", "label", "split" }
  table.move(synthetic.factors, 1, #synthetic.factors, #columns + 1, columns)
  local lines = { table.concat(columns, ",") .. "," .. table.concat(STATISTICS, ",") }
  for _, item in ipairs(items) do
    local line = {}
    for i, c in ipairs(columns) do
      local v = c == "label" and item.label - 1 or item[c]
      line[i] = type(v) == "string" and v:find "," and ('"%s"'):format(v) or tostring(v)
    end
    for _, v in ipairs(known[item.number]) do line[#line + 1] = ("%.5g"):format(v) end
    lines[#lines + 1] = table.concat(line, ",")
  end
  return lines
end

--- `path label` lists of a split, labels from 0, as the published datasets have them.
local function write_lists(root, name, items)
  local lists = { train = {}, val = {}, test = {} }
  for _, item in ipairs(items) do
    local list = lists[item.split]
    list[#list + 1] = ("%s %d"):format(item.path, item.label - 1)
  end
  for split, lines in pairs(lists) do
    local path = ("%s/lists/%s_%s.txt"):format(root, name, split)
    local f <close> = io.open(path, "rb")
    if not f or f:read "a" ~= whole(lines) then write_whole(path, lines) end
  end
end

local function film(root, items, o, known, note)
  local missing = {}
  for _, item in ipairs(items) do
    if not known[item.number] or not lfs.attributes(root .. "/" .. item.path, "mode") then missing[#missing + 1] = item end
  end
  local bar = note or progress.new(("filming %s %s"):format("synthetic", o.size), #items, { done = #items - #missing })
  local path = root .. "/" .. STATISTICS_FILE
  for from = 1, #missing, BATCH do
    local clips = {}
    for i = from, math.min(from + BATCH - 1, #missing) do
      clips[#clips + 1] = synthetic.clip(missing[i], o, { path = root .. "/" .. missing[i].path })
    end
    local results = scene.write(clips)
    local lines = {}
    for i, result in ipairs(results) do
      local item, line = missing[from + i - 1], {}
      known[item.number] = {}
      for k, name in ipairs(STATISTICS) do
        known[item.number][k] = result[name]
        line[k] = ("%.9g"):format(result[name])
      end
      lines[i] = ("\n%d,%s\n"):format(item.number, table.concat(line, ",")) -- a cut-off line before stays alone
    end
    local f, why = io.open(path, "ab")
    local ok = f ~= nil
    if f then
      ok, why = f:write(table.concat(lines))
      local closed, close_why = f:close()
      if ok and not closed then ok, why = closed, close_why end
    end
    if not ok then error(("cannot write %s: %s"):format(path, why), 0) end
    bar:advance(#clips, nil, #clips)
  end
  bar:finish()
end

--- Makes sure that a dataset is on disk: films what is missing, with a progress bar on standard error, and writes
-- lists/SPLIT_{train,val,test}.txt, metadata.csv and statistics.csv beside the clips. Can be stopped and goes on where it
-- was. The same options give the same bytes at any number of threads.
-- @param options as synthetic.plan
-- @param note stands in for the progress bar: an object with advance(self, n) and finish(self)
-- @return root folder, items (paths relative to it)
-- Errors: options unknown; a folder or file that cannot be written (what is complete stays).
function synthetic.prepare(options, note)
  local items, o = synthetic.plan(options)
  local described = { VERSION }
  for _, item in ipairs(items) do
    local clip = synthetic.clip(item, o)
    for _, k in ipairs(keys_of(clip)) do described[#described + 1] = k .. "=" .. tostring(clip[k]) end
  end
  for _, model in ipairs(camera.models) do
    for _, k in ipairs(keys_of(model)) do
      local v = model[k]
      described[#described + 1] = k .. "=" .. (type(v) == "table" and table.concat(v, " ") or tostring(v))
    end
  end
  local root = ("%s/synthetic-%s%s-%d-%s"):format(synthetic.cache(), o.size,
    o.design == "paper" and "" or "-" .. o.design, o.seed, fs.sha256(table.concat(described, ";")):sub(1, 8))
  local name = o.split:gsub(":", "-")
  local done = root .. "/" .. DONE_FILE
  if not lfs.attributes(done, "mode") then
    if #items >= 12 * #synthetic.classes and not o.leave then
      for factor, v in pairs(synthetic.balance(items)) do
        if v >= 0.05 then error(("synthetic: class against %s has Cramer's V %.3f, expected below 0.05"):format(factor, v), 0) end
      end
    end
    mkdir(root .. "/lists")
    for _, class in ipairs(synthetic.classes) do mkdir(root .. "/clips/" .. class) end
    local known = read_statistics(root .. "/" .. STATISTICS_FILE)
    film(root, items, o, known, note)
    write_whole(root .. "/metadata.csv", metadata(items, known))
    write_lists(root, name, items)
    scene.flush(root) -- what is called complete must be on disk
    write_whole(done, { ("%d clips"):format(#items) })
  else
    write_lists(root, name, items)
  end
  return root, items
end

return synthetic
