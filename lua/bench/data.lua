--- From video files to batches.
local lfs = require "lfs"
local torch = require "torch"
local models = require "models"
local optim = require "dgam.nn.optim"
local progress = require "dgam.show.progress"
local video = require "dgam.kernels.video"
local data = require "dgam.data"

-- A folder of this process's own; the films in it go with it.
local function folder()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path, function()
    for name in lfs.dir(path) do os.remove(path .. "/" .. name) end
    lfs.rmdir(path)
  end
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
  lfs.touch(path, os.time() - 60) -- a video of a dataset, not one that may still be changing
end

-- 720p, 4 s, 32 frames stride 2 around the middle -> short side 256 -> crop 224; CPU time of this process.
local SAMPLING = { rule = "test", clips = 1, crop = "centre", clip_len = 32, interval = 2, size = 224, short = 256 }

local function decode_clip(options)
  return function()
    local dir, leave = folder()
    local path = dir .. "/film." .. (options.container or "avi")
    film(path, 1280, 720, 120, { codec = options.codec, options = options.options, quality = options.quality,
      full_range = options.full_range })
    local sampling, size = video.sampling(SAMPLING), lfs.attributes(path, "size")
    return { cpu = true, rounds = 8, close = leave, run = function()
      local v <close> = video.open(path)
      v:sample(sampling)
    end, peer = function() -- every frame up to the last, whole, as a plain reader would
      local v <close> = video.open(path)
      for k = 1, 91, 10 do v:frames(k, math.min(k + 9, 91)) end
    end, peer_rounds = 2, note = function() return ("%d KB a frame"):format(size // 120 // 1024) end }
  end
end

local MJPEG = { quality = 80 }

-- Clips through decoding threads; the peer is one thread.
local function threads(n, clips)
  return function()
    local dir, leave = folder()
    local path = dir .. "/film.avi"
    film(path, 1280, 720, 120, { quality = MJPEG.quality })
    local sampling = video.sampling(SAMPLING)
    local function through(count)
      local pool <close> = video.pool(count)
      for i = 1, clips do pool:submit(path, sampling, i) end
      for _ = 1, clips do assert(pool:next()) end
    end
    return { rounds = 4, close = leave, run = function() through(n) end, peer = function() through(1) end,
      ratio = function(t) return t.peer and t.peer / t.run / n end,
      note = function(t) return ("%.1f clips/s"):format(clips / t.run) end }
  end
end

-- One epoch of the tiny dataset, as the ablation trains; the ratio is the share of the time that is not spent waiting for
-- clips. Beside it: what decoding alone could deliver.
local function loader()
  local dataset = data.open("data/synthetic.lua", { size = "tiny" })
  local options = { split = "train", batch = 16, clip_len = 8, interval = 1, size = 64, train = true, area = { 0.85, 1 }, threads = 2 }
  local l = data.loader(dataset, options)
  local model = models.dgam { backbone = "swin-micro", gammas = { 1.0 }, classes = #dataset.classes, frames = 8 }
  local opt = optim.AdamW(model, { lr = 1e-3 })
  local epoch, waited, total, clips = 0, 0, 0, 0
  local function alone()
    epoch = epoch + 1
    for batch in l:epoch(epoch) do batch.clip:close() end
  end
  return { rounds = 3, least = 0, close = function() l:close() end, run = function()
    local start, before, read = progress.now(), l.waited, l.read
    epoch = epoch + 1
    for batch in l:epoch(epoch) do
      local loss = torch.cross_entropy(model(batch.clip), batch.label)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
    total, waited, clips = total + progress.now() - start, waited + l.waited - before, l.read - read
  end, others = { alone = alone }, ratio = function() return 1 - waited / total end,
    extra = function(t) return { clips_per_second = clips / t.run, decoded_per_second = clips / t.alone } end,
    note = function(t) return ("%.0f clips/s, decoding alone %.0f"):format(clips / t.run, clips / t.alone) end }
end

return {
  decode_clip_mjpeg = decode_clip(MJPEG),
  decode_clip_mpeg4 = decode_clip { codec = "mpeg4", options = "b=4000000:bf=2", full_range = false },
  decode_clip_h264 = decode_clip { container = "mp4", codec = "libx264", options = "b=4000000:preset=veryfast", full_range = false },
  decode_clip_2_threads = threads(2, 8),
  loader = loader,
}
