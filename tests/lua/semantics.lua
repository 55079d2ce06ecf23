--- What the kernels compute for fixed inputs, in a few numbers each, for semantics_spec.lua and tests/golden/make_semantics.lua.
--
-- Results differ between CPU levels, compilers and libraries by rounding; what differs by more is another result. Inputs are
-- whole numbers and sines, so that they depend on no generator of libtorch's.
local torch = require "torch"
local augment = require "dgam.kernels.augment"
local camera = require "dgam.kernels.camera"
local checkpoint = require "dgam.train.checkpoint"
local enhance = require "dgam.kernels.enhance"
local gic = require "dgam.kernels.gic"
local h5 = require "dgam.kernels.h5"
local rng = require "dgam.kernels.rng"
local scene = require "dgam.kernels.scene"
local stats = require "dgam.kernels.stats"
local support = require "support"
local sys = require "dgamnative.sys"
local video = require "dgam.kernels.video"
local keys_of = require "util.keys"
local ops = torch.ops.dgam

local semantics = {}

local SAMPLES = 5

-- How far values may be apart, as shares of the tensor's root mean square.
local EXACT, FLOAT, GRADIENT = 1e-9, 1e-4, 1e-3 -- the golden tests' tolerances
local PIXEL = 0.02 -- a level or two
local MOVED = 0.05 -- where the nearest pixel may be another one: means only

-- Mean, root mean square, mean with changing weights, and samples of a tensor; of one that is MOVED no samples.
local function numbers(x, tolerance)
  x = x:detach():flatten():double()
  local n = x:numel()
  local out = { x:mean():item(), (x * x):mean():sqrt():item(), (x * torch.arange(n):double():sin()):mean():item() }
  for k = 1, tolerance < MOVED and SAMPLES or 0 do out[#out + 1] = x[1 + (k - 1) * (n - 1) // (SAMPLES - 1)]:item() end
  return out
end

local function product(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

-- float32 from -1 to 1, other values for another step.
local function wave(shape, step, scale)
  return ((torch.arange(product(shape)):double() * step):sin() * (scale or 1)):float():view(shape):contiguous()
end

-- uint8, from 0 to a little below `top`, with slopes and edges.
local function pixels(shape, top)
  local i = torch.arange(product(shape))
  return ((i % 97 * 2 + i // 97 % 31 * 3 + i % 13) % (top or 256)):to("uint8"):view(shape):contiguous()
end

-- --- the families ---

local families = {}

function families.base(add)
  local r, draws = rng.new(5, 2), {}
  for i = 1, 8 do draws[i] = r:uniform() end
  for i = 1, 8 do draws[8 + i] = r:normal() end
  for i = 1, 8 do draws[16 + i] = rng.below(1000, 3, 1, i) end
  add("draws", torch.tensor(draws, { dtype = "float64" }), EXACT)
  add("permutation", torch.tensor(rng.permutation(50, 7, 1)), EXACT)
end

function families.light(add)
  local clip = pixels({ 2, 3, 4, 12, 20 }, 90)
  add("histogram", stats.histogram(clip), EXACT)
  add("frame_stats", stats.frames(clip), FLOAT)
  add("frame_stats, pixel", stats.frames(clip, { domain = "pixel" }), FLOAT)
  for _, domain in ipairs { "normalised", "pixel" } do
    local weights = wave({ 2, 3 }, 0.9):abs():requires_grad_(true)
    local gammas = torch.tensor { 1.0, 1.7, 2.6 }:requires_grad_(true)
    local out = gic.mixture(clip, weights, gammas, { domain = domain })
    out:backward(wave(out.shape, 0.37))
    add("mixture, " .. domain, out, FLOAT)
    add("mixture, " .. domain .. ", gradient of weights", weights.grad, GRADIENT)
    add("mixture, " .. domain .. ", gradient of gammas", gammas.grad, GRADIENT)
    add("mixture, " .. domain .. ", patches", gic.mixture(clip, weights, gammas, { domain = domain, layout = "patches" }), FLOAT)
  end
  local frames = pixels({ 2, 3, 40, 56 }, 120)
  for _, method in ipairs(enhance.methods) do add(method.name, enhance.by_name(method.name)(frames), PIXEL) end
  add("curves", enhance.curves(wave({ 1, 3, 6, 6 }, 0.3):abs(), wave({ 1, 6, 6, 6 }, 0.7)), FLOAT)
end

function families.camera(add)
  local light = wave({ 3, 32, 40 }, 0.013):abs()
  for _, name in ipairs { "brio", "arducam", "c920" } do
    local c <close> = camera.new { camera = name, width = 40, height = 32, lux = 0.5, seed = 3 }
    c:frame(light)
    add(name, c:frame(light * 0.5), PIXEL)
  end
end

-- out, the gradients that its arguments get.
local function both(add, name, f, arguments)
  local all = {} -- lists of tensors count one by one
  for _, v in ipairs(arguments) do
    if type(v) == "table" and torch.is_tensor(v[1]) then table.move(v, 1, #v, #all + 1, all) else all[#all + 1] = v end
  end
  for _, v in ipairs(all) do
    if torch.is_tensor(v) and v.dtype == "float32" then v.requires_grad = true end
  end
  local out = f(table.unpack(arguments))
  out:backward(wave(out.shape, 0.37))
  add(name, out, FLOAT)
  for i, v in ipairs(all) do
    if torch.is_tensor(v) and v.grad and v.grad:numel() > 0 then add(("%s, gradient of %d"):format(name, i), v.grad, GRADIENT) end
  end
end

function families.nn(add)
  local p, widths = {}, { 12, 7, 9, 5 }
  for layer = 1, 3 do
    local out = widths[layer + 1]
    p[#p + 1], p[#p + 2] = wave({ out, widths[layer] }, 0.7 + layer), wave({ out }, 0.3)
    if layer < 3 then
      for i = 1, 4 do p[#p + 1] = i == 4 and wave({ out }, 0.4):abs() + 0.5 or wave({ out }, 0.5 + i) end
    end
  end
  add("gate", ops.gate(wave({ 6, 12 }, 1.3, 3), p, 1e-5), FLOAT)
  both(add, "linear", ops.linear, { wave({ 10, 24 }, 0.3), wave({ 17, 24 }, 0.7), wave({ 17 }, 0.2) })
  both(add, "heads", ops.pooled_heads, { wave({ 4, 6, 5 }, 0.3), wave({ 3, 7, 5 }, 0.7), wave({ 3, 7 }, 0.2), torch.tensor { 3, 1, 1, 3 } })
  both(add, "patch_embed", ops.patch_embed, { wave({ 1, 3, 4, 10, 12 }, 0.3), wave({ 32, 3, 2, 4, 4 }, 0.7), wave({ 32 }, 0.2),
    wave({ 32 }, 0.5), wave({ 32 }, 0.9), { 4, 10, 12 } })
  both(add, "patch_merge", ops.patch_merge, { wave({ 1, 2, 5, 6, 32 }, 0.3), wave({ 128 }, 0.5), wave({ 128 }, 0.9),
    wave({ 64, 128 }, 0.7) })
  for name, shift in pairs { swin_block = { 0, 0, 0 }, ["swin_block, shifted"] = { 1, 2, 2 } } do
    local c = 32
    local parameters = { wave({ c }, 0.5), wave({ c }, 0.9), wave({ 3 * c, c }, 0.71, 0.3), wave({ 3 * c }, 0.2),
      wave({ c, c }, 0.73, 0.3), wave({ c }, 0.21), wave({ 3 * 7 * 7, 2 }, 0.6), wave({ c }, 0.55), wave({ c }, 0.95),
      wave({ 4 * c, c }, 0.77, 0.3), wave({ 4 * c }, 0.23), wave({ c, 4 * c }, 0.79, 0.3), wave({ c }, 0.24) }
    both(add, name, ops.swin_block, { wave({ 1, 4, 6, 7, c }, 0.37), parameters, 2, { 2, 4, 4 }, shift })
  end
  local w, m, v = wave({ 50 }, 0.3), wave({ 50 }, 0.4, 0.1), wave({ 50 }, 0.5):abs()
  for step = 1, 3 do ops.adamw_(w, wave({ 50 }, 0.6 + step), m, v, 0.01, 0.9, 0.999, 1e-8, 0.05, step) end
  add("adamw", torch.cat { w, m, v }, FLOAT)
end

function families.scene(add)
  local cast = scene.cast
  for i, action in ipairs(cast.actions) do -- with every actor, outfit, location and spot among them
    local function one(list) return list[(i - 1) % #list + 1] end
    local clip = { action = action, actor = one(cast.actors), outfit = one(cast.outfits), location = one(cast.locations),
      spot = one(cast.spots), width = 48, height = 40, frames = 3, linear = true }
    add(action, scene.film(clip), PIXEL)
  end
  add("filmed", scene.film { action = "sit-down", light = "LL", width = 48, height = 40, frames = 3, seed = 2 }, PIXEL)
end

function families.store(add)
  local golden = dgamlua.root .. "/tests/golden/"
  for _, name in ipairs { "mmcv_zip.pth", "mmcv_legacy.pth", "model.safetensors", "expected.h5" } do
    local parts, state = {}, checkpoint.load(golden .. "checkpoints/" .. name)
    for i, key in ipairs(keys_of(state)) do parts[i] = state[key]:flatten():double() end
    add(name, torch.cat(parts), EXACT)
  end
  local file <close> = h5.open(golden .. "dgam_tiny.h5")
  add("dgam_tiny.h5", file:read "enhanced", EXACT)
end

local CHANGES = { brightness = 1.3, contrast = 0.7, saturation = 1.5, hue = 0.1, posterise = 3, solarise = 100, autocontrast = 0,
  equalise = 0, sharpness = 1.8, shear_x = 0.2, translate_x = 3, rotate = 12, gamma = 1.7 }
local MOVES = { shear_x = true, rotate = true }

-- What is drawn for training clips: places and changes.
local function drawn()
  local out = {}
  local sampling = video.sampling { clip_len = 4, interval = 2, size = 24, seed = 3, jitter = 0.4, randaugment = 9, gamma_jitter = 1.5,
    erasing = 0.5 }
  for i = 1, 20 do
    local view = sampling:views({ width = 56, height = 40, frames = 30 }, 1, i)[1]
    for _, field in ipairs { "x", "y", "width", "height" } do out[#out + 1] = view[field] end
    for _, n in ipairs(view.frames) do out[#out + 1] = n end
    for _, change in ipairs(sampling:changes(1, i)) do out[#out + 1] = type(change.value) == "number" and change.value or 0 end
  end
  return torch.tensor(out, { dtype = "float64" })
end

function families.video(add)
  add("draws", drawn(), 1e-6)
  local folder = support.folder()
  local _ <close> = setmetatable({}, { __close = function() support.remove(folder) end })
  for _, format in ipairs { "bgr0", "yuv420p" } do
    local path = ("%s/%s.avi"):format(folder, format)
    video.write(path, pixels({ 9, 3, 40, 56 }, 200), { fps = 10, codec = "ffv1", pixels = format })
    local v <close> = video.open(path)
    add("frames, " .. format, v:frames { 1, 5, 9 }, format == "bgr0" and EXACT or PIXEL)
    for _, o in ipairs { { rule = "train" }, { rule = "test", crop = "three", clips = 2 }, { rule = "dense", crop = "centre" } } do
      o.clip_len, o.interval, o.size, o.seed = 4, 2, 24, 3
      add(("%s, %s"):format(o.rule, format), v:sample(video.sampling(o), 1, 2), PIXEL)
    end
  end
  for kind, value in pairs(CHANGES) do
    add(kind, augment.apply(pixels({ 3, 2, 24, 32 }), kind, value), MOVES[kind] and MOVED or PIXEL)
  end
end

-- --- comparing ---

--- What the kernels compute now: family -> { version =, [name] = { tolerance =, numbers } }.
function semantics.outputs()
  local out = {}
  for family, version in pairs(sys.semantics()) do
    out[family] = { version = version }
    if families[family] then
      families[family](function(name, x, tolerance)
        local list = numbers(x, tolerance)
        list.tolerance = tolerance
        out[family][name] = list
      end)
    end
  end
  return out
end

local RECORD = "record the new values: ./dgamlua tests/golden/make_semantics.lua"

-- What of one output differs from what is recorded: a text, or nil.
local function difference(was, is)
  if #was ~= #is then return ("%d numbers were %d"):format(#is, #was) end
  for i, v in ipairs(is) do
    local scale = math.max(math.abs(was[2]), 1e-12) -- the root mean square
    if v ~= v or math.abs(v - was[i]) > is.tolerance * scale then return ("number %d was %.12g, is %.12g"):format(i, was[i], v) end
  end
end

--- Compares outputs with those recorded.
-- @return list of what moved although its family's version is as it was (nothing may be recorded then), list of what is to be recorded
function semantics.compare(recorded, outputs)
  local moved, new = {}, {}
  for _, family in ipairs(keys_of(outputs)) do
    local was, is = recorded[family] or { version = 0 }, outputs[family]
    for _, name in ipairs(keys_of(is)) do
      local how = name ~= "version" and was[name] and difference(was[name], is[name])
      if name ~= "version" and not was[name] then new[#new + 1] = ("%s of %s is new: %s"):format(name, family, RECORD) end
      if how and is.version <= was.version then
        moved[#moved + 1] = ("the results of %s changed (%s): raise the number of '%s' in core/base/semantics.h and %s"):format(name,
          how, family, RECORD)
      end
    end
    if is.version ~= was.version then
      new[#new + 1] = ("the number of '%s' was %d, is %d: %s"):format(family, was.version, is.version, RECORD)
    end
  end
  return moved, new
end

--- The outputs as a Lua file, one line each.
function semantics.text(outputs)
  local lines = { "-- What the kernels compute for fixed inputs; made by tests/golden/make_semantics.lua.", "return {" }
  for _, family in ipairs(keys_of(outputs)) do
    lines[#lines + 1] = ("  %s = { version = %d,"):format(family, outputs[family].version)
    for _, name in ipairs(keys_of(outputs[family])) do
      if name ~= "version" then
        local parts = {}
        for i, v in ipairs(outputs[family][name]) do parts[i] = ("%.12g"):format(v) end
        lines[#lines + 1] = ("    [%q] = { %s },"):format(name, table.concat(parts, ", "))
      end
    end
    lines[#lines + 1] = "  },"
  end
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end

return semantics
