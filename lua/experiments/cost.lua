--- How the cost of a clip grows with frames, size, window, batch, experts and threads: the figure of docs/performance.md.
--
--     dgamlua experiments/cost.lua                              -- all, 5 minutes on two cores
--     dgamlua experiments/cost.lua axes=frames,batch
--     dgamlua experiments/cost.lua figure=docs/cost             -- where to draw it: FILE.svg and FILE.png
--
-- Every axis is varied alone, around Video Swin T on 16 frames of 112 x 112; the least of several runs counts. Measured
-- axes stay in the results folder and are only drawn again.
local dgam = require "dgam"
local models = require "models"
local torch = require "torch"
local suggest = require "util.suggest"

local AXES = { "frames", "size", "window", "batch", "experts", "threads" }

local config = dgam.config {
  name = "cost",
  defaults = { axes = AXES, backbone = "swin-t", frames = 16, size = 112, runs = 4, figure = "" },
}

local exp = dgam.experiment { name = "cost", seeds = 1,
  config = { backbone = config.backbone, frames = config.frames, size = config.size, runs = config.runs } }

-- Milliseconds of the fastest of `runs` runs after one to warm up; short ones are run more often.
local function least(runs, f)
  f()
  local best, spent = math.huge, 0
  while runs > 0 or spent < 0.05 do
    local start = dgam.progress.now()
    f()
    local took = dgam.progress.now() - start
    best, spent, runs = math.min(best, took), spent + took, runs - 1
  end
  return 1000 * best
end

local function clip(cfg, batch) return torch.randn(batch or 1, 3, cfg.frames, cfg.size, cfg.size) end

-- Times of one clip forward, and forward + backward + update.
local function network(cfg, batch, changes)
  local net = models.video_swin.new(cfg.backbone, changes)
  local head, x = dgam.nn.Linear(net.channels, 12), clip(cfg, batch)
  local y = torch.ones(x:size(1), { dtype = "int64" })
  local opt = dgam.optim.AdamW(net, { lr = 1e-4 })
  net:eval()
  local forward = least(cfg.runs, function() torch.no_grad(net, x) end)
  net:train()
  local train = least(cfg.runs, function()
    local loss = torch.cross_entropy(head(net(x):flatten(2, 4):mean(2)), y)
    opt:zero_grad()
    loss:backward()
    opt:step()
  end)
  return forward, train
end

local axes = {}

function axes.frames(cfg)
  local t = { x = { 4, 8, 16, 32, 64 }, forward = {}, training = {} }
  for i, n in ipairs(t.x) do t.forward[i], t.training[i] = network(cfg { frames = n }) end
  return t
end

function axes.size(cfg)
  local t = { x = { 56, 112, 168, 224 }, forward = {}, training = {} }
  for i, n in ipairs(t.x) do t.forward[i], t.training[i] = network(cfg { size = n }) end
  return t
end

-- x: tokens in a window. At 112 pixels a stage has 28, 14, 7 and 4 tokens a side.
function axes.window(cfg)
  local windows = { { 1, 7, 7 }, { 2, 7, 7 }, { 4, 7, 7 }, { 8, 7, 7 }, { 8, 14, 14 } }
  local t = { x = {}, forward = {}, training = {} }
  for i, w in ipairs(windows) do
    t.x[i] = w[1] * w[2] * w[3]
    t.forward[i], t.training[i] = network(cfg, 1, { window = w })
  end
  return t
end

function axes.batch(cfg)
  local t = { x = { 1, 2, 4, 8 }, forward = {}, training = {} }
  for i, n in ipairs(t.x) do t.forward[i], t.training[i] = network(cfg, n) end
  return t
end

-- What DGAM adds in front of a backbone, for a clip and so many experts.
local function light_path(large, experts)
  local gammas = {}
  for e = 1, experts do gammas[e] = 1 + 2 * (e - 1) / math.max(1, experts - 1) end
  local model = models.dgam { backbone = "swin-micro", gammas = gammas, classes = 12, frames = 32 }
  model:eval()
  return function() model:light(large):close() end
end

-- Statistics, gate and mixture of a 32 x 224 x 224 clip, and the whole model on a clip of the usual size.
function axes.experts(cfg)
  local large = torch.randint(90, { 1, 3, 32, 224, 224 }, { dtype = "uint8" })
  local small = torch.randint(90, { 1, 3, cfg.frames, cfg.size, cfg.size }, { dtype = "uint8" })
  local t = { x = { 1, 2, 4, 8, 16, 32 }, light = {}, model = {} }
  for i, n in ipairs(t.x) do
    t.light[i] = least(20, light_path(large, n))
    local gammas = {}
    for e = 1, n do gammas[e] = 1 + e / n end
    local model = models.dgam { backbone = cfg.backbone, gammas = gammas, classes = 12, frames = cfg.frames }
    model:eval()
    t.model[i] = least(cfg.runs, function() torch.no_grad(model, small) end)
  end
  return t
end

function axes.threads(cfg)
  local large = torch.randint(90, { 1, 3, 32, 224, 224 }, { dtype = "uint8" })
  local t = { x = {}, light = {}, forward = {}, training = {} }
  local before, n = torch.threads(), 1
  while n <= before do
    torch.threads(n)
    t.x[#t.x + 1] = n
    t.light[#t.x] = least(20, light_path(large, 5))
    t.forward[#t.x], t.training[#t.x] = network(cfg)
    n = n < before and math.min(2 * n, before) or n + 1
  end
  torch.threads(before)
  return t
end

-- --- measure, print, draw ---

local TITLES = { frames = "frames", size = "pixels a side", window = "tokens in a window", batch = "clips in a batch",
  experts = "experts", threads = "threads" }
local CURVES = { "forward", "training", "model", "light" }
local NAMES = { forward = "forward", training = "forward, backward, AdamW", model = "whole DGAM forward",
  light = "statistics, gate, mixture" }

-- Exponent of the straight line through the logarithms: 1 is proportional.
local function slope(x, y)
  local n, sx, sy, sxx, sxy = #x, 0, 0, 0, 0
  for i = 1, n do
    local a, b = math.log(x[i]), math.log(y[i])
    sx, sy, sxx, sxy = sx + a, sy + b, sxx + a * a, sxy + a * b
  end
  return n > 1 and (n * sxy - sx * sy) / (n * sxx - sx * sx) or 0
end

for _, axis in ipairs(config.axes) do
  if not axes[axis] then error("cost: " .. suggest.unknown("axis", axis, AXES), 0) end
end

local panels, WIDTH, HEIGHT = {}, 340, 300
for _, axis in ipairs(config.axes) do
  local record = exp:trial(axis, { axis = axis, torch_threads = torch.threads() }, function(cfg)
    local curves = axes[axis](cfg)
    local metrics = {}
    for name, y in pairs(curves) do
      if name ~= "x" then metrics["exponent_" .. name] = slope(curves.x, y) end
    end
    return { metrics = metrics, curves = curves }
  end)[1]
  local x, series = record.curves.x, {}
  print(TITLES[axis])
  for _, name in ipairs(CURVES) do
    local y = record.curves[name]
    if y then
      local cells = {}
      for i, v in ipairs(y) do cells[i] = ("%g: %.4g ms"):format(x[i], v) end
      print(("  %-44s %s   ~ x^%.2f"):format(NAMES[name], table.concat(cells, "  "), record.metrics["exponent_" .. name]))
      series[#series + 1] = { name = NAMES[name], x = x, y = y }
    end
  end
  local k, top, relative = #panels, 0, axis == "experts" or axis == "threads" -- what is short and what is long in one panel
  for _, s in ipairs(series) do
    local first = s.y[1]
    if relative then
      local y = {}
      for i, v in ipairs(s.y) do y[i] = v / first end
      s.y = y
    end
    top = math.max(top, table.unpack(s.y))
  end
  local xtics = {}
  for i, v in ipairs(x) do xtics[i] = { v, ("%g"):format(v) } end
  panels[k + 1] = { kind = "lines", box = { k % 3 * WIDTH, k // 3 * HEIGHT, WIDTH, HEIGHT }, series = series, xlabel = TITLES[axis],
    ylabel = relative and "time, of that of one" or "ms", xtics = xtics, logx = axis == "experts" or axis == "window",
    xrange = { x[1], #x > 1 and x[#x] or x[1] + 1 }, yrange = { 0, 1.08 * top } }
end

local base = config.figure ~= "" and config.figure or exp.folder .. "/cost"
print(table.concat({ dgam.plot.page { file = base, width = math.min(3, #panels) * WIDTH, height = (#panels + 2) // 3 * HEIGHT,
  panels = panels } }, ", "))
