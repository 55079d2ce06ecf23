-- Models: sizes, replaceable parts, errors that say where, reference activations.
local torch = require "torch"
local models = require "models"
local nn = require "dgam.nn"
local message = require("support").message
local shell = require "util.shell"

local function tiny(options)
  options = options or {}
  options.backbone = options.backbone or { embed = 16, depths = { 1, 2 }, heads = { 2, 4 }, window = { 2, 4, 4 }, drop_path = 0 }
  options.classes, options.frames = options.classes or 3, 4
  return models.dgam(options)
end

local function clip(n)
  torch.manual_seed(3)
  return torch.randint(90, { n, 3, 4, 24, 20 }, { dtype = "uint8" })
end

describe("video_swin", function()
  it("has the published numbers of parameters", function()
    -- ORACLE: published counts with a head of 12 classes, minus that head.
    for name, want in pairs { ["swin-t"] = 27859698 - 12 * 769, ["swin-b"] = 87651284 - 12 * 1025 } do
      assert.equal(want, models.video_swin.new(name):count(), name)
    end
    assert.is_true(models.video_swin.new("swin-micro"):count() < 1e6)
  end)

  it("takes sizes that do not divide into patches or windows", function()
    local net = models.video_swin.new { embed = 16, depths = { 2, 1 }, heads = { 2, 2 }, window = { 2, 3, 3 } }
    assert.same({ 2, 3, 3, 2, 32 }, net(torch.randn(2, 3, 5, 21, 13)).shape)
    assert.same({ 1, 1, 1, 1, 32 }, net(torch.randn(1, 3, 1, 1, 1)).shape)
  end)

  it("takes a ratio of the MLP that is no whole number", function()
    for ratio, want in pairs { [4.0] = 32, [2.5] = 20, [2.7] = 21, [0.01] = 1 } do
      local net = models.video_swin.new { embed = 8, depths = { 1 }, heads = { 1 }, window = { 2, 4, 4 }, mlp_ratio = ratio }
      assert.same({ want, 8 }, net.layers:get(1).blocks:get(1).mlp.fc1.weight.shape)
      assert.same({ 1, 1, 2, 2, 8 }, net(torch.randn(1, 3, 2, 8, 8)).shape)
    end
  end)

  it("refuses unknown sizes and options", function()
    assert.matches("did you mean 'swin%-b'", message(models.video_swin.new, "swinb"))
    assert.matches("unknown option 'embeded'; did you mean 'embed'", message(models.video_swin.new, { embeded = 3 }))
    assert.matches("same length", message(models.video_swin.new, { embed = 8, depths = { 1 }, heads = { 1, 2 } }))
    assert.matches("not a multiple", message(models.video_swin.new, { embed = 10, depths = { 1 }, heads = { 3 } }))
    local good = { embed = 8, depths = { 1 }, heads = { 1 } }
    local coned = { embed = 8, depths = { 1 }, heads = { 1 }, stem = "cone" }
    assert.matches("unknown stem 'cone'; did you mean 'conv'", message(models.video_swin.new, coned))
    for name, case in pairs { embed = { 0, "0" }, heads = { { 0 }, "{0}" }, window = { { 2, 2 }, "{2, 2}" }, drop_path = { 2, "2" },
      mlp_ratio = { 0, "0" }, patch = { { 2, 4.5, 4 }, "{2, 4.5, 4}" }, stem = { 3, "3" }, recompute = { 1, "1" },
      precision = { 16, "16" } } do
      local bad = {}
      for k, v in pairs(good) do bad[k] = v end
      bad[name] = case[1]
      local text = message(models.video_swin.new, bad)
      assert.truthy(text:find(("video_swin: %s is %s, expected "):format(name, case[2]), 1, true), text)
    end
  end)
end)

describe("dgam", function()
  it("classifies with the head of the expert that was chosen", function()
    local model = tiny():eval()
    local x = clip(3)
    local logits, info = model(x)
    assert.same({ 3, 3 }, logits.shape)
    assert.same({ 3, 5 }, info.lambda.shape)
    assert.near(3, info.lambda:sum():item(), 1e-5)
    local again = model(x, { expert = info.expert })
    assert.is_true((again - logits):abs():max():item() < 1e-5)
    local all = model:expert_logits(x)
    for i, e in ipairs(info.expert:totable()) do
      assert.is_true((all[i][e] - logits[i]):abs():max():item() < 1e-5)
    end
  end)

  it("has the gate and heads of the paper", function()
    local model = models.dgam { backbone = "swin-micro", classes = 12, frames = 32 }
    assert.equal(47493, model.gate:count())
    assert.equal(5 * 12 * (model.backbone.channels + 1), model.heads:count())
  end)

  it("sends gradients to backbone, gate and the heads that were used", function()
    local model = tiny { temperature = 1 }
    local logits, info = model(clip(4), { lambda = nil })
    torch.cross_entropy(logits, torch.tensor { 1, 2, 3, 1 }):backward()
    assert.is_true(model.backbone.patch_embed.proj.weight.grad:abs():sum():item() > 0)
    assert.is_true(model.gate.linear1.weight.grad:abs():sum():item() > 0)
    local used = {}
    for _, e in ipairs(info.expert:totable()) do used[e] = true end
    for e = 1, 5 do
      local g = model.heads[tostring(e - 1)].weight.grad
      assert.equal(used[e] or false, g:abs():sum():item() > 0)
    end
  end)

  it("takes a backbone with patches of another size, and no clips at all", function()
    local backbone = { embed = 16, depths = { 1 }, heads = { 2 }, patch = { 1, 8, 4 } }
    local model = tiny({ backbone = backbone }):eval()
    assert.same({ 2, 3 }, model(clip(2)).shape)
    assert.same({ 0, 3 }, model(clip(2):narrow(1, 1, 0)).shape)
    assert.same({ 0, 3 }, tiny():eval()(clip(2):narrow(1, 1, 0)).shape)
  end)

  it("takes a backbone of the user's, and refuses one that does not fit", function()
    local Conv = nn.class "Conv"
    function Conv:init(channels, result)
      self.channels, self.result = channels, result
      self:add("conv", nn.Conv3d(3, 8, 3, { stride = 4, padding = 1 }))
    end
    function Conv:forward(x)
      local y = self.conv(x):relu()
      return self.result and self.result(y) or y:permute(1, 3, 4, 5, 2)
    end
    local x = clip(2)
    assert.same({ 2, 3 }, tiny({ backbone = Conv(8) })(x).shape)
    local function refused(...) return message(tiny { backbone = Conv(...) }, x) end
    assert.matches("the backbone returned shape %[2, 8%], expected features of shape %[2, D, H, W, 8%]\n  in DGAM",
      refused(8, function(y) return y:mean { 3, 4, 5 } end))
    assert.matches("returned shape %[2, 1, 6, 5, 8%], expected features of shape %[2, D, H, W, 9%]", refused(9))
    assert.matches("the backbone returned number", refused(8, function() return 3 end))
    assert.matches("dgam: the backbone's channels is nil, expected a whole number of 1 or more", message(tiny, { backbone = Conv() }))
    assert.matches("dgam: backbone is the class Conv, expected an object of it", message(tiny, { backbone = Conv }))
    assert.matches("dgam: gate is the class Conv, expected an object of it", message(tiny, { gate = Conv }))
  end)

  it("refuses the state of a model with other gammas", function()
    local a, b = tiny { gammas = { 1, 2.2 } }, tiny { gammas = { 1.5, 3 } }
    local before = b.heads["0"].weight:clone()
    assert.matches("load_state_dict: gamma is {1, 2.2}, expected this model's {1.5, 3}", message(b.load_state_dict, b, a:state_dict()))
    assert.equal(0, (before - b.heads["0"].weight):abs():max():item())
    assert.matches("gamma is 2, expected 5", message(tiny().load_state_dict, tiny(), a:state_dict()))
    tiny({ gammas = { 1, 2.2 } }):load_state_dict(a:state_dict())
    b:load_official(setmetatable({}, { __index = function(_, name) -- which has no gammas
      for mine, t in pairs(a:state_dict()) do
        if b:official_name(mine) == name or a:official_name(mine) == name then return t end
      end
    end }))
    assert.equal(0, (a.heads["1"].weight - b.heads["1"].weight):abs():max():item())
  end)

  it("loads the official names, all of them and no others", function()
    local a, b = tiny { gammas = { 1, 1.5 } }, tiny { gammas = { 1, 1.5 } }
    local official = {}
    for name, t in pairs(a:state_dict()) do
      if name ~= "gamma" then official[a:official_name(name)] = t end
    end
    official["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(1) -- which is computed here
    b:load_official(official)
    assert.equal(0, (a.heads["1"].weight - b.heads["1"].weight):abs():max():item())
    local function refused(name)
      official[name] = torch.zeros(1)
      local text = message(function() b:load_official(official) end)
      official[name] = nil
      assert.matches("models_spec.lua:%d+: load_official: not known: " .. name:gsub("[.]", "%%.") .. "; expected the official names", text)
    end
    refused "cls_head.fc_cls_20.weight" -- a head of another gamma
    refused "heads.0.weight" -- this model's own name
    refused "gamma"
    official["cls_head.fc_cls_15.weight"] = nil
    assert.matches("missing: heads.1.weight", message(function() b:load_official(official) end))
    assert.matches("gammas 1.52? and 1.52? share the name 'cls_head.fc_cls_15%.%l+', expected gammas that differ in one decimal",
      message(function() tiny({ gammas = { 1, 1.5, 1.52 } }):load_official {} end))
  end)

  it("asks every expert on the clip's device, as if it were chosen", function()
    local model, x = tiny { gammas = { 1, 1.5 } }:eval(), clip(2)
    local all = model:expert_logits(x)
    for e = 1, 2 do
      local one = model(x, { expert = torch.full({ 2 }, e, { dtype = "int64" }) })
      assert.equal(0, (all:select(2, e) - one):abs():max():item())
    end
    model:to "meta"
    function model:encode(seen, weights) -- the kernels look at values, which a tensor of "meta" has not
      assert.same({ "meta", "meta" }, { seen.device, weights.device })
      return torch.zeros(2, 5, self.backbone.channels, { device = "meta" })
    end
    model.heads.forward = function(_, features, expert)
      assert.same({ "meta", "meta" }, { features.device, expert.device })
      return torch.zeros(2, model.classes, { device = "meta" })
    end
    local logits = model:expert_logits(x:to "meta")
    assert.same({ "meta", { 2, 2, model.classes } }, { logits.device, logits.shape })
  end)

  it("computes in float64, and refuses half the bits", function()
    local x = clip(2)
    for _, backbone in ipairs { false, "swin-micro" } do
      local model = tiny({ backbone = backbone or nil, temperature = 1 }):eval()
      local want, first = model(x)
      assert.equal(model, model:to "float64")
      local got, second = model(x)
      assert.same({ "float64", "float64" }, { got.dtype, second.lambda.dtype })
      assert.is_true((got - want):abs():max():item() < 1e-4)
      assert.is_true((second.lambda - first.lambda):abs():max():item() < 1e-5)
      torch.cross_entropy((model:train()(x)), torch.tensor { 1, 2 }):backward()
      assert.equal("float64", model.gate.linear1.weight.grad.dtype)
      assert.matches("to: the type is bfloat16, expected float32 or float64", message(model.to, model, "bfloat16"))
      assert.same({ 2, 3 }, model:to("float32")(x).shape)
    end
  end)

  it("starts every head as a copy", function()
    local single = tiny { gammas = { 1.0 } }
    local model = tiny():start_from(single)
    for e = 0, 4 do
      assert.equal(0, (model.heads[tostring(e)].weight - single.heads["0"].weight):abs():max():item())
    end
    model:eval()
    single:eval()
    local x = clip(2)
    local one = torch.tensor { 1, 1 }
    assert.is_true((model(x, { expert = one }) - single(x)):abs():max():item() < 1e-5)
  end)

  it("takes a gate that is only a table with forward", function()
    local slope = torch.tensor({ 0.0, 1.0 }, { requires_grad = true })
    local gate = { forward = function(_, stats) return stats[{ {}, { 1, 1 } }] * slope end, parameters = function() return { slope } end }
    local model = tiny { gammas = { 1, 2 }, gate = gate }
    local _, info = model(clip(2))
    assert.near(2, info.lambda:sum():item(), 1e-5) -- scores became weights
    local names = {}
    for name in model.gate:named_parameters() do names[#names + 1] = name end
    assert.same({ "p1" }, names)
    gate.forward = function() return torch.zeros(2, 3) end
    assert.matches("expected scores of shape %[2, 2%]", message(model, clip(2)))
    gate.forward = function() return "x" end
    assert.matches("gate returned string", message(model, clip(2)))
  end)

  it("maps its names to the official ones and back", function()
    local model = tiny()
    assert.equal("cls_head.fc_cls_15.weight", model:official_name "heads.1.weight")
    assert.equal("cls_head.fc_cls.bias", model:official_name "heads.0.bias")
    assert.equal("backbone.my_MoE.gating.linear1.weight", model:official_name "gate.linear1.weight")
    assert.equal("backbone.norm.weight", model:official_name "backbone.norm.weight")
  end)

  it("refuses bad options and clips, saying what and where", function()
    for _, bad in ipairs { 0, -1, 0 / 0, math.huge, "2" } do
      assert.matches("gammas%[2%] is", message(tiny, { gammas = { 1, bad } }))
    end
    assert.matches("gammas is", message(tiny, { gammas = {} }))
    assert.matches("did you mean 'per%-expert'", message(tiny, { heads = "per-exprt" }))
    assert.matches("unknown option 'gamma'; did you mean 'gammas'", message(tiny, { gamma = { 1 } }))
    assert.matches("gate is 3", message(tiny, { gate = 3 }))
    assert.matches("classes is 0", message(tiny, { classes = 0 }))
    assert.matches("temperature is 0", message(tiny, { temperature = 0 }))
    assert.matches("frames is 2.5", message(models.dgam, { backbone = "swin-micro", classes = 2, frames = 2.5 }))
    local model = tiny()
    local two = clip(2)
    assert.matches("expert of clip 2 is 6, expected 1 to 5", message(model, two, { expert = torch.tensor { 1, 6 } }))
    assert.matches("expert is 3, expected an int64 tensor %[2%]", message(model, two, { expert = 3 }))
    assert.matches("unknown option 'experts'; did you mean 'expert'", message(model, two, { experts = torch.tensor { 1, 1 } }))
    assert.matches("expected a tensor %[N, 3, T, H, W%]", message(model, torch.zeros(2, 3)))
    local text = message(model, torch.zeros(2, 3, 5, 8, 8, { dtype = "uint8" }))
    assert.matches("clips have 5 frames, this gate was made for 4", text)
    assert.matches("in DGAM > gate", text)
  end)

  it("prints as a tree", function()
    assert.matches("backbone: VideoSwin.-gate: Gate.-heads: Heads", tostring(tiny()))
  end)
end)

describe("stochastic depth", function()
  it("is drawn for every clip while training and off in evaluation", function()
    local net = models.video_swin.new { embed = 16, depths = { 2 }, heads = { 2 }, window = { 2, 4, 4 }, drop_path = 0.9 }
    local x = torch.randn(1, 3, 4, 16, 16):expand(8, -1, -1, -1, -1):contiguous()
    torch.manual_seed(1)
    local y = net(x)
    local spread = (y - y[{ { 1, 1 } }]):abs():max():item()
    assert.is_true(spread > 1e-3)
    net:eval()
    y = net(x)
    assert.is_true((y - y[{ { 1, 1 } }]):abs():max():item() < 1e-5)
  end)
end)

describe("bfloat16", function()
  local has = torch.ops.dgam.has_bf16()

  it("gives the logits and choices of float32, on the shipped model and filmed clips", function()
    if not has then pending "this processor has no bfloat16 products: what asks for them computes in float32" end
    local scene = require "dgam.kernels.scene"
    local clips = {}
    for i = 1, 24 do
      clips[i] = scene.film { action = scene.cast.actions[i % 12 + 1], light = i % 2 == 0 and "LL" or "ELL", width = 64, height = 64,
        frames = 8, seed = i }
    end
    local x, logits = torch.stack(clips), {}
    for i, precision in ipairs { "float32", "bfloat16" } do
      local model = models.dgam { backbone = "swin-micro", precision = precision, gammas = { 1.0 }, classes = 12, frames = 8 }:eval()
      models.load_pretrained(model, "data/pretrained/swin-micro.h5")
      logits[i] = torch.no_grad(function() return (model(x)) end)
    end
    local off, spread = (logits[1] - logits[2]):abs():max():item(), logits[1]:std():item()
    assert.is_true(off > 0) -- it did compute in another type
    assert.is_true(off < 2e-2 * spread, ("off by %g of %g"):format(off, spread))
    -- Where the first two classes lie further apart than the error, the choice is the same.
    local first = logits[1]:max(2, { keepdim = true })
    local second = logits[1]:masked_fill(logits[1]:eq(first), -1e9):max(2)
    local clear = (first:squeeze(2) - second):gt(2 * off)
    assert.is_true(clear:float():mean():item() > 0.9)
    assert.equal(0, (logits[1]:argmax(2):ne(logits[2]:argmax(2)) * clear):float():sum():item())
  end)
end)

describe("precision", function()
  it("belongs to a model, and is refused where it would be ignored", function()
    local size = { embed = 16, depths = { 1 }, heads = { 2 }, precision = "bfloat16" }
    local made = models.video_swin.new(size)
    assert.equal("bfloat16", made.precision)
    assert.equal("float32", models.video_swin.new("swin-micro").precision)
    assert.equal("bfloat16", models.dgam { backbone = size, classes = 2, frames = 4 }.backbone.precision)
    assert.equal("bfloat16", models.dgam { backbone = "swin-micro", precision = "bfloat16", classes = 2, frames = 4 }.backbone.precision)
    for text, backbone in pairs { ["made already"] = made, ["write precision in it"] = size } do
      assert.matches(text, message(models.dgam, { backbone = backbone, precision = "bfloat16", classes = 2, frames = 4 }))
    end
    local wrong = { embed = 8, depths = { 1 }, heads = { 1 }, precision = "bf16" }
    assert.matches("unknown precision 'bf16'", message(models.video_swin.new, wrong))
  end)

  it("that the processor lacks is said once", function()
    local program = [[local torch = require "torch"
      local ops, x, w = torch.ops.dgam, torch.randn(4, 8), torch.randn(2, 8)
      local full = ops.linear(x, w)
      for _ = 1, 3 do print(ops.linear(x, w, nil, true):sub(full):abs():max():item() == 0) end]]
    local pipe = io.popen(("DGAMLUA_CPU=plain ONEDNN_MAX_CPU_ISA=SSE41 %s -e %s 2>&1"):format(shell.program(), shell.quote(program)))
    local text = pipe:read "a"
    assert.is_true(pipe:close(), text)
    local lines = "dgamlua: this processor (plain) has no bfloat16 products; what asks for them computes in float32\n"
    assert.equal(lines .. ("true\n"):rep(3), text)
  end)
end)

describe("the number of threads", function()
  it("changes no bit of features and gradients", function()
    local before, want = torch.threads(), nil
    local net = models.video_swin.new { embed = 32, depths = { 1, 2 }, heads = { 1, 2 }, window = { 4, 7, 7 }, drop_path = 0 }
    local x = torch.randn(1, 3, 16, 120, 124, { requires_grad = true })
    for _, threads in ipairs { 1, 2, 3, 7 } do
      torch.threads(threads)
      net:zero_grad()
      x.grad = nil
      local y = net(x)
      y:cos():sum():backward()
      local got = { ["the features"] = y:detach(), ["the clip's gradient"] = x.grad }
      for name, t in net:named_parameters() do
        if not name:match "^norm%." then got[name] = t.grad end -- the last norm is libtorch's, which sums by threads
      end
      want = want or got
      for name, t in pairs(want) do
        assert.is_true(t:equal(got[name]), ("%s differs with %d threads"):format(name, threads))
      end
    end
    torch.threads(before)
  end)
end)

describe("recompute", function()
  it("gives the same gradients and holds less in between", function()
    local x, grads, held = torch.randn(2, 3, 4, 32, 32), {}, {}
    local state
    for i, on in ipairs { false, true } do
      local net = models.video_swin.new { embed = 16, depths = { 2, 1 }, heads = { 2, 4 }, window = { 2, 4, 4 }, drop_path = 0,
        recompute = on }
      if state then net:load_state_dict(state) else state = net:state_dict() end
      collectgarbage()
      local before = torch.memory()
      local y = net(x)
      collectgarbage()
      held[i] = torch.memory() - before
      y:cos():sum():backward()
      grads[i] = {}
      for name, t in net:named_parameters() do grads[i][name] = t.grad end
    end
    for name, g in pairs(grads[1]) do
      local far = (g - grads[2][name]):abs():max():item()
      assert.is_true(far <= 1e-4 * math.max(1e-3, g:abs():max():item()), name .. " is off by " .. far)
    end
    assert.is_true(held[2] < 0.6 * held[1], ("%d against %d bytes"):format(held[2], held[1]))
  end)
end)

describe("reference activations", function()
  it("of the official code are met on the C path and on the composite path", function()
    local pipe = io.popen(("'%s/build/dgamlua' verify '%s/tests/golden/dgam_tiny.h5' 2>&1"):format(dgamlua.root, dgamlua.root))
    local text = pipe:read "a"
    local ok = pipe:close()
    assert.is_true(ok, text)
    assert.matches("all stages within tolerance", text)
    assert.matches("c +grad_enhanced", text)
    assert.matches("composite +grad_enhanced", text)
    assert.not_matches("FAILED", text)
  end)

  it("are met without vector instructions", function()
    local pipe = io.popen(("DGAMLUA_CPU=plain '%s/build/dgamlua' verify '%s/tests/golden/dgam_tiny.h5' 2>&1"):format(dgamlua.root,
      dgamlua.root))
    local text = pipe:read "a"
    assert.is_true(pipe:close(), text)
    assert.matches("all stages within tolerance", text)
  end)
end)

