--- dgam.video: video files as tensors, by frame number.
--
--     local video = require "dgam.video"
--     local v <close> = video.open "walk.avi"
--     print(v)                            -- video (mjpeg, 1280 x 720, 120 frames, 30.0 per second)
--     local clip = v:frames(1, 32)        -- uint8 [32,3,720,1280], RGB
--     local some = v:frames { 5, 9, 5 }
--
-- Frame n is the n-th frame that the decoder puts out, counted from 1, whatever the file's timestamps say, and no more is
-- decoded than it takes. A file that is damaged, cut off or no video is an error that names it.
local native = require "dgamnative.video" -- loads libtorch when the first tensor is made, not before

local video = {}

--- Opens a video.
-- @param path file name; AVI, MP4, MKV, MOV, WebM and their like
-- @param limits when to give up: { seconds = 60 (wall time of one call), pixels = 2^26 (of a frame), bytes = 2^26 (packets held
--   in memory; longer files are read anew for each call) }
-- @return video with
--   info()            { width, height, frames, fps, codec, pixels, format, rotation (degrees, applied already), intra, counted }
--   frames(list)      uint8 [n,3,H,W], RGB: frames(1, 32), frames { 5, 9 }, frames() = all
--   sample(sampling, ...)  uint8 [views,3,T,H,W]; see video.sampling; the numbers that follow choose the random draws
--   count()           frame count by decoding all of them, which also corrects info().frames for a damaged file and adds
--                     info().content, a hash of the coded pictures
--   close()           also by <close> and the collector
function video.open(path, limits)
  if type(path) ~= "string" then error(("video.open: the path is a %s, expected a string"):format(type(path)), 2) end
  return native.open(path, limits)
end

--- What is in a file, without decoding it: the table of v:info().
function video.info(path, limits)
  local v <close> = native.open(path, limits)
  return v:info()
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
--   seed = 0
-- @return sampling with
--   shape()           views, 3, T, H, W
--   views({ width =, height =, frames = }, ...)  what would be cut out: a list of { frames (from 1), x, y, width, height,
--                     to_width, to_height, window_x, window_y, flip }; the numbers that follow choose the draws
function video.sampling(options)
  return native.sampling(options or {})
end

--- Decoding threads; dgam.data.loader is the comfortable way to them.
-- @return pool with submit(path, sampling, ...), next(tensor, row) -> info | nil, message (in the order of submission),
--   pending(), cancel(), close()
function video.pool(threads, limits) return native.pool(threads, limits) end

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
