--- dgam.video: video files as tensors, by frame number.
--
--     local video = require("dgam").video
--     local v <close> = video.open "walk.avi"
--     print(v)                            -- video (mjpeg, 1280 x 720, 120 frames, 30.0 per second)
--     local clip = v:frames(1, 32)        -- uint8 [32,3,720,1280], RGB
--     local some = v:frames { 5, 9, 5 }
--
-- Frame n is the n-th frame that the decoder puts out, counted from 1, whatever the file's timestamps say, and no more is
-- decoded than it takes. A file that is damaged, cut off or no video is an error that names it.
local paths = require "util.paths"
local native = require "dgamnative.video" -- loads libtorch when the first tensor is made, not before
local augment = require "dgam.kernels.augment"
local enhance = require "dgam.kernels.enhance"

local video = { max_threads = native.max_threads } -- decoding threads that a pool takes

--- Folder that keeps what was found out about each video (number, order and place of its frames), so that opening it again
-- does not go through the file. nil: `index` in the cache folder; a path; false: nothing is kept.
video.index = nil

local default_index

-- The folder to use, made on first use; nil if there is none. It only saves time, so one that cannot be made is no error.
local function index_folder()
  if video.index ~= nil then return video.index or nil end
  if default_index == nil then
    local ok, folder = pcall(function() return paths.make_folder(paths.cache() .. "/index") end)
    default_index = ok and folder
  end
  return default_index or nil
end

local function with_index(options)
  if type(options or {}) ~= "table" then return options end -- the callee complains
  local o = {}
  for k, v in pairs(options or {}) do o[k] = v end
  if o.index == nil then o.index = index_folder() end
  if o.index == false then o.index = nil end
  return o
end

--- Opens a video.
-- @param path file name; AVI, MP4, MKV, MOV, WebM and their like
-- @param options when to give up: seconds = 60 (wall time of one call; of count() without a frame), pixels = 2^26 (of a frame),
--   bytes = 2^26 (packets held in memory, of the few containers that scatter them; longer files are read anew for each call);
--   what is kept: index = video.index (a folder that exists, or false), index_bytes = 2^28 (size of that folder, about)
-- @return video with
--   info()            { width, height, frames, fps, codec, pixels, format, rotation (degrees clockwise) and then mirrored (left
--                     to right), both applied already, intra, counted }
--   frames(list)      uint8 [n,3,H,W], RGB: frames(1, 32), frames { 5, 9 }, frames() = all
--   sample(sampling, ...)  uint8 [views,3,T,H,W]; see video.sampling; the numbers that follow choose the random draws
--   count()           frame count by decoding all of them, and what is damaged ("errors in 3 of 100 coded frames") or nil; also
--                     corrects info().frames and adds info().damage and info().content, a hash of the coded pictures
--   close()           also by <close> and the collector
function video.open(path, options)
  if type(path) ~= "string" then error(("video.open: the path is a %s, expected a string"):format(type(path)), 2) end
  return native.open(path, with_index(options))
end

--- What is in a file, without decoding it: the table of v:info().
function video.info(path, options)
  local v <close> = video.open(path, options)
  return v:info()
end

--- "clahe" or { "clahe", clip_limit = 3 } -> { name = "clahe", clip_limit = 3 }; nil for "none".
local function enhancement(value)
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" then
    error(("enhance is a %s, expected a name or { name, options }"):format(type(value)), 0)
  end
  local options = {}
  for k, v in pairs(value) do
    if k ~= 1 then options[k] = v end
  end
  local how = enhance.described("enhance", value[1], options)
  return how.name ~= "none" and how or nil
end

--- How to turn a video into views for a network. Options, with defaults:
--   clip_len = 32, interval = 2, clips = 1   frames a clip, frame step, clips a video
--   rule = "train"   "train": random start; "test": evenly spread starts (MMAction2 0.x, as ELLAR); "test-1.x"; "dense": clips in
--                    a random window of `window` frames; "dense-test": in each of `positions` windows. Short videos loop.
--   crop = "random"  "random": area of `area` = {.08, 1} of the picture, width/height in `ratio` = {3/4, 4/3}, mirrored with
--                    probability `flip` = .5; "centre", "three" (left, right, middle), "ten": after resizing the short side to
--                    `short` pixels; "none": the whole picture squeezed
--   size = 224, or width and height          pixels of a view
--   short = size                             short side before a centre, three or ten crop
--   layout = "CTHW"  or "TCHW"
--   jitter, randaugment, gamma_jitter, erasing   random changes of the pixels, see dgam.augment
--   enhance          "clahe", or { "clahe", clip_limit = 3 }: every frame of a view through one of dgam.enhance's methods
--   seed = 0
-- @return sampling with
--   shape()           views, 3, T, H, W
--   views({ width =, height =, frames = }, ...)  what would be cut out: a list of { frames (from 1), x, y, width, height,
--                     to_width, to_height, window_x, window_y, flip }; the numbers that follow choose the draws
--   changes(...)      what would be done to the pixels: a list of { kind, value }
function video.sampling(options)
  local o = augment.options(options or {})
  for k, v in pairs(options or {}) do
    if o[k] == nil and not augment.is_option[k] then o[k] = v end
  end
  o.enhance = o.enhance and enhancement(o.enhance) or nil
  return native.sampling(o)
end

--- Decoding threads; dgam.data.loader is the comfortable way to them.
-- @param threads how many
-- @param options as for video.open
-- @param cache { folder = (which exists), bytes = limit }: views are kept there and read instead of decoded (core/video/cache.h)
-- @return pool with submit(path, sampling, ...), next(tensor, row) -> info | nil, message (in the order of submission),
--   pending(), cancel(), close(), cache_failure(): once views could not be written to the cache, the reason, one time; nil else. The
--   pool goes on without writing
function video.pool(threads, options, cache) return native.pool(threads, with_index(options), cache) end

--- Starts a video file. It appears under its name only when finish() is called; the same frames give the same bytes.
-- @param path the ending chooses the container: .avi, .mp4, .mkv ...
-- @param options width, height, fps = 30, quality = 90 (JPEG quality, for MJPEG), codec = "mjpeg" (an FFmpeg encoder), pixels (an
--   FFmpeg pixel format), options ("g=12:bf=2"), bt709 = false, full_range (true for MJPEG)
-- @return encoder with write(uint8 [3,H,W] or [T,3,H,W]), finish(), abandon()
function video.encoder(path, options) return native.encoder(path, options) end

--- Writes frames as a whole file: uint8 [T,3,H,W]. Options as for video.encoder.
function video.write(path, frames, options)
  local o = { width = frames:size(4), height = frames:size(3) }
  for k, v in pairs(options or {}) do o[k] = v end
  local e <close> = native.encoder(path, o)
  e:write(frames:contiguous())
  e:finish()
end

return video
