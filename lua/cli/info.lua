--- dgamlua info FILE: what is in a video, checkpoint, model or results file. Libtorch is not loaded.
local argparse = require "argparse"
local lfs = require "lfs"
local sorted_keys = require "util.keys"
local thousands = require "util.text".thousands

local M = {}

local SIZES = { uint8 = 1, int8 = 1, bool = 1, int16 = 2, float16 = 2, bfloat16 = 2, int32 = 4, float32 = 4, int64 = 8,
  float64 = 8 }

local function bytes(n)
  if n < 1024 then return ("%d bytes"):format(n) end
  local units, u = { "KB", "MB", "GB", "TB" }, 0
  repeat n, u = n / 1024, u + 1 until n < 1024 or u == #units
  return ("%.1f %s"):format(n, units[u])
end

local function shape_text(shape) return "[" .. table.concat(shape, ", ") .. "]" end

local function plural(n, what) return ("%s %s%s"):format(thousands(n), what, n == 1 and "" or "s") end

local function count(shape)
  local n = 1
  for _, d in ipairs(shape) do n = n * d end
  return n
end

-- One line of any value, cut where it gets long.
local function short(v)
  if type(v) == "table" then
    local parts = {}
    for i = 1, math.min(#v, 8) do parts[i] = short(v[i]) end
    return table.concat(parts, ", ") .. (#v > 8 and (", ... (%d)"):format(#v) or "")
  end
  local text = tostring(v):gsub("%s+", " ")
  return #text > 100 and text:sub(1, 97) .. "..." or text
end

local function field(name, value) print(("%-14s %s"):format(name, value)) end

-- Prints the first `most` tensors; counts all.
local function list_entries(entries, most)
  local values, size, wide = 0, 0, 10
  for i, e in ipairs(entries) do
    values, size = values + (SIZES[e.dtype] and count(e.shape) or 0), size + count(e.shape) * (SIZES[e.dtype] or 0)
    if i <= most then wide = math.max(wide, #e.name) end
  end
  for i = 1, math.min(#entries, most) do
    local e = entries[i]
    print(("  %-" .. wide .. "s  %-8s  %s"):format(e.name, e.dtype, shape_text(e.shape)))
  end
  if #entries > most and most > 0 then print(("  ... %d more (--all lists them)"):format(#entries - most)) end
  return values, size
end

local function info_trial(path)
  local record = require("dgam.trial.results").load(path)
  field("trial of", record.experiment)
  field("variant", record.label)
  field("seed", short(record.seed))
  field("finished", record.created)
  if record.seconds then field("took", ("%.0f s"):format(record.seconds)) end
  field("key", record.key)
  print "configuration"
  for _, k in ipairs(sorted_keys(record.config)) do print(("  %-24s %s"):format(k, short(record.config[k]))) end
  print "metrics"
  for _, k in ipairs(sorted_keys(record.metrics)) do print(("  %-24s %.6g"):format(k, record.metrics[k])) end
  for _, k in ipairs(sorted_keys(record.curves)) do
    print(("curve %s: %d values%s"):format(k, #record.curves[k],
      #record.curves[k] > 0 and (", last %.6g"):format(record.curves[k][#record.curves[k]]) or ""))
  end
end

-- A model that can be used as it is (models.file).
local function info_model(about)
  local o, input = about.options, about.input
  field("model", ("%s, backbone %s, %s classes"):format(about.architecture, short(o.backbone), #about.classes))
  field("gammas", ("%s (%s domain, %s, gate %s)"):format(short(o.gammas), short(o.domain),
    o.heads == "shared" and "one head" or "a head for each", short(o.gate)))
  local looks = ("%s clips x %s crops"):format(short(input.test_clips or 1), short(input.test_crops or 1))
  field("clips", ("%d frames, every %s, %d x %d pixels; tested with %s"):format(input.clip_len,
    input.interval == 1 and "one" or ("%dth"):format(input.interval), input.size, input.size, looks))
  field("classes", short(about.classes))
  if about.dataset then field("trained on", short(about.dataset)) end
  field("made by", ("%s, %s"):format(short(about.program), short(about.created)))
  for _, part in ipairs { "training", "metrics" } do
    local values = about[part] or {}
    if next(values) then print(part) end
    for _, k in ipairs(sorted_keys(values)) do print(("  %-24s %s"):format(k, short(values[k]))) end
  end
end

local function info_checkpoint(path, all)
  local checkpoint = require "dgam.train.checkpoint"
  local reader <close> = checkpoint.open(path, { unknown = "skip" })
  local weights, prefix = checkpoint.weights(reader)
  field("format", reader.format == "pth" and "PyTorch checkpoint" or reader.format)
  if prefix ~= "" then field("weights below", (prefix:gsub("/$", ""))) end
  local meta = reader.meta()
  local about = require("models.file").about(meta, path)
  if about then
    info_model(about)
    meta = nil
  end
  local values, size = list_entries(weights, all and #weights or about and 0 or 40)
  field("weights", ("%s, %s, %s"):format(plural(#weights, "tensor"), plural(values, "value"), bytes(size)))
  if #reader.entries > #weights then field("beside them", plural(#reader.entries - #weights, "tensor")) end
  if type(meta) ~= "table" then return end
  meta[prefix:match "^[^/]*"] = nil
  for _, k in ipairs(sorted_keys(meta)) do
    local v = meta[k]
    if type(v) == "table" and #v == 0 then
      local names = sorted_keys(v)
      for i, name in ipairs(names) do names[i] = tostring(name) end
      v = #names > 0 and "{ " .. table.concat(names, ", ") .. " }" or nil
    end
    if v ~= nil then field(tostring(k), short(v)) end
  end
end

local function info_h5(path, all)
  local h5 = require "dgam.kernels.h5"
  local file <close> = h5.open(path)
  if file:attr "experiment" and file:attr "key" then return info_trial(path) end
  if file:attr "format" == "dgamlua checkpoint" then return info_checkpoint(path, all) end
  field("format", "HDF5")
  local attributes = file:attrs()
  for _, k in ipairs(sorted_keys(attributes)) do field(k, short(attributes[k])) end
  local entries, others = {}, {}
  for _, name in ipairs(file:walk()) do
    local kind, dtype, shape = file:stat(name)
    if kind == "numbers" then entries[#entries + 1] = { name = name, dtype = dtype, shape = shape }
    else others[#others + 1] = { name = name, kind = kind == "none" and "link to nothing in this file" or kind, shape = shape } end
  end
  local values, size = list_entries(entries, all and #entries or 40)
  for _, t in ipairs(others) do print(("  %s  %s%s"):format(t.name, t.kind, t.shape and "  " .. shape_text(t.shape) or "")) end
  field("numbers", ("%s, %s, %s"):format(plural(#entries, "dataset"), plural(values, "value"), bytes(size)))
end

local function info_video(path)
  local v = require("dgam.kernels.video").info(path)
  field("format", ("video, %s, %s"):format(v.format, v.codec))
  local turned = v.rotation ~= 0 and (", turned by %g degrees"):format(v.rotation) or ""
  field("pictures", ("%d x %d%s%s"):format(v.width, v.height, turned, v.mirrored and ", mirrored" or ""))
  field("frames", ("%d%s"):format(v.frames, v.fps > 0 and (", %g a second, %.1f s"):format(v.fps, v.frames / v.fps) or ""))
  field("coded", v.intra and "every frame by itself" or "frames from one another")
end

local function info_folder(path)
  local records, problems = require("dgam.trial.results").scan(path)
  if #records == 0 and #problems == 0 then
    local lists = require "dgam.data.lists"
    for _, name in ipairs(lists.folder(path)) do
      if lists.is_picture(name) then
        field("folder", path)
        return info_video(path)
      end
    end
    error(("'%s' is a folder without results files or pictures"):format(path), 0)
  end
  field("folder", path)
  field("trials", #records)
  for _, problem in ipairs(problems) do print("unreadable: " .. problem) end
  if #records > 0 then require("cli.results").table(records):print() end
end

--- The command.
function M.run(args)
  local parser = argparse("dgamlua info", "Say what is in a video or folder of pictures, a checkpoint (.pth, .safetensors, "
    .. ".h5), a results file or folder.")
  parser:argument("file", "file or folder")
  parser:flag("--all", "list every tensor")
  local options = parser:parse(args)
  local path = options.file
  local mode = lfs.attributes(path, "mode")
  if not mode then error(("cannot open '%s': there is no such file"):format(path), 0) end
  if mode == "directory" then
    info_folder(path)
    return 0
  end
  local size = lfs.attributes(path, "size")
  field("file", ("%s, %s"):format(path, bytes(size)))
  if size == 0 then error(("'%s' is empty"):format(path), 0) end
  local f <close> = assert(io.open(path, "rb"))
  local head = f:read(9) or ""
  local ending = (path:match "%.([^./]+)$" or ""):lower()
  local known = { pth = true, pt = true, safetensors = true }
  if head:sub(1, 8) == "\x89HDF\r\n\x1a\n" or ending == "h5" or ending == "hdf5" then info_h5(path, options.all)
  elseif known[ending] or head:sub(1, 4) == "PK\3\4" or head:sub(1, 2) == "\x80\2" or head:sub(9, 9) == "{" then
    info_checkpoint(path, options.all)
  else info_video(path) end
  return 0
end

return M
