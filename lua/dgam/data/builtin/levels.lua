--- dgam.levels: how dark and how noisy clips are: mean luma, share of black, entropy, signal-to-noise ratio; for single
-- clips, by camera and light of the built-in dataset, and over a sweep of the light.
--
--     local levels = require("dgam").levels
--     print(levels.dataset({ size = "tiny" }, { most = 240 }))   -- a line a light and camera
--     print(levels.sweep { lux = { 0.05, 0.2, 1, 5, 20 } })      -- a line a camera and lux
--
-- A clip of the scene renderer can be filmed twice, with the camera's noise and without. Its signal-to-noise ratio is
-- rho / (1 - rho), rho being the squared correlation of the two over the pixels of a frame: what share of the picture's
-- variance is picture. It holds whatever gain, curve and black level the camera has, and while things move. Luma is as in
-- JPEG, 0 to 255, before compression.
local camera = require "dgam.kernels.camera"
local check = require "util.check"

local levels = {}

--- What is measured, in this order: mean luma, share of luma 0, share of luma up to 2, entropy of luma (bits), dB.
levels.names = { "luma", "zeros", "low", "entropy", "snr" }

--- The camera's stages that a clean picture does without.
levels.clean = { shot = false, read = false, pattern = false, quantise = false }

local LOWEST = -40 -- dB; below it nothing can be told from nothing

--- Luma of frames: uint8 or float [3, ...] -> float [...].
local function luma(frames)
  frames = frames:float()
  return frames:select(1, 1) * 0.299 + frames:select(1, 2) * 0.587 + frames:select(1, 3) * 0.114
end

--- Signal-to-noise ratio of noisy frames against clean ones, in dB, the mean of rho over frames.
-- @param noisy, clean [3, T, H, W]
function levels.snr(noisy, clean)
  local a, b = luma(noisy):flatten(2):double(), luma(clean):flatten(2):double()
  a, b = a - a:mean({ 2 }, true), b - b:mean({ 2 }, true)
  local r = (a * b):sum({ 2 }) / ((a * a):sum({ 2 }) * (b * b):sum({ 2 })):sqrt():clamp_min(1e-9)
  local rho = (r:clamp_min(0) ^ 2):mean():item()
  return rho >= 1 and math.huge or math.max(LOWEST, 10 * math.log(rho / (1 - rho), 10))
end

--- Measures one clip of the scene renderer.
-- @param spec as dgam.scene.film takes it
-- @return { luma =, zeros =, low =, entropy =, snr =, lux =, gain =, time = }
function levels.clip(spec)
  local scene = require "dgam.kernels.scene"
  local noisy, how = scene.film(spec)
  local quiet = {}
  for k, v in pairs(spec) do quiet[k] = v end
  quiet.stages = {}
  for k, v in pairs(spec.stages or {}) do quiet.stages[k] = v end
  for k, v in pairs(levels.clean) do quiet.stages[k] = v end
  local counts = luma(noisy):round():long():flatten():bincount({ minlength = 256 }):double()
  local p = counts:masked_select(counts:gt(0)) / counts:sum()
  return { luma = how.luma, zeros = how.zeros, low = how.low, entropy = -(p * p:log2()):sum():item(),
    snr = levels.snr(noisy, (scene.film(quiet))), lux = how.lux, gain = how.gain, time = how.time }
end

-- --- tables of many ---

local Levels = {}
Levels.__index = Levels

--- Means of one row: row(light, camera) or row(camera, lux), "all" for all of them. nil if there is none.
function Levels:row(...)
  local key = table.concat({ ... }, "|")
  return self.by[key]
end

local function add(self, measured, ...)
  local key = table.concat({ ... }, "|")
  local row = self.by[key]
  if not row then
    row = { n = 0, label = { ... } }
    for _, name in ipairs(levels.names) do row[name] = 0 end
    self.by[key] = row
    self.rows[#self.rows + 1] = row
  end
  row.n = row.n + 1
  for _, name in ipairs(levels.names) do row[name] = row[name] + (measured[name] - row[name]) / row.n end
end

function Levels:__tostring()
  local lines = { ("%-8s %-8s %6s %8s %8s %8s %8s %8s"):format(self.heads[1], self.heads[2], "clips", "luma", "zero %",
    "<= 2 %", "entropy", "SNR dB") }
  for _, row in ipairs(self.rows) do
    lines[#lines + 1] = ("%-8s %-8s %6d %8.2f %8.1f %8.1f %8.2f %8.1f"):format(row.label[1], row.label[2], row.n, row.luma,
      100 * row.zeros, 100 * row.low, row.entropy, row.snr)
  end
  return table.concat(lines, "\n")
end

local function new(a, b) return setmetatable({ heads = { a, b }, rows = {}, by = {} }, Levels) end

--- The built-in dataset by light and camera; "all" pools the cameras.
-- @param dataset_options as dgam.synthetic.plan
-- @param options most = clips to film at most, evenly spread (default 240)
-- @return a table of levels: tostring prints it, :row("LL", "brio") gives the means of one line
function levels.dataset(dataset_options, options)
  local o = check.names("levels.dataset", options or {}, { "most" })
  local synthetic = require "dgam.data.builtin.synthetic"
  local items, plan = synthetic.plan(dataset_options)
  local out, step = new("light", "camera"), math.max(1, #items // (o.most or 240))
  -- A step that shares no factor with the number of classes and of cameras meets all of them.
  while step % 2 == 0 or step % 3 == 0 do step = step + 1 end
  local measured = {}
  for i = 1, #items, step do
    measured[#measured + 1] = { items[i], levels.clip(synthetic.clip(items[i], plan)) }
  end
  for _, light in ipairs { "LL", "ELL", "bright" } do
    for _, model in ipairs(camera.models) do
      for _, m in ipairs(measured) do
        if m[1].light == light and m[1].camera == model.name then add(out, m[2], light, model.name) end
      end
    end
    for _, m in ipairs(measured) do
      if m[1].light == light then add(out, m[2], light, "all") end
    end
  end
  return out
end

--- Each camera over a sweep of the light, on the same scenes.
-- @param options lux = list (default 0.02 to 50 in steps of a half decade); light = preset whose exposure target is used
--   ("LL"); clips = 12 scenes; width, height = 64; frames = 4; model, stages, jitter (1) as dgam.scene
-- @return as levels.dataset, with rows by camera and lux
function levels.sweep(options)
  local o = check.names("levels.sweep", options or {},
    { "lux", "light", "clips", "width", "height", "frames", "model", "stages", "jitter" })
  local scene = require "dgam.kernels.scene"
  local out = new("camera", "lux")
  for _, model in ipairs(camera.models) do
    for _, lux in ipairs(o.lux or { 0.02, 0.06, 0.2, 0.6, 2, 6, 20, 50 }) do
      for i = 1, o.clips or 12 do
        add(out, levels.clip { camera = model.name, lux = lux, light = o.light or "LL", action = (i - 1) % #scene.cast.actions + 1,
          actor = (i - 1) % #scene.cast.actors + 1, location = (i - 1) % #scene.cast.locations + 1,
          outfit = (5 * i - 1) % #scene.cast.outfits + 1, clip = i, width = o.width or 64, height = o.height or 64,
          frames = o.frames or 4, model = o.model, stages = o.stages, jitter = o.jitter or 1 }, model.name, lux)
      end
    end
  end
  return out
end

return levels
