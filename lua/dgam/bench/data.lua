--- From video files to batches.
local lfs = require "lfs"
local torch = require "torch"
local models = require "models"
local optim = require "dgam.optim"
local progress = require "dgam.progress"
local video = require "dgam.video"
local data = require "dgam.data"

local folder, users = nil, 0

-- A folder for this process's files, shared by the benchmarks that are set up.
local function enter()
  users = users + 1
  if not folder then
    folder = os.tmpname()
    os.remove(folder)
    assert(lfs.mkdir(folder))
  end
  return folder
end

local function leave()
  users = users - 1
  if users > 0 then return end
  for name in lfs.dir(folder) do os.remove(folder .. "/" .. name) end
  lfs.rmdir(folder)
  folder = nil
end

-- A soft texture that drifts, with a little noise: about as hard to code as a filmed room.
local function film(path, width, height, frames, options)
  torch.manual_seed(1)
  local texture = torch.upsample_bilinear2d(torch.rand(1, 3, height // 8, width // 8), { height + frames, width + 2 * frames }, false)
  options.width, options.height = width, height
  local noise = {}
  for i = 1, 5 do noise[i] = torch.randn(3, height, width) * 1.5 + 20 end
  local e <close> = video.encoder(path, options)
  for k = 1, frames do
    local part = texture[{ 1, {}, { k, k + height - 1 }, { 2 * k, 2 * k + width - 1 } }]
    e:write((part * 200 + noise[k % 5 + 1]):clamp(0, 255):to "uint8":contiguous())
  end
  e:finish()
end

-- 720p, 4 s, 32 frames stride 2 around the middle -> short side 256 -> crop 224; CPU time of this process.
local SAMPLING = { rule = "test", clips = 1, crop = "centre", clip_len = 32, interval = 2, size = 224, short = 256 }

local function decode_clip(name, options)
  return function()
    local path = enter() .. "/" .. name
    if not lfs.attributes(path) then film(path, 1280, 720, 120, options) end
    local sampling, size = video.sampling(SAMPLING), lfs.attributes(path, "size")
    return { cpu = true, rounds = 8, close = leave, run = function()
      local v <close> = video.open(path)
      v:sample(sampling)
    end, peer = function() -- every frame up to the last, whole, as a plain reader would
      local v <close> = video.open(path)
      for k = 1, 91, 10 do v:frames(k, math.min(k + 9, 91)) end
    end, peer_rounds = 2, note = function()
      return ("%d KB a frame"):format(size // 120 // 1024)
    end }
  end
end

local MJPEG = { quality = 80 }

-- Clips through decoding threads; the peer is one thread.
local function threads(n, clips)
  return function()
    local path = enter() .. "/m.avi"
    if not lfs.attributes(path) then film(path, 1280, 720, 120, MJPEG) end
    local sampling = video.sampling(SAMPLING)
    local function through(count)
      local pool <close> = video.pool(count)
      for i = 1, clips do pool:submit(path, sampling, i) end
      for _ = 1, clips do assert(pool:next()) end
    end
    return { rounds = 4, close = leave, run = function() through(n) end, peer = function() through(1) end }
  end
end

-- One epoch of training the micro model; the ratio is the share of the time that is not spent waiting for clips.
local function loader()
  local dir, items = enter(), {}
  for i = 1, 64 do
    local path = ("%s/t%02d.avi"):format(dir, i)
    film(path, 64, 64, 8, { quality = 75, fps = 5 })
    items[i] = { path = path, label = i % 12 + 1 }
  end
  local classes = {}
  for i = 1, 12 do classes[i] = "class" .. i end
  local dataset = data.open { classes = classes, items = items }
  local l = data.loader(dataset, { batch = 16, clip_len = 8, interval = 1, size = 64, train = true, threads = 2 })
  local model = models.dgam { backbone = "swin-micro", gammas = { 1.0 }, classes = 12, frames = 8 }
  local opt = optim.AdamW(model, { lr = 1e-3 })
  local epoch, waited, total = 0, 0, 0
  return { rounds = 3, close = function() l:close() leave() end, run = function()
    local start, before = progress.now(), l.waited
    epoch = epoch + 1
    for batch in l:epoch(epoch) do
      local loss = torch.cross_entropy(model(batch.clip), batch.label)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    total, waited = total + progress.now() - start, waited + l.waited - before
  end, ratio = function() return 1 - waited / total end, note = function(seconds)
    return ("%.0f clips/s"):format(64 / seconds)
  end }
end

return {
  { name = "decode_clip_mjpeg", what = "MJPEG 720p 4 s, 32 frames stride 2 -> 256 -> 224, CPU time", setup = decode_clip("m.avi", MJPEG) },
  { name = "decode_clip_mpeg4", what = "the same from MPEG-4",
    setup = decode_clip("p.avi", { codec = "mpeg4", options = "b=4000000:bf=2", full_range = false }) },
  { name = "decode_clip_h264", what = "the same from H.264",
    setup = decode_clip("h.mp4", { codec = "libx264", options = "b=4000000:preset=veryfast", full_range = false }) },
  { name = "decode_2_threads", what = "8 MJPEG clips on two threads; peer: on one", setup = threads(2, 8) },
  { name = "loader", what = "an epoch of 64 clips 8x64x64 training swin-micro; ratio: share of time spent computing", setup = loader },
}
