--- dgamlua data show|check|deal DATASET: looks at a dataset, checks its files, deals its clips to splits.
local argparse = require "argparse"
local check = require "util.check"
local suggest = require "util.suggest"
local sorted = require "util.keys"

local M = {}

-- key=value words as options.
local function options_of(words)
  local options = {}
  for _, word in ipairs(words) do
    local key, value = word:match "^([%w_]+)=(.*)$"
    if not key then error(("'%s' is not an option of the form key=value"):format(word), 0) end
    options[key] = require "dgam.data".value(key, value)
  end
  return options
end

local function max_threads() return require "dgam.kernels.video".max_threads end -- loads FFmpeg

local function thread_count() return check.whole(1, max_threads()) end

local function open(args)
  return require "dgam.data".open(args.dataset, options_of(args.options))
end

local COMMANDS = {}

function COMMANDS.show(args)
  local d = open(args)
  print(d)
  local per = {}
  for _, item in ipairs(d.items) do
    local row = per[item.label] or {}
    per[item.label], row[item.split or "all"] = row, (row[item.split or "all"] or 0) + 1
  end
  local splits = d:splits()
  if #splits == 0 then splits = { "all" } end
  print(("%4s %-24s %s"):format("", "class", table.concat(splits, "  ")))
  for label, name in ipairs(d.classes) do
    local cells = {}
    for i, s in ipairs(splits) do cells[i] = (("%%%dd"):format(#s)):format((per[label] or {})[s] or 0) end
    print(("%4d %-24s %s"):format(label, name, table.concat(cells, "  ")))
  end
  for _, field in ipairs { "light", "camera", "location", "actor" } do
    local counts, parts = d:count(field), {}
    for _, k in ipairs(sorted(counts)) do parts[#parts + 1] = ("%s %d"):format(k, counts[k]) end
    if #parts > 0 then print(("%s: %s"):format(field, table.concat(parts, ", "))) end
  end
  return 0
end

--- $DGAMLUA_CACHE/check/NAME-FINGERPRINT.csv
local function default_state(d)
  local paths = require "util.paths"
  local folder = paths.make_folder(paths.cache() .. "/check")
  return ("%s/%s-%s.csv"):format(folder, d.name:gsub("[^%w%-]", "_"), d:fingerprint(true))
end

function COMMANDS.check(args)
  local d = open(args)
  local threads = args.threads or math.min(tonumber((io.popen "nproc":read "l")) or 2, max_threads())
  local report = require "dgam.data.check".run(d, { threads = threads, state = args.state or default_state(d),
    min_frames = args.min_frames, out = args.out, limits = { seconds = args.seconds } })
  local wrong = 0
  for _, kind in ipairs { "unreadable", "damaged", "short", "long", "duplicate", "leak", "mislabelled" } do
    for i, problem in ipairs(report[kind]) do
      if i > args.most then
        print(("%-12s ... and %d more"):format(kind, #report[kind] - args.most))
        break
      end
      print(("%-12s %s"):format(kind, problem.message))
    end
    if kind ~= "short" and kind ~= "long" then wrong = wrong + #report[kind] end
  end
  local summary = "%d clips: %d unreadable, %d damaged, %d short, %d longer than listed, %d duplicates, %d leaks between splits, "
    .. "%d mislabelled; %d clean"
  print(summary:format(report.clips, #report.unreadable, #report.damaged, #report.short, #report.long, #report.duplicate, #report.leak,
    #report.mislabelled, #report.clean.items))
  if args.out and #report.clean.items == 0 then
    print(("nothing is clean, so no lists were written to %s"):format(args.out))
  elseif args.out then
    print(("clean lists are in %s; open them as %s/dataset.lua"):format(args.out, args.out))
  end
  return wrong > 0 and 1 or 0
end

function COMMANDS.deal(args)
  local d = open(args):deal { test = args.test, val = args.val, seed = args.seed, group = args.group, from = args.from }
  d:save_lists(args.out)
  print(d)
  print(("lists are in %s; open them as %s/dataset.lua"):format(args.out, args.out))
  return 0
end

function M.run(args)
  local parser = argparse("dgamlua data", "Look at a dataset, check its files, deal its clips to splits.")
  parser:command_target "command"
  local function command(name, what)
    local c = parser:command(name, what)
    c:argument("dataset", "description (data/ellar.lua), folder of class folders")
    c:argument("options", "what the description lets one choose, key=value; root=FOLDER"):args "*"
    return c
  end
  command("show", "counts by class, split, light, camera ...; generates the built-in dataset")
  local c = command("check", "read every file; exit status 1 if something is wrong")
  c:option("--threads", "decoding threads (all cores)"):convert(check.argument("--threads", thread_count))
  c:option("--state", "file that remembers what was read (in the cache folder)")
  c:option("--min-frames", "fewer frames count as short"):convert(check.argument("--min-frames", check.whole(0))):default "1"
  c:option("--out", "folder for lists without what is wrong")
  c:option("--seconds", "give a file up when no frame came out for so long (60)")
    :convert(check.argument("--seconds", check.positive))
  c:option("--most", "lines of a kind"):convert(check.argument("--most", check.whole(0))):default "20"
  c = command("deal", "make train, val and test lists for a dataset that has none")
  c:option("--out", "folder for the lists"):count(1)
  c:option("--test", "share of the test list"):convert(check.argument("--test", check.number(0, 1))):default "0.2"
  c:option("--val", "share of the val list"):convert(check.argument("--val", check.number(0, 1))):default "0.08"
  c:option("--seed", "seed"):convert(check.argument("--seed", check.whole())):default "1"
  c:option("--group", "field whose values stay together, e.g. actor")
  c:option("--from", "deal only the clips of this split")
  local options = parser:parse(args)
  local run = COMMANDS[options.command]
  if not run then error(suggest.unknown("command", tostring(options.command), sorted(COMMANDS)), 0) end
  return run(options)
end

return M
