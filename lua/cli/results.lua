--- dgamlua results [FILTER]: stored trials as a table, page or charts.
local argparse = require "argparse"
local csv = require "util.csv"
local json = require "util.json"
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
    local key = json.encode { r.experiment, r.label, config }
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
    rows[i] = { label = label, values = values, rule = before ~= nil and before ~= g.experiment, seeds = #seeds, experiment = g.experiment }
    before = g.experiment
  end
  local note = most > 1 and "mean ± 95% interval over seeds" or nil
  if most == 2 then note = note .. "; two seeds: one degree of freedom, 12.7 times the standard error" end
  return Table.new(columns, rows, note), older, groups
end

-- Says of every row that has fewer seeds than another.
local function mark_few(t)
  local most = 0
  for _, row in ipairs(t.rows) do most = math.max(most, row.seeds) end
  for _, row in ipairs(t.rows) do
    if row.seeds < most then row.label = ("%s (%d of %d seeds)"):format(row.label, row.seeds, most) end
  end
  return t
end

-- Groups by experiment, in order: { { experiment =, groups = { ... } }, ... }
local function by_experiment(groups)
  local list, of = {}, {}
  for _, g in ipairs(groups) do
    if not of[g.experiment] then
      of[g.experiment] = { experiment = g.experiment, groups = {} }
      list[#list + 1] = of[g.experiment]
    end
    table.insert(of[g.experiment].groups, g)
  end
  return list
end

-- The records of a variant's seeds with their curves.
local function loaded(g)
  local records = {}
  for i, seed in ipairs(sorted_keys(g.trials)) do records[i] = results.load(g.trials[seed].path) end
  return { label = g.label .. (g.apart and " [" .. g.apart .. "]" or ""), records = records }
end

-- Charts of every experiment below `folder`; prints where they are.
local function draw(groups, folder)
  require("util.paths").make_folder(folder)
  local plots = require "cli.results_plots"
  local files = {}
  for _, e in ipairs(by_experiment(groups)) do
    local variants = {}
    for i, g in ipairs(e.groups) do variants[i] = loaded(g) end
    for _, file in ipairs(plots.draw(variants, ("%s/%s"):format(folder, e.experiment))) do files[#files + 1] = file end
  end
  if #files == 0 then error("these trials stored no curves and no scores, so there is nothing to draw", 0) end
  for _, file in ipairs(files) do print(file .. ".svg") end
  print "(and the same as .png)"
end

-- The page as text, for a folder `base` that it is to lie in. Charts go in as SVG, so that it is one file.
local function page_of(kept, columns, base)
  local page, sections = require "cli.results_page", {}
  local experiments = {}
  for _, r in ipairs(kept) do
    if not experiments[r.experiment] then
      experiments[r.experiment] = {}
      experiments[#experiments + 1] = r.experiment
    end
    table.insert(experiments[r.experiment], r)
  end
  for i, name in ipairs(experiments) do
    local t, _, groups = M.table(experiments[name], columns)
    local section = { experiment = name, table = t, trials = {}, charts = {} }
    local temporary = os.tmpname()
    local first = t.columns[1]
    if first and #t.rows > 1 then
      section.charts[1] = t:chart(temporary, { columns = { first }, ylabel = Table.title(first) })
    end
    for _, g in ipairs(groups) do
      for _, seed in ipairs(sorted_keys(g.trials)) do
        local r = results.load(g.trials[seed].path)
        if r.model and not require("lfs").attributes(r.model, "mode") then r.model = nil end
        table.insert(section.trials, r)
      end
    end
    for k, svg in ipairs(section.charts) do
      local f <close> = assert(io.open(svg, "rb"))
      section.charts[k] = f:read "a"
    end
    for _, ending in ipairs { "", ".svg", ".png" } do os.remove(temporary .. ending) end
    sections[i] = section
  end
  return page.html(sections, base, ("%d trial%s of %d experiment%s"):format(#kept, #kept == 1 and "" or "s", #experiments,
    #experiments == 1 and "" or "s"))
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

-- --- for other programs: every trial by itself, with its configuration ---

local function as_json(records)
  local out = {}
  for i, r in ipairs(records) do
    out[i] = { experiment = r.experiment, variant = r.label, seed = r.seed, metrics = r.metrics, configuration = r.config,
      created = r.created,
      seconds = r.seconds, skipped = r.skipped, key = r.key, file = r.path, model = r.model, about = r.about }
  end
  return json.encode(out) .. "\n"
end

local function as_csv(records)
  local metrics, settings = {}, {}
  for _, r in ipairs(records) do
    for name in pairs(r.metrics) do metrics[name] = true end
    for name in pairs(r.config) do settings[name] = true end
  end
  metrics, settings = sorted_keys(metrics), sorted_keys(settings)
  local head = { "experiment", "variant", "seed", table.unpack(metrics) }
  for _, name in ipairs(settings) do head[#head + 1] = "config." .. name end
  local tail = { "created", "seconds", "commit", "cpu", "libraries", "program", "key", "path" }
  local lines = { csv.row(table.move(tail, 1, #tail, #head + 1, head)) }
  for _, r in ipairs(records) do
    local row, n = { r.experiment, r.label, r.seed }, 3
    local function add(v) n, row[n + 1] = n + 1, v end
    for _, name in ipairs(metrics) do add(r.metrics[name]) end
    for _, name in ipairs(settings) do add(r.config[name] ~= nil and show(r.config[name]) or nil) end
    local about = r.about or {}
    for _, name in ipairs(tail) do add(r[name] ~= nil and r[name] or about[name]) end
    lines[#lines + 1] = csv.row(row, n)
  end
  return table.concat(lines)
end

--- The command.
function M.run(args)
  local parser = argparse("dgamlua results", "Table of stored trials.")
  parser:argument("filter", "only trials whose experiment or label has this in it"):args "?"
  parser:option("--folder", "where they are (default: $DGAMLUA_RESULTS, else results/)")
  parser:option("--columns", "metrics to show, separated by commas: top1_ll or 'top-1 LL'")
  parser:mutex(parser:flag("--csv", "comma-separated values"), parser:flag("--json", "JSON, with the values of every seed"),
    parser:option("--html", "a page with charts, a table to sort and filter, and every trial; to FILE or standard output")
      :argname "FILE":args "?",
    parser:option("--plot", "charts: learning curves, confusion, accuracy by class, use of experts"):argname "FOLDER",
    parser:flag("--files", "the files, one a line"))
  parser:flag("--trials", "with --csv or --json: every trial by itself, with its settings, seed, commit, processor and versions")
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
  local columns = options.columns and columns_of(options.columns, kept)
  if options.html then
    local path = options.html[1]
    local text = page_of(kept, columns, path and path:match "^(.*)/[^/]*$" or ".")
    if path then require("dgamnative.fs").write(path, text) else io.stdout:write(text) end
    return 0
  end
  local t, older, groups = M.table(kept, columns)
  if options.plot then
    draw(groups, options.plot)
    return 0
  elseif options.csv then io.stdout:write(options.trials and as_csv(kept) or t:csv())
  elseif options.json then io.stdout:write(options.trials and as_json(kept) or t:json())
  else mark_few(t):print() end
  if older > 0 then
    io.stderr:write(("%d older trial%s of the same variant and seed not shown\n"):format(older, older == 1 and "" or "s"))
  end
  return 0
end

return M
