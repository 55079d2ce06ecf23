--- dgam.data.check: reads every file of a dataset to its end and says what is wrong with it.
--
-- All cores decode. What was found is appended to a state file at once, so a check that was stopped, or killed, goes on, and
-- a file is read again only when its size or time has changed, or when it could not be read.
local lfs = require "lfs"
local lists = require "dgam.data.lists"
local progress = require "dgam.show.progress"
local csv = require "util.csv"
local check = require "util.check"
local video = require "dgam.kernels.video"

local M = {}

local function quoted(text) return csv.quoted((tostring(text):gsub("[\r\n]+", " "))) end -- a record is a line

-- path, size, time, frames, width, height, content, error, damage. Lines of older versions, without damage, are not taken
local function line_of(r)
  return table.concat({ quoted(r.path), r.size, r.time, r.frames, r.width, r.height, r.content, quoted(r.error),
    quoted(r.damage) }, ",") .. "\n"
end

--- Opens the state file to append to. A line that a kill cut off is ended, so that it stays alone.
local function open_state(path)
  local f, why = io.open(path, "a+b")
  if not f then error(("cannot write what is found: %s"):format(why), 0) end
  f:setvbuf "line" -- a kill costs no record that is known
  local size = f:seek "end"
  if size > 0 then
    f:seek("set", size - 1)
    if f:read(1) ~= "\n" then f:write "\n" end
  end
  return f
end

--- What an earlier check found: path -> record. A line that was cut off by a kill is left out.
local function read_state(path)
  local known = {}
  if not lfs.attributes(path, "mode") then return known end
  for line in lists.slurp(path):gmatch "([^\n]*)\n" do
    local name, rest = line:match '^"(.*)",(%d+,%-?%d+,%d+,%d+,%d+,%x*,".*",".*")$'
    if name then
      local size, time, frames, w, h, content, why, damage =
        rest:match '^(%d+),(%-?%d+),(%d+),(%d+),(%d+),(%x*),"(.*)","(.*)"$'
      name = name:gsub('""', '"')
      known[name] = { path = name, size = tonumber(size), time = tonumber(time), frames = tonumber(frames), width = tonumber(w),
        height = tonumber(h), content = content, error = why:gsub('""', '"'), damage = damage }
    end
  end
  return known
end

--- Size and time of change of a file; of a folder of pictures the sum and the latest of its files. Zeros if there is none.
local function stamp_of(path)
  local a = lfs.attributes(path) or { size = 0, modification = 0 }
  if a.mode ~= "directory" then return a.size, a.modification end
  local size, time = 0, a.modification
  local ok, names = pcall(lists.folder, path) -- one that cannot be read is told by the decoder
  for _, name in ipairs(ok and names or {}) do
    local file = lfs.attributes(path .. "/" .. name) or { size = 0, modification = 0 }
    size, time = size + file.size, math.max(time, file.modification)
  end
  return size, time
end

--- Decodes what is not known yet; returns path -> record.
local function read_all(dataset, o)
  local known = o.state and read_state(o.state) or {}
  local todo, records, stamps = {}, {}, {}
  for _, item in ipairs(dataset.items) do
    local path = item.path
    if not records[path] then
      local size, time = stamp_of(path)
      local r = known[path]
      if r and r.size == size and r.time == time and r.error == "" then -- what failed may be mended: a disk, a permission
        records[path] = r
      else
        records[path], stamps[path] = {}, { size = size, time = time }
        todo[#todo + 1] = path
      end
    end
  end
  local file <close> = o.state and open_state(o.state) or nil
  local bar = o.bar or progress.new("checking " .. dataset.name, #todo)
  local pool <close> = video.pool(o.threads, o.limits)
  local sent = 0
  for done = 1, #todo do
    while sent < #todo and sent < done + 64 * o.threads do -- a count holds no memory, and one long file must not stop the others
      sent = sent + 1
      pool:submit(todo[sent])
    end
    local path = todo[done]
    local info, why = pool:next()
    info = info or { frames = 0, width = 0, height = 0 }
    local r = { path = path, size = stamps[path].size, time = stamps[path].time, frames = info.frames, width = info.width,
      height = info.height, content = info.content or "", error = why or "", damage = info.damage or "" }
    records[path] = r
    if file then
      local ok, reason = file:write(line_of(r))
      if not ok then error(("cannot write to %s: %s"):format(o.state, reason), 0) end
    end
    bar:advance(1, nil, 1)
  end
  bar:finish()
  return records
end

--- The part of a path that the dataset chose: below its roots, so that where these lie and how they were typed does not count. Of a
-- file elsewhere its own folder and name.
local function below(roots, path)
  for _, root in ipairs(roots) do
    if root == "" and path:sub(1, 1) ~= "/" then return path end
    if root ~= "" and path:sub(1, #root + 1) == root .. "/" then return path:sub(#root + 2) end
  end
  return path:match "[^/]*/[^/]*$" or path
end

--- Another class's name as a folder below the roots, if its own is not there.
local function other_class(dataset, roots, item)
  local own, other = dataset.classes[item.label]:lower(), nil
  for part in below(roots, item.path):gmatch "[^/]+" do
    if part:lower() == own then return nil end
    if dataset.classes.index[part] then other = part end
  end
  return other
end

--- The first of some clips with the same pictures that must not be there beside `item`: one of the same split, or of one that
-- may not overlap with it.
local function clash(dataset, before, item)
  for _, other in ipairs(before) do
    if other.split == item.split or not dataset:may_overlap(other.split, item.split) then return other end
  end
end

local SPLIT_RANK = { test = 1, val = 2, train = 3 }

--- Checks a dataset.
-- @param options threads = 2, state = file to go on from, min_frames = 1 (fewer is "short"), out = folder for clean
--   lists (none are written if nothing is clean), limits (of dgam.video.open), bar
-- @return report: { clips, unreadable, damaged, short, long (more frames than the list says), duplicate, leak, mislabelled (lists of
--   { item, message }), clean (dataset) }.
--   A duplicate is a clip whose coded pictures are those of another in the same split, a leak of one in another split that
--   may not overlap with it: the test list keeps it, else the val list. Clean leaves out unreadable and damaged clips, duplicates,
--   leaks, and clips that splits which may overlap give two labels, all of them.
function M.run(dataset, options)
  check.names("check", options or {}, { "threads", "state", "min_frames", "out", "limits", "bar" })
  local o = check.filled(options, { threads = 2, min_frames = 1 })
  check.fields("check", o, { threads = check.whole(1, video.max_threads), min_frames = check.whole(0) })
  local records = read_all(dataset, o)
  local report = { clips = #dataset.items, unreadable = {}, damaged = {}, short = {}, long = {}, duplicate = {},
    leak = {}, mislabelled = {} }
  local function tell(kind, item, message, ...)
    table.insert(report[kind], { item = item, message = ("%s: %s"):format(item.path, message:format(...)) })
  end
  local order = {}
  for i, item in ipairs(dataset.items) do order[i] = { item, SPLIT_RANK[item.split] or 4, i } end
  table.sort(order, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[3] < b[3]) end)
  local of_content, bad, roots = {}, {}, dataset.roots
  for _, entry in ipairs(order) do
    local item = entry[1]
    local r = records[item.path]
    local other = other_class(dataset, roots, item)
    if other then tell("mislabelled", item, "labelled '%s', but in a folder named '%s'", dataset.classes[item.label], other) end
    if r.error ~= "" then
      bad[item] = true
      table.insert(report.unreadable, { item = item, message = r.error })
    elseif r.damage ~= "" then
      bad[item] = true
      tell("damaged", item, "%s", r.damage)
    else
      if r.frames < o.min_frames then tell("short", item, "%d frames, expected %d or more", r.frames, o.min_frames) end
      if math.type(item.frames) == "integer" and r.frames ~= item.frames then
        tell(r.frames < item.frames and "short" or "long", item, "%d frames, the list says %d", r.frames, item.frames)
      end
      local same = of_content[r.content] or {}
      of_content[r.content] = same
      local before = clash(dataset, same, item)
      if before then
        bad[item] = true
        if before.split ~= item.split then
          tell("leak", item, "in '%s', the same pictures as %s in '%s'", tostring(item.split), before.path, tostring(before.split))
        else
          tell("duplicate", item, "the same pictures as %s", before.path)
        end
      end
      before = before or same[1]
      if before and before.label ~= item.label then
        tell("mislabelled", item, "labelled '%s', but %s, the same pictures, '%s'", dataset.classes[item.label], before.path,
          dataset.classes[before.label])
      end
      if not bad[item] then table.insert(same, item) end
    end
  end
  for _, same in pairs(of_content) do -- which label is right nobody knows
    local two = false
    for _, item in ipairs(same) do two = two or item.label ~= same[1].label end
    for _, item in ipairs(two and same or {}) do bad[item] = true end
  end
  local items = {}
  for _, item in ipairs(dataset.items) do
    if not bad[item] then items[#items + 1] = item end
  end
  report.clean = setmetatable({}, getmetatable(dataset))
  for k, v in pairs(dataset) do report.clean[k] = v end
  report.clean.items = items
  if o.out and #items > 0 then report.clean:save_lists(o.out) end -- a list without a clip cannot be opened
  return report
end

return M
