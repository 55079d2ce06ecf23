--- dgam.probes: can something that must not know the action tell it? Classifiers too simple to see motion, on frame
-- statistics alone and on clips from which the person was removed. On a sound dataset they sit at chance.
--
--     local probes = require("dgam").probes
--     local r = probes.run(dgam.data.open "data/synthetic.lua")
--     for _, result in ipairs(r) do print(result) end   -- frame statistics, ridge: 8.1% (95% 6.3 to 10.3), chance 8.3%: at chance
--
-- Accuracy is measured by cross-validation over all clips, so the interval is narrow. Clips that share a setting stay in
-- one fold: otherwise a classifier that knows the setting would know which actions it has seen there already.
local torch = require "torch"
local intervals = require "dgam.show.intervals"
local keys_of = require "util.keys"
local rng = require "dgam.kernels.rng"

local probes = {}

local Result = {}
Result.__index = Result
function Result:__tostring()
  return ("%s: %.1f%% (95%% %.1f to %.1f), chance %.1f%%: %s"):format(self.name, 100 * self.accuracy, 100 * self.low,
    100 * self.high, 100 * self.chance, self.at_chance and "at chance" or self.accuracy > self.chance and "LEAKS" or "below chance")
end

--- Class scores of a ridge regression onto one-hot labels: x [n, d], y [n] from 1, rows to predict z [m, d] -> [m, C].
local function ridge(x, y, z, classes, strength)
  local mean, deviation = x:mean({ 1 }, true), x:std({ 1 }, true, true):clamp_min(1e-6)
  local function design(t)
    t = (t - mean) / deviation
    return torch.cat({ t, torch.ones(t:size(1), 1, { dtype = t.dtype }) }, 2)
  end
  local a, target = design(x), torch.one_hot(y, classes):to(x.dtype)
  local gram = a:t():matmul(a)
  gram = gram + torch.eye(gram:size(1), { dtype = x.dtype }) * (strength * a:size(1))
  return design(z):matmul(torch.linalg_solve(gram, a:t():matmul(target)))
end

--- Class scores of the k nearest neighbours in standardised features.
local function nearest(x, y, z, classes, k)
  local mean, deviation = x:mean({ 1 }, true), x:std({ 1 }, true, true):clamp_min(1e-6)
  local a, b = (x - mean) / deviation, (z - mean) / deviation
  local distance = torch.cdist(b, a)
  local _, index = distance:topk(math.min(k, a:size(1)), 2, false)
  return torch.one_hot(y, classes):to(x.dtype):index_select(1, index:flatten()):view(z:size(1), -1, classes):sum({ 2 })
end

local CLASSIFIERS = {
  ridge = function(x, y, z, classes) return ridge(x, y, z, classes, 0.1) end,
  neighbours = function(x, y, z, classes) return nearest(x, y, z, classes, 15) end,
}

--- Cross-validated accuracy of a simple classifier.
-- @param features float tensor [n, d]
-- @param labels list of n class numbers from 1
-- @param options classes = number of classes; groups = list of n values, equal ones stay in one fold (default: all
--   different); folds = 5; classifier = "ridge" or "neighbours"; seed = 1; name = for printing
-- @return { accuracy, low, high (95%), chance, n, at_chance }; tostring gives a line
function probes.classify(features, labels, options)
  local o, n = options or {}, #labels
  if features:dim() ~= 2 or features:size(1) ~= n then
    error(("probes.classify: features are (%s) for %d labels"):format(table.concat(features.shape, ","), n), 2)
  end
  local classifier = CLASSIFIERS[o.classifier or "ridge"]
    or error(("probes.classify: classifier is '%s', expected 'ridge' or 'neighbours'"):format(tostring(o.classifier)), 2)
  local folds, fold_of, groups = o.folds or 5, {}, {}
  for i = 1, n do
    local g = o.groups and o.groups[i] or i
    if not fold_of[g] then
      groups[#groups + 1] = g
      fold_of[g] = 0
    end
  end
  for i, at in ipairs(rng.permutation(#groups, o.seed or 1, 77)) do fold_of[groups[at]] = i % folds end
  local x, y, hits = features:to("float64"), torch.tensor(labels), 0
  for fold = 0, folds - 1 do
    local known, asked = {}, {}
    for i = 1, n do
      local list = fold_of[o.groups and o.groups[i] or i] == fold and asked or known
      list[#list + 1] = i
    end
    if #known > 0 and #asked > 0 then
      known, asked = torch.tensor(known), torch.tensor(asked)
      local scores = classifier(x:index_select(1, known), y:index_select(1, known), x:index_select(1, asked), o.classes)
      hits = hits + scores:argmax(2):eq(y:index_select(1, asked)):sum():item()
    end
  end
  local low, high = intervals.wilson(hits, n)
  local chance = 1 / o.classes
  return setmetatable({ name = o.name or "probe", accuracy = hits / n, low = low, high = high, chance = chance, n = n,
    at_chance = low <= chance and chance <= high }, Result)
end

--- What identifies a setting of the built-in dataset: everything that is written down about a clip but its class.
local function setting(item)
  local parts = {}
  for _, f in ipairs(require "dgam.data.builtin.synthetic".factors) do parts[#parts + 1] = tostring(item[f]) end
  return table.concat(parts, "|")
end

local function labels_and_groups(items)
  local labels, groups = {}, {}
  for i, item in ipairs(items) do labels[i], groups[i] = item.label, setting(item) end
  return labels, groups
end

--- Features of a clip that show what it looks like but hardly how it moves: the mean over time on a grid x grid raster,
-- and the spread over time of the whole frame's brightness. clip uint8 [3, T, H, W] -> [3 grid^2 + 2].
function probes.look(clip, grid)
  local x = clip:float() / 255
  local raster = torch.adaptive_avg_pool2d(x:mean({ 2 }), { grid or 8, grid or 8 }):flatten()
  local light = x:mean({ 1, 3, 4 })
  return torch.cat { raster, torch.stack { light:mean(), light:std() } }
end

--- Features and what is known of the clips they are of: { features = [n, d], labels =, groups =, items = }.
local function seen(rows, items)
  local labels, groups = labels_and_groups(items)
  return { features = rows, labels = labels, groups = groups, items = items }
end

--- Classifies what was seen, or the part of it for which keep(item) is true.
local function classify(s, options, keep)
  local index, labels, groups = {}, {}, {}
  for i, item in ipairs(s.items) do
    if not keep or keep(item) then
      index[#index + 1], labels[#labels + 1], groups[#groups + 1] = i, s.labels[i], s.groups[i]
    end
  end
  return probes.classify(s.features:index_select(1, torch.tensor(index)), labels,
    setmetatable({ groups = groups }, { __index = options }))
end

local function see_statistics(dataset, o)
  local stats, data = require "dgam.kernels.stats", require "dgam.data"
  local rows, items = {}, {}
  local loader = data.loader(dataset, { batch = 16, clip_len = o.clip_len or 8, interval = o.interval or 1, size = o.size or 64,
    views = { clips = 1, crops = 1 } })
  for batch in loader:epoch(0) do
    rows[#rows + 1] = stats.frames(batch.clip)
    for _, at in ipairs(batch.index:totable()) do items[#items + 1] = dataset.items[at] end
  end
  loader:close()
  return seen(torch.cat(rows, 1), items)
end

local function see_empty(dataset_options, o)
  local synthetic, scene = require "dgam.data.builtin.synthetic", require "dgam.kernels.scene"
  local all, plan = synthetic.plan(dataset_options)
  local items, per = {}, #synthetic.classes
  local step = math.max(1, math.ceil(#all / (o.most or #all)))
  for i, item in ipairs(all) do
    if (i - 1) // per % step == 0 then items[#items + 1] = item end
  end
  local rows = {}
  for i, item in ipairs(items) do
    rows[i] = probes.look((scene.film(synthetic.clip(item, plan, { empty = true }))))
  end
  return seen(torch.stack(rows), items)
end

--- Probe (a): the statistics that DGAM's gate reads (mean, deviation, entropy of every frame), of the files.
-- @param dataset from dgam.data.open
-- @param options clip_len = 8, interval = 1, size = 64; and those of probes.classify
function probes.statistics(dataset, options)
  local o = setmetatable({ classes = #dataset.classes }, { __index = options })
  return classify(see_statistics(dataset, o), o)
end

--- Probe (b): the clips of the built-in dataset filmed again without the person.
-- @param dataset_options as dgam.synthetic.plan
-- @param options those of probes.classify; most = clips to film at most (whole settings, evenly spread)
function probes.empty(dataset_options, options)
  local o = setmetatable({ classes = #require "dgam.data.builtin.synthetic".classes }, { __index = options })
  return classify(see_empty(dataset_options, o), o)
end

--- Both probes, each with both classifiers, over all clips and for each light alone.
-- @param dataset from dgam.data.open "data/synthetic.lua"
-- @param dataset_options what it was opened with
-- @param options most = clips to film without the person at most
-- @return list of results; at_chance = true if all are
function probes.run(dataset, dataset_options, options)
  local results, o = { at_chance = true }, options or {}
  local evidence = { { "frame statistics", see_statistics(dataset, o) }, { "person removed", see_empty(dataset_options, o) } }
  local lights = keys_of(dataset:count "light")
  for _, e in ipairs(evidence) do
    for _, classifier in ipairs { "ridge", "neighbours" } do
      for k = 0, #lights do
        local light = lights[k]
        local r = classify(e[2], { classes = #dataset.classes, classifier = classifier,
          name = ("%s, %s, %s"):format(e[1], classifier, light or "all") }, light and function(item) return item.light == light end)
        results[#results + 1] = r
        results.at_chance = results.at_chance and r.at_chance
      end
    end
  end
  return results
end

return probes
