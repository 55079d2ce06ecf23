--- dgamlua results [FILTER]: the stored trials as a table: mean and 95% interval over seeds.
local argparse = require "argparse"
local results = require "dgam.results"
local Table = require "dgam.table"
local sorted_keys = require "dgam.keys"

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

local function choose_columns(groups)
  local there = {}
  for _, g in ipairs(groups) do
    for _, r in pairs(g.trials) do
      for name in pairs(r.metrics) do there[name] = true end
    end
  end
  local columns = {}
  for _, name in ipairs(USUAL) do
    if there[name] then columns[#columns + 1] = name end
  end
  local names = sorted_keys(there)
  table.sort(names, by_length) -- ll before ell
  for _, base in ipairs(USUAL) do
    for _, name in ipairs(names) do
      if name:match("^" .. base .. "_") then columns[#columns + 1] = name end
    end
  end
  if #columns > 0 then return columns end
  columns = sorted_keys(there)
  return table.move(columns, 1, math.min(#columns, MOST), 1, {})
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

local PAGE = [[
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>dgamlua results</title>
<style>body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:right;
border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}</style></head><body>
%s</body></html>
]]

--- The command.
function M.run(args)
  local parser = argparse("dgamlua results", "Table of stored trials.")
  parser:argument("filter", "only trials whose experiment or label has this in it"):args "?"
  parser:option("--folder", "where they are (default: $DGAMLUA_RESULTS, else results/)")
  parser:option("--columns", "metrics to show, separated by commas")
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
  local columns
  if options.columns then
    columns = {}
    for name in options.columns:gmatch "[^,%s]+" do columns[#columns + 1] = name end
  end
  local t, older = M.table(kept, columns)
  if options.csv then io.stdout:write(t:csv())
  elseif options.json then io.stdout:write(t:json())
  elseif options.html then io.stdout:write(PAGE:format((t:html():gsub("%%", "%%%%"))))
  else t:print() end
  if older > 0 then
    io.stderr:write(("%d older trial%s of the same variant and seed not shown\n"):format(older, older == 1 and "" or "s"))
  end
  return 0
end

return M
