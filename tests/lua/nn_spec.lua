-- Modules, layers, optimisers and schedules.
local torch = require "torch"
local nn = require "dgam.nn"
local optim = require "dgam.nn.optim"
local message = require("support").message

local function largest(a, b) return (a - b):abs():max():item() end

describe("modules", function()
  local Net = nn.class "Net"
  function Net:init()
    self:add("body", nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.ReLU()))
    self:add("head", nn.Linear(4, 2, { bias = false }))
  end
  function Net:forward(x) return self.head(self.body(x)) end

  it("name parameters and buffers as PyTorch does", function()
    local names = {}
    for name in Net():named_parameters() do names[#names + 1] = name end
    assert.same({ "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight" }, names)
    assert.equal(3 * 4 + 4 + 4 + 4 + 8, Net():count())
    assert.is_not_nil(Net():state_dict()["body.1.running_mean"])
  end)

  it("give their state to another and refuse one that does not fit", function()
    local a, b = Net(), Net()
    a(torch.randn(8, 3)) -- moves the running statistics
    b:load_state_dict(a:state_dict())
    local x = torch.randn(2, 3)
    a:eval()
    b:eval()
    assert.equal(0, largest(a(x), b(x)))
    local state = a:state_dict()
    state["head.weight"] = torch.zeros(2, 5)
    assert.matches("head.weight is 2x5, expected 2x4", message(b.load_state_dict, b, state))
    state["head.weight"], state.extra = nil, torch.zeros(1)
    assert.matches("missing: head.weight; not known: extra", message(b.load_state_dict, b, state))
    local missing, unused = b:load_state_dict(state, { strict = false })
    assert.same({ { "head.weight" }, { "extra" } }, { missing, unused })
    state["head.weight"] = 3
    assert.matches("head.weight is 3, expected a tensor", message(b.load_state_dict, b, state))
    assert.matches("the state is nil, expected a table", message(b.load_state_dict, b))
  end)

  it("count and train a tensor with two names once, and save it under both", function()
    local tied = nn.Sequential(nn.Linear(2, 2, { bias = false }), nn.Linear(2, 2, { bias = false }))
    local w = tied:get(1).weight
    tied:get(2):parameter("weight", torch.no_grad(w.mul_, w, 1)) -- another handle of the same tensor
    assert.equal(4, tied:count())
    assert.equal(1, #tied:parameters())
    local before, opt = w:detach():clone(), optim.SGD(tied, { lr = 1 })
    w.grad = torch.ones(2, 2)
    opt:step()
    assert.equal(1, #opt.entries)
    assert.near(1, (before - w):max():item(), 1e-6)
    local state = tied:state_dict()
    assert.equal(0, largest(state["0.weight"], state["1.weight"]))
    tied:load_state_dict(state)
  end)

  it("refuse a name that is taken by something else, and replace one of the same kind", function()
    local m = Net()
    assert.matches("buffer 'count': Net has a field or method of that name already",
      message(m.buffer, m, "count", torch.ones(1)))
    assert.matches("parameter 'train': Net has a field or method", message(m.parameter, m, "train", torch.ones(1)))
    assert.matches("child 'forward': Net has a field or method", message(m.add, m, "forward", nn.ReLU()))
    assert.matches("parameter 'training': Net has a field", message(m.parameter, m, "training", torch.ones(1)))
    assert.matches("buffer 'head': Net has a child of that name already", message(m.buffer, m, "head", torch.ones(1)))
    local head = m:add("head", nn.Linear(4, 5))
    m:buffer("scale", torch.ones(1))
    m:buffer("scale", torch.zeros(1))
    assert.matches("parameter 'scale': Net has a buffer", message(m.parameter, m, "scale", torch.ones(1)))
    assert.equal(head, m.head)
    assert.equal(0, m:state_dict().scale:item())
    m.scale = nil
    assert.is_nil(m:state_dict().scale)
    m:buffer("scale", torch.ones(1))
    assert.equal(1, m:state_dict().scale:item())
  end)

  it("take what is assigned to a registered name, and train it", function()
    local layer, x = nn.Linear(2, 1), torch.ones(1, 2)
    layer.weight = torch.tensor { { 1.0, 2.0 } }
    assert.is_true(layer.weight.requires_grad)
    local opt = optim.SGD(layer, { lr = 1 })
    layer(x):sum():backward()
    opt:step()
    assert.same({ { 0, 1 } }, layer.weight:totable())
    layer.bias = nil
    assert.equal(1, #layer:parameters())
    layer(x)
    layer.bias = torch.zeros(1)
    assert.equal(2, #layer:parameters())
    assert.is_true(layer:state_dict().bias ~= nil)
    assert.matches("nn_spec.lua:%d+: parameter 'weight' is 5, expected a tensor", message(function() layer.weight = 5 end))
    assert.matches("parameter 'weight' was computed from tensors that are trained, expected one of its own: tensor:detach%(%)",
      message(function() layer.weight = layer.weight * 2 end))

    local norm = nn.BatchNorm(2)
    norm.running_mean = torch.ones(2)
    assert.same({ 1, 1 }, norm:state_dict().running_mean:totable())
    assert.matches("buffer 'running_mean' is 5, expected a tensor", message(function() norm.running_mean = 5 end))

    local net = Net()
    net.head = nn.Linear(4, 5)
    assert.equal("head", net.head._name)
    assert.equal(5, net:state_dict()["head.weight"]:size(1))
    assert.matches("child 'head' is 5, expected a module", message(function() net.head = 5 end))
    net.extra = nn.Linear(1, 1) -- a field until now
    assert.truthy(net:state_dict()["extra.weight"])
    net.extra = nil
    assert.is_nil(net:state_dict()["extra.weight"])
    net.body["1"] = nn.Identity()
    assert.equal("Identity", net.body:get(2).class_name)
    assert.matches("child 2 is given by a number, expected a name", message(function() net.body[2] = nn.Identity() end))
    assert.matches("'list' is a list of modules", message(function() net.list = { nn.Identity() } end))
    local list = nn.Sequential(nn.ReLU(), nn.Tanh())
    list["0"] = nil
    list:append(nn.Identity())
    assert.same({ 2, "Tanh", "Identity" }, { list:length(), list:get(1).class_name, list:get(2).class_name })
    net.teacher = function() end
    net.size, net.options = 3, { 1, 2 }
    assert.same({ 3, { 1, 2 } }, { net.size, net.options })
  end)

  it("refuse names that would be others' in a state dict", function()
    local net = Net()
    assert.matches("child 'a.b': the name is part of names in a state dict, expected text without dots",
      message(net.add, net, "a.b", nn.ReLU()))
    assert.matches("parameter 'body.x'", message(net.parameter, net, "body.x", torch.ones(1)))
    assert.matches("buffer '': the name", message(net.buffer, net, "", torch.ones(1)))
    assert.matches("buffer '3': the name", message(net.buffer, net, 3, torch.ones(1)))
  end)

  it("say what is in front of the names of a state that does not fit", function()
    local net, wrapped = Net(), {}
    for name, t in pairs(net:state_dict()) do wrapped["module." .. name] = t end
    assert.matches("; the state has 'module.' in front of its names, checkpoint.load%(path, { prefix = 'module.' }%) takes that off",
      message(net.load_state_dict, net, wrapped))
    assert.matches("; the module has '0.' in front of its names: the state is that of a part of it",
      message(function() nn.Sequential(net.head):load_state_dict(net.head:state_dict()) end))
    wrapped.other = torch.ones(1)
    assert.not_matches("in front", message(net.load_state_dict, net, wrapped))
  end)

  it("refuse what is no tensor and no module", function()
    local m = Net()
    assert.matches("parameter 'x' is 5, expected a tensor", message(m.parameter, m, "x", 5))
    assert.matches("buffer 'x' is nil, expected a tensor", message(m.buffer, m, "x"))
    assert.matches("child 'x' is 5, expected a module", message(m.add, m, "x", 5))
    assert.matches("child 'x' is the class ReLU, expected a module", message(m.add, m, "x", nn.ReLU))
    assert.matches("child '0' is the class ReLU", message(nn.Sequential, nn.ReLU))
    assert.is_nil(m.x)
  end)

  it("say where an error happened, and recover", function()
    local net = Net()
    assert.matches("in Net > body > 0", message(net, torch.randn(2, 7)))
    assert.same({ 2, 2 }, net(torch.randn(2, 3)).shape)
    assert.matches("in Net > body > 0", message(net, torch.randn(2, 7)))
  end)

  it("say where an error happened after a forward that yielded, and after one that caught another", function()
    local Odd = nn.class "Odd"
    function Odd:init() self:add("part", Net()) end
    function Odd:forward(x)
      if coroutine.isyieldable() and not x then coroutine.yield() end
      pcall(self.part, torch.randn(2, 7))
      error "by itself"
    end
    local waiting = coroutine.create(function() Odd()() end)
    assert(coroutine.resume(waiting))
    assert.matches("\n  in Net > body > 0$", message(Net(), torch.randn(2, 7)))
    assert.matches("by itself\n  in Odd$", select(2, coroutine.resume(waiting)))
    assert.matches("by itself\n  in Odd$", message(Odd(), true))
    assert.matches("\n  in part > body > 0$", message(Odd().part, torch.randn(2, 7)))
  end)

  it("switch mode, freeze and print", function()
    local net = Net():eval()
    assert.is_false(net.body:get(2).training)
    net.body:requires_grad_(false)
    net(torch.randn(2, 3)):sum():backward()
    assert.is_nil(net.body:get(1).weight.grad)
    assert.is_not_nil(net.head.weight.grad)
    assert.matches("0: Linear%(3 %-> 4%)", tostring(net))
    assert.matches("%[32 parameters%]", tostring(net))
    assert.equal("float64", net:to("float64").head.weight.dtype)
  end)

  it("keep their tensors when they move to another type, so that an optimiser goes on", function()
    local net, x = Net(), torch.randn(4, 3)
    local opt, sgd = optim.AdamW(net, { lr = 0.1 }), optim.SGD(net, { momentum = 0.9 })
    net(x):sum():backward()
    opt:step()
    sgd:step()
    local id, before = net.head.weight:id(), net.head.weight:detach():clone()
    net:to "float64"
    assert.is_true(net.head.weight:id() == id)
    assert.equal("float64", net.head.weight.grad.dtype)
    assert.equal("int64", net.body:get(2).num_batches_tracked.dtype)
    opt:zero_grad()
    net(x:double()):sum():backward()
    opt:step()
    sgd:step()
    assert.is_true(largest(net.head.weight, before) > 0.01)
    assert.same({ "float64", "meta" }, { net:to("meta").head.weight.dtype, net.head.weight.device })
  end)
end)

describe("layers", function()
  it("compute what their formula says", function()
    local x = torch.randn(5, 6)
    local linear = nn.Linear(6, 3)
    assert.is_true(largest(linear(x), x:matmul(linear.weight:t()) + linear.bias) < 1e-5)
    local norm = nn.LayerNorm(6)
    local mean, var = x:mean({ 2 }, { keepdim = true }), x:var({ 2 }, { unbiased = false, keepdim = true })
    assert.is_true(largest(norm(x), (x - mean) / (var + 1e-5):sqrt()) < 1e-5)
    local bn = nn.BatchNorm(6)
    local m, v = x:mean(1), x:var({ 1 }, { unbiased = false })
    assert.is_true(largest(bn(x), (x - m) / (v + 1e-5):sqrt()) < 1e-5)
    assert.is_true(largest(bn.running_mean, m * 0.1) < 1e-6)
    local group = nn.GroupNorm(2, 6)
    torch.no_grad(function() group.weight:copy_(torch.randn(6)) end)
    local y = torch.randn(3, 6, 2, 4)
    local parts = y:view(3, 2, 12 * 2)
    mean, var = parts:mean({ 3 }, { keepdim = true }), parts:var({ 3 }, { unbiased = false, keepdim = true })
    assert.is_true(largest(group(y), ((parts - mean) / (var + 1e-5):sqrt()):view(3, 6, 2, 4) * group.weight:view(6, 1, 1)) < 1e-5)
    assert.matches("groups is 4, expected a divisor of the 6 channels", message(nn.GroupNorm, 4, 6))
    local conv = nn.Conv3d(2, 3, { 1, 2, 2 }, { stride = { 1, 2, 2 } })
    local clip = torch.randn(1, 2, 1, 2, 2)
    assert.is_true(largest(conv(clip):view(1, 3), conv.weight:view(3, 8):matmul(clip:view(8)) + conv.bias) < 1e-5)
    assert.same({ 1, 2 }, nn.GlobalAvgPool()(torch.ones(1, 2, 3, 4, 5)).shape)
    assert.same({ 1, 6, 1, 1, 1 }, nn.Conv3d(4, 6, 1, { groups = 2 })(torch.ones(1, 4, 1, 1, 1)).shape)
    for _, case in ipairs { { 3, 4, 2 }, { 4, 3, 2 }, { 4, 4, 0 }, { 4, 4, 2.0 } } do
      local inputs, outputs, groups = table.unpack(case)
      assert.matches(("groups is %s, expected a divisor of the %d input and the %d output"):format(groups, inputs, outputs),
        message(nn.Conv3d, inputs, outputs, 3, { groups = groups }))
    end
  end)

  it("refuse to normalise a batch of one value per channel in training", function()
    local bn = nn.BatchNorm(3)
    assert.matches("x is 1x3, expected more than one value per channel", message(bn, torch.ones(1, 3)))
    assert.same({ 1, 1, 1 }, bn.running_var:totable())
    assert.equal(0, bn.num_batches_tracked:item())
    bn(torch.ones(1, 3, 1, 1, 2))
    bn:eval()
    bn(torch.ones(1, 3))
    assert.same({ 0, 0, 0 }, nn.GroupNorm(3, 3)(torch.ones(1, 3)):totable()[1]) -- has no statistics to spoil
  end)

  it("drop only while training, keeping the mean", function()
    local drop = nn.Dropout(0.25)
    local x = torch.ones(100000)
    assert.near(1, drop(x):mean():item(), 0.02)
    assert.near(0.25, drop(x):eq(0):float():mean():item(), 0.01)
    drop:eval()
    assert.equal(1, drop(x):min():item())
    assert.matches("p is 1", message(nn.Dropout, 1))
  end)
end)

describe("optimisers", function()
  -- One weight, gradient = weight: AdamW and SGD worked out by hand in double precision.
  local function single(value)
    local m = nn.Linear(1, 1, { bias = false })
    torch.no_grad(function() m.weight:fill_(value) end)
    return m
  end

  local function half_square(m) return (m.weight ^ 2 / 2):sum() end

  it("AdamW follows its formula", function()
    local m = single(2)
    local opt = optim.AdamW(m, { lr = 0.1, betas = { 0.9, 0.99 }, eps = 1e-8, weight_decay = 0.05 })
    local p, mm, v = 2, 0, 0
    for t = 1, 5 do
      opt:zero_grad()
      half_square(m):backward()
      opt:step(0.5)
      local g, lr = p, 0.05
      p = p * (1 - lr * 0.05)
      mm, v = 0.9 * mm + 0.1 * g, 0.99 * v + 0.01 * g * g
      p = p - lr * (mm / (1 - 0.9 ^ t)) / (math.sqrt(v / (1 - 0.99 ^ t)) + 1e-8)
      assert.near(p, m.weight:item(), 1e-5)
    end
  end)

  it("SGD with momentum follows its formula", function()
    local m = single(2)
    local opt = optim.SGD(m, { lr = 0.1, momentum = 0.9, weight_decay = 0.01 })
    local p, u = 2, 0
    for _ = 1, 5 do
      opt:zero_grad()
      half_square(m):backward()
      opt:step()
      u = 0.9 * u + p + 0.01 * p
      p = p - 0.1 * u
      assert.near(p, m.weight:item(), 1e-5)
    end
  end)

  it("leave the caller's options as they are", function()
    local options = {}
    local adamw, sgd = optim.AdamW(single(1), options), optim.SGD(single(1), options)
    assert.same({}, options)
    assert.same({ 1e-3, 1e-2 }, { adamw.lr, sgd.lr })
    local betas = { 0.9, 0.99 }
    local m = single(2)
    local opt = optim.AdamW(m, { lr = 0.1, betas = betas })
    betas[1] = 0 -- nor does what becomes of them reach it
    for _ = 1, 2 do
      opt:zero_grad()
      half_square(m):backward()
      opt:step()
    end
    assert.near(0.9 * 0.1 * 2 + 0.1 * 1.8980, opt.entries[1].m:item(), 1e-3)
  end)

  it("refuse to go on when a parameter was replaced", function()
    local m
    for _, new in ipairs { optim.AdamW, optim.SGD } do
      m = single(2)
      local opt = new(m)
      m.weight.grad = torch.ones(1, 1)
      opt:step()
      m.weight = torch.ones(1, 1)
      assert.matches("nn_spec.lua:%d+: %u%w+: the parameter 'weight' was replaced after the optimiser was made",
        message(function() opt:step() end))
      assert.equal(1, opt.steps)
    end
    m.weight = nil
    optim.SGD(nn.Sequential(m, single(1))):step()
  end)

  it("match groups by name and refuse a rule that matches nothing", function()
    local net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    local opt = optim.AdamW(net, { lr = 1, weight_decay = 0.5, rules = { { "^0%.", lr = 0 }, { "bias$", decay = 0 } } })
    local by_name = {}
    for _, e in ipairs(opt.entries) do by_name[e.name] = { e.lr, e.decay } end
    assert.same({ ["0.weight"] = { 0, 1 }, ["0.bias"] = { 0, 0 }, ["1.weight"] = { 1, 1 }, ["1.bias"] = { 1, 0 } }, by_name)
    assert.matches("rule 1 %('nothing'%) matches no", message(optim.AdamW, net, { rules = { { "nothing", lr = 1 } } }))
    assert.matches("did you mean 'weight_decay'", message(optim.AdamW, net, { weigth_decay = 1 }))
    assert.matches("lr is %-1", message(optim.AdamW, net, { lr = -1 }))
  end)

  it("refuse what makes no sense", function()
    local net = single(1)
    for text, options in pairs {
      ["betas is 0.9, expected two numbers"] = { betas = 0.9 },
      ["betas%[1%] is 1, expected a number from 0 to below 1"] = { betas = { 1, 0.9 } },
      ["betas%[2%] is nil"] = { betas = { 0.9 } },
      ["lr is %-?nan"] = { lr = 0 / 0 },
      ["eps is %-1"] = { eps = -1 },
      ["weight_decay is %-1"] = { weight_decay = -1 },
      ["rules are 3, expected a list"] = { rules = 3 },
      ["rule 1 is weight, expected a table"] = { rules = { "weight" } },
      ["rule 1: lr is x, expected a factor of 0 or more"] = { rules = { { "weight", lr = "x" } } },
      ["rule 1: decay is %-1, expected a factor"] = { rules = { { "weight", decay = -1 } } },
      ["rule 1: pattern 1 is 7, expected a string"] = { rules = { { 7, lr = 1 } } },
      ["did you mean 'decay'"] = { rules = { { "weight", deca = 1 } } },
      ["rule 1: 'weight%[' is no pattern: malformed pattern"] = { rules = { { "weight[" } } },
    } do
      assert.matches("nn_spec.lua:%d+: AdamW: .*" .. text, message(function() local _ = optim.AdamW(net, options) end))
    end
    for _, model in ipairs { { torch.ones(1) }, net.weight, 3 } do
      assert.matches("nn_spec.lua:%d+: AdamW: the model is .*, expected a module",
        message(function() local _ = optim.AdamW(model) end))
    end
    assert.matches("nesterov is true and momentum 0, expected a momentum above 0", message(optim.SGD, net, { nesterov = true }))
    local adamw_, tensors = torch.ops.dgam.adamw_, {}
    for _, dtype in ipairs { "float32", "float64" } do -- the kernel, and ATen operators
      for i = 1, 4 do tensors[i] = torch.ones(2, { dtype = dtype }) end
      local function step(...)
        local p, g, m, v = table.unpack(tensors)
        return message(adamw_, p, g, m, v, ...)
      end
      assert.matches("lr is %-?nan", step(0 / 0, 0.9, 0.999, 1e-8, 0.01, 1))
      assert.matches("lr is %-1", step(-1.0, 0.9, 0.999, 1e-8, 0.01, 1))
      assert.matches("betas are 1.5 and", step(0.1, 1.5, 0.999, 1e-8, 0.01, 1))
      assert.matches("weight_decay is %-1", step(0.1, 0.9, 0.999, 1e-8, -1.0, 1))
      assert.same({ 1, 1 }, tensors[1]:totable())
    end
  end)

  -- A parameter whose gradients begin at step 4 of 6; the numbers are those of PyTorch 2.15, torch.optim.AdamW(lr=0.1).
  local function late(interrupt)
    local net = nn.Sequential(single(2), nn.Linear(2, 1, { bias = false }))
    local a, b = net:get(1).weight, net:get(2).weight
    torch.no_grad(function() b:copy_(torch.tensor { { 1.0, -3.0 } }) end)
    local opt = optim.AdamW(net, { lr = 0.1 })
    for t = 1, 6 do
      opt:zero_grad()
      half_square(net:get(1)):backward()
      if t >= 4 then (b ^ 3 / 3):sum():backward() end
      opt:step()
      if interrupt then opt = interrupt(opt, net) end
    end
    assert.near(1.39478183, a:item(), 1e-6)
    assert.near(0.70151979, b[{ 1, 1 }]:item(), 1e-6)
    assert.near(-3.29112792, b[{ 1, 2 }]:item(), 1e-6)
  end

  it("AdamW counts the updates of every parameter by itself", function()
    late()
    late(function(opt, net)
      local again = optim.AdamW(net, { lr = 0.1 })
      again:load_state_dict(opt:state_dict())
      return again
    end)
  end)

  it("read a state with one count for all, and refuse what is none", function()
    local m = single(2)
    local opt = optim.AdamW(m)
    local ones = torch.ones(1, 1)
    opt:load_state_dict { step = torch.tensor(7), ["m/weight"] = ones, ["v/weight"] = ones }
    assert.equal(7, opt.entries[1].steps)
    assert.matches("step is nil, expected a tensor with one whole number", message(opt.load_state_dict, opt, {}))
    assert.matches("m/weight is %[float32 2%], expected a tensor of shape 1x1",
      message(opt.load_state_dict, opt, { step = torch.tensor(7), ["m/weight"] = torch.ones(2) }))
  end)

  it("refuse the state of another optimiser or model, and stay as they are", function()
    local m, ones = single(2), torch.ones(1, 1)
    local function refused(by, state) return message(by.load_state_dict, by, state) end
    local adamw, sgd, plain = optim.AdamW(m), optim.SGD(m, { momentum = 0.9 }), optim.SGD(m)
    half_square(m):backward()
    for _, opt in ipairs { adamw, sgd, plain } do opt:step() end
    local before = adamw:state_dict()
    assert.matches("the state has 'velocity/weight', which this optimiser of this model does not know",
      refused(adamw, sgd:state_dict()))
    assert.matches("the state has 'm/weight', which", refused(sgd, before))
    assert.matches("m/weight is nil, expected a tensor of shape 1x1", refused(adamw, plain:state_dict()))
    assert.matches("v/weight is nil, expected a tensor of shape 1x1", refused(adamw, { step = torch.tensor(7), ["m/weight"] = ones }))
    assert.matches("the state has 'm/other', which",
      refused(adamw, { step = torch.tensor(7), ["m/weight"] = ones, ["v/weight"] = ones, ["m/other"] = ones }))
    assert.matches("the state is 3, expected a table", refused(adamw, 3))
    assert.equal(1, adamw.steps)
    assert.equal(0, largest(before["m/weight"], adamw:state_dict()["m/weight"]))
    for _, opt in ipairs { adamw, sgd, plain } do opt:load_state_dict(opt:state_dict()) end
    assert.equal(1, adamw.entries[1].steps)
    local new = optim.AdamW(m)
    new:load_state_dict(new:state_dict()) -- nothing yet
  end)

  it("go on from their state as if never stopped", function()
    local a, b = single(2), single(2)
    local oa, ob = optim.AdamW(a), optim.AdamW(b)
    local function step(m, opt)
      opt:zero_grad()
      half_square(m):backward()
      opt:step()
    end
    step(a, oa)
    step(a, oa)
    step(b, ob)
    local again = optim.AdamW(b)
    again:load_state_dict(ob:state_dict())
    step(b, again)
    assert.equal(a.weight:item(), b.weight:item())
  end)

  it("clip the joint norm", function()
    local m = single(3)
    local opt = optim.SGD(m)
    m.weight.grad = torch.full({ 1, 1 }, 10.0)
    assert.equal(10, opt:clip_grad_norm(1))
    assert.near(1, m.weight.grad:item(), 1e-5)
  end)
end)

describe("the schedule", function()
  it("warms up by iteration and falls as a cosine by epoch", function()
    local f = optim.warmup_cosine { epochs = 10, steps_per_epoch = 4, warmup_epochs = 2.5, ratio = 0.1 }
    assert.near(0.1, f(0), 1e-12)
    assert.near(0.5 * (1 + math.cos(math.pi * 1 / 10)) * (1 - 0.6 * 0.9), f(4), 1e-12)
    assert.near(0.5 * (1 + math.cos(math.pi * 5 / 10)), f(20), 1e-12)
    assert.equal(f(36), f(39))
    assert.near(0, f(40), 1e-12)
    for name, value in pairs { warmup_epochs = "a", ratio = 2, epochs = 0 } do
      local options = { epochs = 10, steps_per_epoch = 4, [name] = value }
      assert.matches(("warmup_cosine: %s is '?%s'?, expected a number"):format(name, value), message(optim.warmup_cosine, options))
    end
  end)
end)
