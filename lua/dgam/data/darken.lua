--- dgam.darken: makes a well-lit video dark, as a cheap camera would have filmed it.
--
--     local darken = require("dgam").darken
--     darken.file("bright.mp4", "dark.avi", { camera = "brio", lux = 0.1 })
--     local done = darken.tree("videos", "dark", { camera = "c920", light = "ELL" })   -- folder tree and names are kept
--
-- Each frame: decode, undo sRGB, average blocks of pixels (drops the source's own noise), average neighbouring frames over the
-- exposure (motion blur), the camera of dgam.camera at that resolution, encode as MJPEG at the camera's quality. The
-- number of frames and the frame rate stay, sound is dropped. What was used is written beside each clip, as NAME.camera.txt.
--
-- Options:
--   camera      "brio", "arducam", "c920"                                                   "brio"
--   lux         illuminance of the scene                                                    drawn from `light`
--   light       "LL", "ELL", "arid", "dark48", "bright": range of lux and exposure target   "ELL"
--   scale       source pixels a side that become one, 2 or more                             2
--   jitter      camera units differ by up to this factor                                    1
--   model, stages   as in dgam.camera; stages.jpeg = false: quality 100
--   seed        noise depends on it and on the name of the file                             0
--   seconds     without a frame after which a file is given up                              60
--   overwrite   true: files that exist are made again                                       false
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local lists = require "dgam.data.lists"
local camera = require "dgam.kernels.camera"
local progress = require "dgam.show.progress"
local rng = require "dgam.kernels.rng"
local check = require "util.check"
local suggest = require "util.suggest"
local video = require "dgam.kernels.video"
local paths = require "util.paths"
local where = require "dgamnative.sys".where

local darken = {}

darken.options = { "camera", "lux", "light", "scale", "jitter", "model", "stages", "seed", "seconds", "overwrite" }

local NOT_ASKED = { seconds = true, overwrite = true } -- the video is the same with them

local SUBFRAMES = 5 -- moments averaged over the exposure
local METERED = 8   -- frames that the exposure control looks at
local AT_ONCE = 1 << 24 -- bytes of pixels that are turned into light together, a frame at least
local CAN_HOLD_MJPEG = { avi = true, mkv = true, mov = true, mp4 = true }

-- A message without the line of the script, of what has nothing to do with it.
local function without_place(message)
  local place = where()
  message = tostring(message)
  return message:sub(1, #place) == place and message:sub(#place + 1) or message
end

local function extension(path) return (path:match "%.([^./]+)$" or ""):lower() end

local LIGHT = {} -- of the sRGB values 0 to 255
for value = 0, 255 do
  local v = value / 255
  LIGHT[value + 1] = v <= 0.04045 and v / 12.92 or ((v + 0.055) / 1.055) ^ 2.4
end

local light_of_value -- LIGHT as a tensor

--- Light of 8-bit sRGB pixels, averaged over blocks: uint8 [T,3,H,W] -> float [T,3,H/scale,W/scale], 1 = white.
function darken.light(frames, scale)
  local torch = require "torch"
  light_of_value = light_of_value or torch.tensor(LIGHT, { dtype = "float32" })
  local light = light_of_value:index_select(1, frames:flatten():int():add_(1)):view(frames.shape)
  return torch.avg_pool2d(light, { scale, scale })
end

--- A reader of light by frame number: read(n, first) -> float [3,H,W]. No frame before `first` will be asked for again.
local function reader(v, count, scale)
  local kept, from, info = {}, 1, v:info()
  local together = math.max(1, math.min(8, AT_ONCE // (3 * info.width * info.height)))
  return function(n, first)
    n = math.min(n, count)
    if not kept[n] then
      local last = math.min(count, n + together - 1)
      local light = darken.light(v:frames(n, last), scale)
      for k = n, last do kept[k] = light:select(1, k - n + 1) end
    end
    while from < first do
      kept[from] = nil
      from = from + 1
    end
    return kept[n]
  end
end

--- The mean over an exposure that begins at frame n and lasts `frames` frames, straight lines between frames.
local function blend(read, n, frames)
  local weight = {}
  for k = 1, SUBFRAMES do
    local at = (k - 0.5) / SUBFRAMES * frames
    local i, a = math.floor(at), at % 1
    weight[i] = (weight[i] or 0) + (1 - a) / SUBFRAMES
    weight[i + 1] = (weight[i + 1] or 0) + a / SUBFRAMES
  end
  local sum
  for i = 0, math.floor(frames) + 1 do
    if (weight[i] or 0) > 0 then
      local part = read(n + i, n) * weight[i]
      sum = sum and sum + part or part
    end
  end
  return sum:contiguous()
end

--- Mean light of red, green and blue, over frames from all of the video, one after the other: large ones are heavy.
local function meter(v, count, scale)
  local n, sum = math.min(METERED, count), 0
  for k = 1, n do
    local at = 1 + (k - 1) * count // n
    sum = darken.light(v:frames(at, at), scale):mean({ 1, 3, 4 }) / n + sum
  end
  return sum:totable()
end

local function complete(options)
  local o = check.names("darken", options or {}, darken.options)
  o = setmetatable({}, { __index = o })
  local preset = camera.preset[o.light or "ELL"]
  if not preset then error("darken: " .. suggest.unknown("light", tostring(o.light), { "LL", "ELL", "arid", "dark48", "bright" }), 0) end
  o.scale = check.option("darken", "scale", o.scale or 2, check.whole(2), false)
  check.option("darken", "lux", o.lux, check.optional(check.number(0, 1e6)), false)
  check.option("darken", "seconds", o.seconds, check.optional(check.positive), false)
  if not camera.model[o.camera or "brio"] then
    error("darken: " .. suggest.unknown("camera", tostring(o.camera), { "brio", "arducam", "c920" }), 0)
  end
  local stages = o.stages or {}
  if type(stages) ~= "table" then error(("darken: stages is %s, expected a table"):format(tostring(stages)), 0) end
  o.stages, o.jpeg = {}, true
  for k, on in pairs(stages) do
    if k == "jpeg" then o.jpeg = on else o.stages[k] = on end
  end
  local ok, c = pcall(camera.new, { width = 8, height = 8, camera = o.camera, model = o.model, stages = o.stages,
    jitter = o.jitter, seed = o.seed })
  if not ok then error("darken: " .. without_place(c), 0) end
  c:close()
  return o, preset
end

--- Lines `key = value`, sorted.
local function describe(t)
  local lines = {}
  for k, v in pairs(t) do
    if type(v) == "table" then
      local parts = {}
      for i, x in ipairs(v) do parts[i] = ("%.6g"):format(x) end
      v = table.concat(parts, " ")
    end
    lines[#lines + 1] = ("%s = %s"):format(k, type(v) == "number" and ("%.9g"):format(v) or tostring(v))
  end
  table.sort(lines)
  return table.concat(lines, "\n") .. "\n"
end

-- What was asked for, in one line: two videos of which it differs were not made alike.
local function asked(o)
  local parts = {}
  for _, k in ipairs(darken.options) do
    local v = o[k]
    if k == "stages" then v = next(v) and v or nil end
    if v ~= nil and not NOT_ASKED[k] then
      parts[#parts + 1] = k .. "=" .. (type(v) == "table" and describe(v):gsub("%s+", " ") or tostring(v))
    end
  end
  if not o.jpeg then parts[#parts + 1] = "jpeg=false" end
  return table.concat(parts, " ")
end

-- A video that is kept must be one that would be made: its record, if it has one, says what was asked for then.
local function check_kept(path, want)
  local f <close> = io.open(path .. ".camera.txt", "rb")
  local had = f and ("\n" .. f:read "a"):match "\nasked = ([^\n]*)"
  if had and had ~= want then
    error(("%s was made with %s, not %s; expected another folder, or overwrite"):format(path, had, want), 0)
  end
end

-- The same text for paths that lead to one file or folder; nil if there is none.
local function identity(path)
  local a = lfs.attributes(path)
  return a and ("%s:%s"):format(a.dev, a.ino)
end

--- Whether two paths lead to one file or folder; false if one of them does not exist.
local function same(a, b)
  a, b = identity(a), identity(b)
  return a ~= nil and a == b
end

-- Removes what processes that are gone left of videos they were writing: NAME.PID-N.part, for the keys NAME of `ours`.
local function remove_parts(folder, ours)
  for _, entry in ipairs(lists.folder(folder)) do
    local name, pid = entry:match "^(.+)%.(%d+)%-%d+%.part$"
    if ours[name] and not lfs.attributes("/proc/" .. pid) then os.remove(folder .. "/" .. entry) end
  end
end

local function film(input, output, o, preset, name)
  if same(input, output) then error(("%s is input and output at once"):format(input), 0) end
  local v <close> = video.open(input, { seconds = o.seconds })
  local info, count = v:info(), v:count()
  if count < 1 then error(("%s has no frame"):format(input), 0) end
  local width, height = info.width // o.scale, info.height // o.scale
  if width < 8 or height < 8 then
    error(("%s is %d x %d: a %d-th of that is less than the 8 x 8 that the camera needs"):format(input, info.width, info.height,
      o.scale), 0)
  end
  local stream = tonumber(fs.sha256(name):sub(1, 15), 16)
  local lux = o.lux
  if not lux then lux = preset.lux[1] + rng.new(o.seed or 0, stream):uniform() * (preset.lux[2] - preset.lux[1]) end
  local c <close>, how = camera.new { width = width, height = height, camera = o.camera, model = o.model, stages = o.stages,
    jitter = o.jitter, lux = lux, target = preset.target, mean = meter(v, count, o.scale), seed = o.seed, stream = stream }
  local fps = info.fps > 0 and info.fps or 30
  local read = reader(v, count, o.scale)
  local e <close> = video.encoder(output, { width = width, height = height, fps = fps,
    quality = o.jpeg and math.tointeger(how.quality) or 100 })
  local luma = 0
  for n = 1, count do
    local frame = c:frame(blend(read, n, how.time * fps))
    local mean = frame:float():mean({ 2, 3 }):totable()
    luma = luma + (0.299 * mean[1] + 0.587 * mean[2] + 0.114 * mean[3]) / count
    e:write(frame)
  end
  how.camera, how.light, how.scale, how.seed, how.source = o.camera or "brio", o.light or "ELL", o.scale, o.seed or 0, name
  how.frames, how.width, how.height, how.fps, how.luma, how.asked = count, width, height, fps, luma, asked(o)
  local beside = output .. ".camera.txt"
  fs.write(beside, describe(how)) -- first, so that no video is without it
  local ok, why = pcall(e.finish, e)
  if not ok then
    os.remove(beside)
    error(why, 0)
  end
  return how
end

--- Darkens one file.
-- @param input any video; output: .avi, .mkv, .mov or .mp4
-- @return what was used: lux, time (s), gain, sensitivity, read ... and frames, width, height, fps, luma (mean of the result);
--   nil if the output exists and overwrite is not set
-- Errors: options out of range; a file that cannot be read or written. The output is whole or absent.
function darken.file(input, output, options)
  local o, preset = complete(options)
  if not CAN_HOLD_MJPEG[extension(output)] then
    error(("%s: the ending is '%s', expected .avi, .mkv, .mov or .mp4"):format(output, extension(output)), 0)
  end
  if not lfs.attributes(input) then error(("%s does not exist"):format(input), 0) end
  local folder = output:match "^.*/" or "."
  if lfs.attributes(folder, "mode") == "directory" then remove_parts(folder, { [output:match "[^/]*$"] = true }) end
  if lfs.attributes(output) and not o.overwrite and not same(input, output) then return nil end
  return film(input, output, o, preset, input:match "([^/]+)/*$")
end

--- Whether `input` is one video, to be darkened into `output` by darken.file: a file, or a folder of pictures (which holds no
-- other video) where `output` is called like a video.
function darken.is_file(input, output)
  if lfs.attributes(input, "mode") ~= "directory" then return true end
  if not lists.is_video(output) or lfs.attributes(output, "mode") == "directory" then return false end
  local pictures = false
  for _, name in ipairs(lists.folder(input)) do
    if lists.is_video(name) and not same(input .. "/" .. name, output) then return false end
    pictures = pictures or lists.is_picture(name)
  end
  return pictures
end

--- Names of the dark videos: those of the bright ones, with .avi where the ending cannot hold MJPEG. It is put behind the whole
-- name of a folder of pictures, and of a video that would share its name with another; a name still shared is an error.
local function targets_of(list)
  local short, sharing, out, from = {}, {}, {}, {}
  for i, path in ipairs(list) do
    local stem = lists.is_video(path) and path:gsub("%.[^./]+$", "") or path
    short[i] = CAN_HOLD_MJPEG[extension(path)] and path or stem .. ".avi"
    sharing[short[i]] = (sharing[short[i]] or 0) + 1
  end
  for i, path in ipairs(list) do
    out[i] = sharing[short[i]] > 1 and short[i] ~= path and path .. ".avi" or short[i]
    local other = from[out[i]]
    if other then error(("%s and %s would both become %s, expected names that differ"):format(other, path, out[i]), 0) end
    from[out[i]] = path
  end
  return out
end

--- Darkens every video below a folder, folders of pictures too; links are followed, but not back to a folder one is in, and
-- `output` is left out. Names stay; only an ending that cannot hold MJPEG becomes .avi (of a.avi and a.webm the second
-- a.webm.avi). A file that fails is reported and left out; what exists is kept, so an interrupted run goes on, if it was made
-- with the same options.
-- @param note stands in for progress bar and messages: an object with advance(self, n) and finish(self)
-- @return { done, kept, failed = list of messages, luma, lux (means over what was done) }
function darken.tree(input, output, options, note)
  local o, preset = complete(options)
  if lfs.attributes(input, "mode") ~= "directory" then error(("%s is not a folder"):format(input), 0) end
  if same(input, output) then error(("%s is input and output at once, expected another folder"):format(input), 0) end
  local list = {}
  local out = identity(output)
  lists.videos(input, function(path) list[#list + 1] = path end, nil, out and { [out] = true }) -- not what it made itself
  if #list == 0 then error(("%s holds no video"):format(input), 0) end
  local targets = targets_of(list)
  for _, name in ipairs(not o.overwrite and targets or {}) do
    if lfs.attributes(output .. "/" .. name, "mode") then check_kept(output .. "/" .. name, asked(o)) end
  end
  local folders = {} -- of the dark videos: folder -> its names
  for i, name in ipairs(targets) do
    targets[i] = output .. "/" .. name
    local folder, own = targets[i]:match "^(.*)/(.*)$"
    folders[folder] = folders[folder] or {}
    folders[folder][own] = true
  end
  for folder, ours in pairs(folders) do remove_parts(paths.make_folder(folder), ours) end
  local result, bar = { done = 0, kept = 0, failed = {}, luma = 0, lux = 0 }, note or progress.new("darken", #list)
  for i, path in ipairs(list) do
    local target = targets[i]
    if lfs.attributes(target, "mode") and not o.overwrite then
      result.kept = result.kept + 1
    else
      local ok, how = pcall(film, input .. "/" .. path, target, o, preset, path)
      if ok then
        result.done, result.luma, result.lux = result.done + 1, result.luma + how.luma, result.lux + how.lux
      else
        how = without_place(how)
        result.failed[#result.failed + 1] = how
        if not note then io.stderr:write("skipped: ", how, "\n") end
      end
    end
    bar:advance(1, nil, 1)
  end
  bar:finish()
  if result.done > 0 then result.luma, result.lux = result.luma / result.done, result.lux / result.done end
  return result
end

return darken
