--- dgam.trial.index: what results.scan read from each file, so that it need not open thousands. Kept in index.json, rebuilt from
-- the files whenever one of them is not the one it was made from.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local json = require "util.json"

local index = {}

local VERSION = 1

-- Records by file name, of those that `fault` finds nothing wrong with.
local function read(folder, fault)
  local f = io.open(folder .. "/index.json", "rb")
  if not f then return {} end
  local text = f:read "a"
  f:close()
  local kept = text and json.decode(text)
  if type(kept) ~= "table" or kept.version ~= VERSION or type(kept.files) ~= "table" then return {} end
  local files = {}
  for name, entry in pairs(kept.files) do
    local record = type(entry) == "table" and entry.record
    if type(record) == "table" and type(record.metrics) == "table" and not fault(record) then files[name] = entry end
  end
  return files
end

-- JSON has no NaN: a trial with one is read from its file each time.
local function has_nan(record)
  for _, v in pairs(record.metrics) do
    if v ~= v then return true end
  end
  return false
end

local function write(folder, entries)
  local files = {}
  for name, entry in pairs(entries) do files[name] = not has_nan(entry.record) and entry or nil end
  pcall(fs.write, folder .. "/index.json", json.encode { version = VERSION, files = files }) -- not where one may only read
end

--- Every trial in a folder; see results.scan.
-- @param load function(path) -> record, or an error
-- @param fault function(record) -> what is wrong with it, or nil
function index.scan(folder, load, fault)
  local list, problems = {}, {}
  if lfs.attributes(folder, "mode") ~= "directory" then return list, problems end
  local old, new, changed = read(folder, fault), {}, false
  for name in lfs.dir(folder) do
    local st = name:match "^[^.].*%.h5$" and lfs.attributes(folder .. "/" .. name)
    if st and st.mode == "file" then
      local stamp = ("%d-%d-%d"):format(st.ino, st.size, st.modification)
      local entry = old[name]
      if not entry or entry.stamp ~= stamp then
        changed = true
        local ok, record = pcall(load, folder .. "/" .. name)
        if ok then
          record.curves, record.path = nil, nil
          entry = { stamp = stamp, record = record }
        else
          entry = nil
          problems[#problems + 1] = tostring(record)
        end
      end
      new[name] = entry
    end
  end
  for name in pairs(old) do changed = changed or not new[name] end
  if changed then write(folder, new) end
  for name, entry in pairs(new) do
    entry.record.path = folder .. "/" .. name
    list[#list + 1] = entry.record
  end
  table.sort(list, function(a, b)
    if a.created ~= b.created then return tostring(a.created) < tostring(b.created) end
    return a.path < b.path
  end)
  table.sort(problems)
  return list, problems
end

return index
