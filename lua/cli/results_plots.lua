--- Charts of stored trials for `dgamlua results`: learning curves, confusion, accuracy by class, use of the experts by light and
-- camera. Seeds of a variant are taken together. What a trial did not store is left out.
local h5 = require "dgam.kernels.h5"
local metrics = require "dgam.train.metrics"
local plot = require "dgam.show.plot"
local sorted_keys = require "util.keys"

local plots = {}

-- --- learning curves ---

-- Mean over seeds at every position that each seed has.
local function mean_curve(lists)
  local shortest, out = math.huge, {}
  for _, list in ipairs(lists) do shortest = math.min(shortest, #list) end
  for i = 1, shortest do
    local sum = 0
    for _, list in ipairs(lists) do sum = sum + list[i] end
    out[i] = sum / #lists
  end
  return out
end

-- The curves of that name of all variants, as series; x is the curve `at` where there is one.
local function series_of(variants, name, at)
  local series = {}
  for i, v in ipairs(variants) do
    local ys, xs = {}, {}
    for _, r in ipairs(v.records) do
      if r.curves[name] then ys[#ys + 1], xs[#xs + 1] = r.curves[name], r.curves[at] end
    end
    local y = #ys > 0 and mean_curve(ys) or {}
    if #y > 1 then -- one point is no curve
      series[#series + 1] = { name = v.label, y = y, x = #xs == #ys and mean_curve(xs) or nil,
        colour = plot.COLOURS[(i - 1) % #plot.COLOURS + 1] }
    end
  end
  return series
end

local CURVES = { { "loss", "training loss" }, { "val_top1", "validation top-1, %", "val_epoch" },
  { "gate_loss", "loss of the gate" }, { "gate_val_top1", "validation top-1 with the gate, %" } }

local function learning_curves(variants, base)
  local panels = {}
  for _, c in ipairs(CURVES) do
    local series = series_of(variants, c[1], c[3] or "none")
    if #series > 0 then
      local at = #panels
      panels[#panels + 1] = { kind = "lines", series = series, ylabel = c[2], xlabel = "epoch",
        box = { at % 2 * 480, at // 2 * 330, 480, 320 } }
    end
  end
  if #panels == 0 then return nil end
  return plot.page { file = base, width = math.min(2, #panels) * 480, height = (#panels + 1) // 2 * 330, panels = panels }
end

-- --- what the test list shows ---

-- Scores, labels and lambda of all seeds of a variant one after the other, with texts of every clip; nil if one stored none.
local function tested(variant, torch)
  local all = { scores = {}, labels = {}, lambda = {} }
  local classes, fields = nil, {}
  for _, r in ipairs(variant.records) do
    local file <close> = h5.open(r.path)
    if not file:has "arrays/scores" or not file:has "arrays/labels" then return nil end
    for name, list in pairs(all) do
      if file:has("arrays/" .. name) then list[#list + 1] = file:read("arrays/" .. name) end
    end
    if file:has "texts" then
      for _, name in ipairs(file:list "texts") do
        local texts = file:read("texts/" .. name)
        if name == "classes" then classes = texts end
        local field = name:match "^clip_(.+)"
        if field then
          fields[field] = fields[field] or {}
          table.move(texts, 1, #texts, #fields[field] + 1, fields[field])
        end
      end
    end
  end
  local out = { classes = classes, fields = fields, scores = torch.cat(all.scores, 1), labels = torch.cat(all.labels, 1) }
  out.lambda = #all.lambda == #variant.records and torch.cat(all.lambda, 1) or nil
  if not out.classes then
    out.classes = {}
    for k = 1, out.scores:size(2) do out.classes[k] = tostring(k) end
  end
  return out
end

local function confusion(t, variant, base)
  local counts = metrics.confusion(t.scores, t.labels):totable()
  return plot.matrix { file = base, rows = t.classes, columns = t.classes, values = counts, xlabel = "predicted", ylabel = "true",
    title = ("Confusion, %s"):format(variant.label),
    note = ("Test clips of %d seed%s."):format(#variant.records, #variant.records == 1 and "" or "s") }
end

local function by_class(ts, variants, base)
  local series, classes = {}, nil
  for i, v in ipairs(variants) do
    if ts[i] then
      local counts, values = metrics.confusion(ts[i].scores, ts[i].labels):totable(), {}
      for k, row in ipairs(counts) do
        local sum = 0
        for _, n in ipairs(row) do sum = sum + n end
        values[k] = sum > 0 and 100 * row[k] / sum or 0 / 0
      end
      series[#series + 1] = { name = v.label, values = values }
      classes = classes or ts[i].classes
    end
  end
  if not classes then return nil end
  return plot.bars { file = base, groups = classes, series = series, title = "Accuracy by class", ylabel = "top-1, %", range = { 0, 100 },
    format = "%.0f" }
end

-- How often each expert was chosen, by a field of the clips.
local function expert_use(t, variant, base)
  if not t.lambda or t.lambda:size(2) < 2 then return nil end
  local chosen, gammas = t.lambda:argmax(2):totable(), variant.records[1].config.gammas or {}
  local rows, values = {}, {}
  local function count(label, fits)
    local n, row = 0, {}
    for e = 1, t.lambda:size(2) do row[e] = 0 end
    for i, e in ipairs(chosen) do
      if fits(i) then n, row[e] = n + 1, row[e] + 1 end
    end
    for e = 1, #row do row[e] = n > 0 and 100 * row[e] / n or 0 / 0 end
    rows[#rows + 1], values[#values + 1] = label, row
  end
  count("all", function() return true end)
  for _, field in ipairs(sorted_keys(t.fields)) do
    local list, there = t.fields[field], {}
    for _, v in ipairs(list) do there[v] = true end
    for _, v in ipairs(sorted_keys(there)) do count(("%s %s"):format(field, v), function(i) return list[i] == v end) end
  end
  local columns = {}
  for e = 1, t.lambda:size(2) do columns[e] = gammas[e] and ("gamma %g"):format(gammas[e]) or ("expert %d"):format(e) end
  return plot.matrix { file = base, rows = rows, columns = columns, values = values,
    title = ("Use of the experts, %s"):format(variant.label),
    note = "Share of the test clips for which the gate weighs this expert most, in percent." }
end

--- Draws all that the variants of one experiment have.
-- @param variants list of { label, records = of all seeds, with curves (results.load) }
-- @param base path that file names begin with
-- @return list of paths without ending: BASE_curves, BASE_classes, BASE_N_confusion, BASE_N_experts
function plots.draw(variants, base)
  local torch, files = require "torch", {}
  local function note(name, drawn)
    if drawn then files[#files + 1] = name end
  end
  note(base .. "_curves", learning_curves(variants, base .. "_curves"))
  local ts = {}
  for i, v in ipairs(variants) do ts[i] = tested(v, torch) or false end
  note(base .. "_classes", by_class(ts, variants, base .. "_classes"))
  for i, v in ipairs(variants) do
    if ts[i] then
      local own = ("%s_%d"):format(base, i)
      note(own .. "_confusion", confusion(ts[i], v, own .. "_confusion"))
      note(own .. "_experts", expert_use(ts[i], v, own .. "_experts"))
    end
  end
  return files
end

return plots
