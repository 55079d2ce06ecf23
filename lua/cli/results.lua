--- dgamlua results [FILTER]: the stored trials as a table: mean and 95% interval over seeds.
local argparse = require "argparse"
local results = require "dgam.trial.results"
local Table = require "dgam.show.table"
local sorted_keys = require "util.keys"
local suggest = require "util.suggest"

local M = {}

-- Metrics that a table shows unless told otherwise, in this order, each also by group (top1_ll).
local USUAL = { "top1", "top5", "mean_class" }
local MOST = 8 -- columns, where none of these is there

local function show(v)
  if type(v) ~= "table" then return type(v) == "number" and ("%.6g"):format(v) or tostring(v) end
  local parts = {}
  for i, k in ipairs(sorted_keys(v)) do parts[i] = (math.type(k) == "integer" and "" or k .. "=") .. show(v[k]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Trials of one variant: { experiment, label, config = without the seed, trials = seed -> newest record }.
local function group(records)
  local groups, by_key, older = {}, {}, 0
  for _, r in ipairs(records) do -- oldest first
    local config = {}
    for k, v in pairs(r.config) do
      if k ~= "seed" then config[k] = v end
    end
    local key = results.key { r.experiment, r.label, config }
    local g = by_key[key]
    if not g then
      g = { experiment = r.experiment, label = r.label, config = config, trials = {} }
      by_key[key] = g
      groups[#groups + 1] = g
    end
    if g.trials[r.seed] then older = older + 1 end
    g.trials[r.seed] = r
  end
  local first = {} -- experiments in the order of their oldest trial, and so their variants
  for i, g in ipairs(groups) do
    g.rank = i
    first[g.experiment] = first[g.experiment] or i
  end
  table.sort(groups, function(a, b)
    if a.experiment ~= b.experiment then return first[a.experiment] < first[b.experiment] end
    return a.rank < b.rank
  end)
  return groups, older
end

-- Variants of one label that differ in their configuration get the fields that tell them apart.
local function tell_apart(groups)
  local twins = {}
  for _, g in ipairs(groups) do
    local name = g.experiment .. "\0" .. g.label
    twins[name] = twins[name] or {}
    table.insert(twins[name], g)
  end
  for _, list in pairs(twins) do
    local fields = {}
    for _, g in ipairs(list) do
      for k in pairs(g.config) do fields[k] = true end
    end
    for _, k in ipairs(sorted_keys(fields)) do
      local seen = {}
      for _, g in ipairs(list) do seen[show(g.config[k])] = true end
      if next(seen, next(seen)) then
        for _, g in ipairs(list) do
          g.apart = (g.apart and g.apart .. ", " or "") .. ("%s=%s"):format(k, show(g.config[k]))
        end
      end
    end
  end
end

local function by_length(a, b) return #a ~= #b and #a < #b or #a == #b and a < b end

-- The usual metrics that are there; of an experiment that has none of them, its own.
local function choose_columns(groups)
  local there, own, order = {}, {}, {}
  for _, g in ipairs(groups) do
    if not own[g.experiment] then
      own[g.experiment] = {}
      order[#order + 1] = g.experiment
    end
    for _, r in pairs(g.trials) do
      for name in pairs(r.metrics) do there[name], own[g.experiment][name] = true, true end
    end
  end
  local columns, chosen = {}, {}
  local function choose(name) columns[#columns + 1], chosen[name] = name, true end
  for _, name in ipairs(USUAL) do
    if there[name] then choose(name) end
  end
  local names = sorted_keys(there)
  table.sort(names, by_length) -- ll before ell
  for _, base in ipairs(USUAL) do
    for _, name in ipairs(names) do
      if name:match("^" .. base .. "_") then choose(name) end
    end
  end
  for _, experiment in ipairs(order) do
    local any, added = false, 0
    for name in pairs(own[experiment]) do any = any or chosen[name] end
    for _, name in ipairs(any and {} or names) do
      if own[experiment][name] and added < MOST then
        choose(name)
        added = added + 1
      end
    end
  end
  return columns
end

--- The table of a list of records (results.scan), with the number of records that a newer one of the same variant and
-- seed replaces.
-- @param columns list of metric names (default: the usual ones that are there)
function M.table(records, columns)
  local groups, older = group(records)
  tell_apart(groups)
  columns = columns or choose_columns(groups)
  local experiments = {}
  for _, g in ipairs(groups) do experiments[g.experiment] = true end
  local several = next(experiments) ~= nil and next(experiments, next(experiments)) ~= nil
  local rows, before, most = {}, nil, 0
  for i, g in ipairs(groups) do
    local values, seeds = {}, sorted_keys(g.trials)
    for _, seed in ipairs(seeds) do
      for name, v in pairs(g.trials[seed].metrics) do
        values[name] = values[name] or {}
        table.insert(values[name], v)
      end
    end
    most = math.max(most, #seeds)
    local label = (several and g.experiment .. ": " or "") .. g.label .. (g.apart and " [" .. g.apart .. "]" or "")
    rows[i] = { label = label, values = values, rule = before ~= nil and before ~= g.experiment }
    before = g.experiment
  end
  local note = most > 1 and "mean ± 95% interval over seeds" or nil
  return Table.new(columns, rows, note), older
end

--- The metrics that a list of names between commas asks for, each by its name (top1_ll) or as a table calls it (top-1 LL).
local function columns_of(text, records)
  local there, called, columns = {}, {}, {}
  for _, r in ipairs(records) do
    for name in pairs(r.metrics) do there[name], called[name:lower()], called[Table.title(name):lower()] = true, name, name end
  end
  for word in text:gmatch "[^,]+" do
    word = word:match "^%s*(.-)%s*$"
    local name = there[word] and word or called[word:lower()]
    if not name then error("--columns: " .. suggest.unknown("metric", word, sorted_keys(there)), 0) end
    columns[#columns + 1] = name
  end
  if #columns == 0 then error("--columns is empty, expected metrics such as top1,top1_ll", 0) end
  return columns
end

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>dgamlua results</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.4 "DejaVu Sans", Verdana, sans-serif; margin: 2em; color: #222; background: #fff }
h1 { font-size: 1.15em }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; font-variant-numeric: tabular-nums }
th, td { padding: .35em .8em; text-align: right; white-space: nowrap; font-weight: normal }
thead th, thead td { border-bottom: 1px solid; font-weight: bold; position: sticky; top: 0; background: #fff }
tbody th { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 12em; max-width: 40em }
tr.rule > * { border-top: 1px solid }
tbody tr:hover { background: #eef4fa }
caption { caption-side: bottom; text-align: left; padding-top: .6em }
caption, .half { color: #666 }
</style></head><body>
<h1>dgamlua results</h1>
%s</body></html>
]]

--- The command.
function M.run(args)
  local parser = argparse("dgamlua results", "Table of stored trials.")
  parser:argument("filter", "only trials whose experiment or label has this in it"):args "?"
  parser:option("--folder", "where they are (default: $DGAMLUA_RESULTS, else results/)")
  parser:option("--columns", "metrics to show, separated by commas: top1_ll or 'top-1 LL'")
  parser:mutex(parser:flag("--csv", "comma-separated values"), parser:flag("--json", "JSON, with the values of every seed"),
    parser:flag("--html", "an HTML page"), parser:flag("--files", "the files, one a line"))
  local options = parser:parse(args)

  local folder = options.folder or results.folder()
  local records, problems = results.scan(folder)
  for _, problem in ipairs(problems) do io.stderr:write("dgamlua results: skipped: ", problem, "\n") end
  local kept = {}
  for _, r in ipairs(records) do
    local name = r.experiment .. " " .. r.label
    if not options.filter or name:lower():find(options.filter:lower(), 1, true) then kept[#kept + 1] = r end
  end
  if #kept == 0 then
    io.stderr:write(("dgamlua results: no stored trial in '%s'%s\n"):format(folder,
      options.filter and (" matches '%s' (%d there)"):format(options.filter, #records) or ""))
    return 1
  end
  if options.files then
    for _, r in ipairs(kept) do print(r.path) end
    return 0
  end
  local t, older = M.table(kept, options.columns and columns_of(options.columns, kept))
  if options.csv then io.stdout:write(t:csv())
  elseif options.json then io.stdout:write(t:json())
  elseif options.html then io.stdout:write(PAGE:format(t:html()))
  else t:print() end
  if older > 0 then
    io.stderr:write(("%d older trial%s of the same variant and seed not shown\n"):format(older, older == 1 and "" or "s"))
  end
  return 0
end

return M
