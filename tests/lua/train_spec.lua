-- Training: goes on after a kill with the same numbers, the gate learns, clips that cannot be read do not end a run.
local torch = require "torch"
local data = require "dgam.data"
local models = require "models"
local train = require "dgam.train"
local progress = require "dgam.show.progress"
local video = require "dgam.kernels.video"
local nn = require "dgam.nn"
local lfs = require "lfs"
local support = require "support"

local WIDTH, HEIGHT, FRAMES = 24, 24, 4

local function new_model(changes)
  torch.manual_seed(11)
  local options = { backbone = { embed = 8, depths = { 1, 1 }, heads = { 2, 2 }, window = { 2, 4, 4 }, drop_path = 0.1 },
    gammas = { 1.0, 2.0 }, classes = 3, frames = FRAMES }
  for k, v in pairs(changes or {}) do options[k] = v end
  return models.dgam(options)
end

local function largest_difference(a, b)
  local worst = 0
  for name, t in pairs(a) do
    if t.dtype == "float32" then worst = math.max(worst, (t - b[name]):abs():max():item()) end
  end
  return worst
end

describe("training", function()
  local folder, dataset
  setup(function()
    folder = support.folder()
    local items = {}
    for i = 1, 18 do
      local path = ("%s/%d.avi"):format(folder, i)
      torch.manual_seed(i)
      local clip = torch.randint(60, { FRAMES, 3, HEIGHT, WIDTH }, { dtype = "uint8" })
      clip[{ {}, i % 3 + 1 }] = 150
      video.write(path, clip, { width = WIDTH, height = HEIGHT, fps = 10 })
      items[i] = { path = path, label = i % 3 + 1, split = i <= 12 and "train" or i <= 15 and "val" or "test",
        light = i % 2 == 0 and "LL" or "ELL" }
    end
    dataset = data.open { name = "colours", classes = { "red", "green", "blue" }, root = "", items = items }
  end)
  teardown(function() support.remove(folder) end)

  local function config(changes)
    local cfg = { seed = 3, epochs = 4, batch = 4, lr = 2e-3, backbone_lr = 1, clip_len = FRAMES, interval = 1, size = 24,
      crop_area = 0.5, threads = 1, test_clips = 1, test_crops = 3, experts = "uniform", label = "spec", warmup_epochs = 1 }
    for k, v in pairs(changes or {}) do cfg[k] = v end
    return cfg
  end

  it("learns what tells the classes apart", function()
    local model = new_model()
    local history = train.fit(model, dataset, config { epochs = 12 })
    assert.is_true(history[#history].loss < 0.7 * history[1].loss)
    local result = train.evaluate(model, dataset, config(), "test", "light")
    assert.is_true(result.top1 > 60)
    assert.is_number(result.top1_ll)
    assert.equal(3, result.n)
  end)

  it("learns from changed, blended, enhanced clips", function()
    local model = new_model()
    local cfg = config { epochs = 12, jitter = 0.2, gamma_jitter = 1.2, erasing = 0.25, randaugment = 1, mixup = 0.1, cutmix = 0.1,
      enhance = "clahe" }
    local history = train.fit(model, dataset, cfg)
    assert.is_true(history[#history].loss < history[1].loss)
    assert.is_true(train.evaluate(model, dataset, cfg, "test").top1 > 60)
    assert.is_false((pcall(train.fit, model, dataset, config { enhance = "clae" })))
  end)

  it("that was killed in the middle of an epoch ends with the same weights", function()
    local whole = new_model()
    local want = train.fit(whole, dataset, config())
    local real = torch.cross_entropy
    for _, after in ipairs { 1, 4, 7, 11 } do
      local path = ("%s/killed-%d.h5"):format(folder, after)
      local calls = 0
      rawset(torch, "cross_entropy", function(...)
        calls = calls + 1
        if calls > after then error("killed", 0) end
        return real(...)
      end)
      local cut = new_model()
      assert.is_false((pcall(train.fit, cut, dataset, config { checkpoint = path, checkpoint_seconds = 0 })))
      rawset(torch, "cross_entropy", real)
      local again = new_model()
      torch.manual_seed(99) -- whatever the new process did before
      local got = train.fit(again, dataset, config { checkpoint = path })
      assert.equal(0, largest_difference(whole:state_dict(), again:state_dict()))
      assert.same(want, got)
    end
    local path = folder .. "/killed-1.h5"
    assert.error_matches(function() train.fit(new_model(), dataset, config { checkpoint = path, batch = 3, dim = 0.5 }) end,
      "killed%-1%.h5: the training it holds was begun otherwise %(batch was %d+, is 3; dim was 0, is 0%.5%); remove it")
    for text, changes in pairs { ["gammas was 1 2, is 1 3"] = { gammas = { 1, 3 } },
      ["domain was normalised, is pixel"] = { domain = "pixel" },
      ["heads was per%-expert, is shared"] = { heads = "shared" } } do
      assert.error_matches(function() train.fit(new_model(changes), dataset, config { checkpoint = path }) end,
        "begun otherwise %(" .. text .. "%)")
    end
    local other = data.open { name = "other", classes = dataset.classes, root = "", items = dataset.items }
    assert.error_matches(function() train.fit(new_model(), other, config { checkpoint = path }) end, "begun otherwise %(data was ")
    require "dgam.train.checkpoint".save(path, new_model():state_dict())
    assert.error_matches(function() train.fit(new_model(), dataset, config { checkpoint = path }) end, "a training that was stopped")
  end)

  it("that Ctrl-C stopped goes on with the step after the one it came in", function()
    local whole = new_model()
    local want = train.fit(whole, dataset, config())
    local pid = io.popen("echo $PPID"):read "l"
    local real, path = torch.cross_entropy, folder .. "/stopped.h5"
    for _, at in ipairs { 2, 3, 8 } do
      local calls, answered = 0, false
      local function counted(...)
        calls = calls + 1
        if calls == at then
          io.popen("kill -INT " .. pid):close() -- os.execute would keep the signal from this process
          for _ = 1, 1000 do answered = answered or dgamlua.interrupted() end
        end
        return real(...)
      end
      rawset(torch, "cross_entropy", counted)
      local model = new_model()
      local ok, why, status = dgamlua.catch_interrupt(train.fit, model, dataset, config { checkpoint = path })
      assert.same({ nil, "interrupted", 130 }, { ok, why, status })
      assert.equal(at, calls) -- no step after it
      assert.is_false(answered) -- and it was not cut off
      calls = 100
      local again = new_model()
      local got = train.fit(again, dataset, config { checkpoint = path })
      rawset(torch, "cross_entropy", real)
      assert.equal(100 + 4 * 3 - at, calls) -- nothing twice: 4 epochs of 3 steps
      assert.equal(0, largest_difference(whole:state_dict(), again:state_dict()))
      assert.same(want, got)
      os.remove(path)
    end
  end)

  it("keeps no step that failed, and says what Ctrl-C could not keep", function()
    local pid = io.popen("echo $PPID"):read "l"
    local real, calls = torch.cross_entropy, 0
    local function counted(at, nan)
      calls = 0
      rawset(torch, "cross_entropy", function(...)
        calls = calls + 1
        if calls == at then io.popen("kill -INT " .. pid):close() end
        return calls == at and nan and real(...) * (0 / 0) or real(...)
      end)
    end
    finally(function() rawset(torch, "cross_entropy", real) end)
    local path, gone = folder .. "/nan.h5", folder .. "/gone"
    assert(lfs.mkdir(gone))
    counted(5, true)
    local cfg = config { checkpoint = path }
    assert.same({ nil, "interrupted", 130 }, { dgamlua.catch_interrupt(train.fit, new_model(), dataset, cfg) })
    local state, meta = require "dgam.train.checkpoint".load(path)
    assert.same({ 1, 0 }, { meta.epoch, meta.within.batches }) -- as it was at the end of the first epoch
    for _, t in pairs(state) do assert.is_true(not t:is_floating_point() or t:isfinite():all():item()) end

    counted(2)
    local stderr = io.stderr
    io.stderr = assert(io.open(folder .. "/said", "w")) -- luacheck: ignore
    local bar = progress.new
    progress.new = function(...) -- luacheck: ignore
      lfs.rmdir(gone) -- training has begun
      return bar(...)
    end
    local caught = { dgamlua.catch_interrupt(train.fit, new_model(), dataset, config { checkpoint = gone .. "/a.h5" }) }
    progress.new = bar -- luacheck: ignore
    io.stderr:close()
    io.stderr = stderr -- luacheck: ignore
    assert.same({ nil, "interrupted", 130 }, caught)
    assert.matches("what was trained since the last checkpoint is lost: .*gone/a.h5", support.bytes(folder .. "/said"))
  end)

  it("goes on from a checkpoint of the end of an epoch, of a program that noted no more", function()
    local checkpoint, path = require "dgam.train.checkpoint", folder .. "/old.h5"
    local want = train.fit(new_model(), dataset, config())
    local save = checkpoint.save
    checkpoint.save = function(p, state, meta) -- luacheck: ignore
      meta.within = nil
      save(p, state, meta)
      if meta.epoch == 2 then error("stopped", 0) end
    end
    local ok, why = pcall(train.fit, new_model(), dataset, config { checkpoint = path })
    checkpoint.save = save -- luacheck: ignore
    assert.same({ false, "stopped" }, { ok, why })
    assert.same(want, train.fit(new_model(), dataset, config { checkpoint = path }))
  end)

  it("goes on without a checkpoint that another process removes meanwhile", function()
    local checkpoint = require "dgam.train.checkpoint"
    local real, asked, path = checkpoint.exists, 0, folder .. "/gone.h5"
    checkpoint.exists = function(p) -- luacheck: ignore
      asked = asked + 1
      return asked == 1 or real(p)
    end
    local ok, history = pcall(train.fit, new_model(), dataset, config { epochs = 1, checkpoint = path })
    checkpoint.exists = real -- luacheck: ignore
    assert.is_true(ok, history)
    assert.equal(1, #history)
    local f <close> = assert(io.open(path, "wb"))
    f:write "no checkpoint"
    f:close()
    assert.is_false((pcall(train.fit, new_model(), dataset, config { epochs = 1, checkpoint = path })))
  end)

  it("is refused before it begins if a field is wrong", function()
    local model = new_model()
    local wrong = { test_clips = 0, test_crops = 7, gate_epochs = 0, gate_lr = -1, warmup_epochs = -1, patience = -3, val_every = 0,
      epochs = 1.5, checkpoint = 5, batch = "8", lr = 0 / 0, gate_batch = 1, dim = 2, seed = 1.5, draws = -1 }
    for name, value in pairs(wrong) do
      local ok, e = pcall(train.fit, model, dataset, config { [name] = value })
      assert.is_false(ok, name)
      assert.matches(("train: %s is %s, expected "):format(name, type(value) == "string" and "'8'" or value), e, 1, true)
      assert.is_false((pcall(train.gate, model, nil, nil, config { [name] = value })))
    end
    for _, value in ipairs { 0, 1, -1 } do support.fails("train: gate_batch is ", train.check, { gate_batch = value }) end
    support.fails("a whole number of 2 or more", train.check, { gate_batch = 0 })
    support.fails("unknown experts 'unifrom'; did you mean 'uniform'?", train.check, { experts = "unifrom" })
    support.fails("unknown gate_objective 'oficial'; did you mean 'official'?", train.check, { gate_objective = "oficial" })
    assert.equal(30, train.check({}).epochs)
    assert.equal(10, train.check({ test_crops = 10 }).test_crops)
  end)

  it("is refused before it begins if its checkpoint cannot be written or the model has too few classes", function()
    local real = torch.cross_entropy
    finally(function() rawset(torch, "cross_entropy", real) end)
    rawset(torch, "cross_entropy", function() error "trained" end)
    local path = folder .. "/none/a.h5"
    support.fails("cannot write '" .. path .. "': No such file", train.fit, new_model(), dataset, config { checkpoint = path })
    support.fails("cannot write 'a.pth'", train.fit, new_model(), dataset, config { checkpoint = "a.pth" })
    support.fails("the dataset has 3 classes, expected the model's 2 or fewer", train.fit, new_model { classes = 2 }, dataset, config())
    support.fails("trained", train.fit, new_model { classes = 4 }, dataset, config { checkpoint = folder .. "/some.h5" })
  end)

  it("trains what is not frozen, and leaves the gate's flags as they were", function()
    local model = new_model()
    local before = {}
    for name, t in pairs(model:state_dict()) do before[name] = t:clone() end
    model.backbone:requires_grad_(false)
    model.gate.linear1.weight.requires_grad = false
    local function flags()
      local t = {}
      for name, p in model:named_parameters() do t[name] = p.requires_grad end
      return t
    end
    local want = flags()
    train.fit(model, dataset, config { epochs = 1 })
    assert.same(want, flags())
    local after = model:state_dict()
    for name, t in pairs(before) do
      local still = (t - after[name]):abs():max():item() == 0
      assert.equal(not name:match "^heads", still, name)
    end
    torch.no_grad(function() model.heads["0"].weight:fill_(0 / 0) end)
    support.fails("the loss is NaN", train.fit, model, dataset, config { epochs = 1, experts = "first" })
    assert.same(want, flags())
    model.gate:requires_grad_(false)
    assert.same({}, train.gate(model, nil, nil, config()))
  end)

  it("trains a backbone of the user's, with parameters or none", function()
    local Plain, Conv = nn.class "Plain", nn.class "Conv"
    function Plain:init() self.channels = 3 end
    function Plain:forward(x) return x:permute(1, 3, 4, 5, 2) end -- luacheck: no unused args
    function Conv:init()
      self.channels = 8
      self:add("conv", nn.Conv3d(3, 8, 3, { stride = 4, padding = 1 }))
    end
    function Conv:forward(x) return self.conv(x):relu():permute(1, 3, 4, 5, 2) end
    for _, class in ipairs { Plain, Conv } do
      local model, cfg = new_model { backbone = class() }, config { epochs = 1, gate_epochs = 2 }
      local trained = train.switching(model, dataset, cfg)
      assert.same({ 1, 2 }, { #trained.history, #trained.gate_history })
      assert.is_number(train.report(model, dataset, cfg, trained).metrics.top1)
    end
  end)

  it("reports and leaves out a clip that cannot be read", function()
    local broken = folder .. "/broken.avi"
    local f = assert(io.open(broken, "wb"))
    f:write(("RIFF????AVI LIST"):rep(20))
    f:close()
    local items = { { path = broken, label = 1, split = "train" }, { path = folder .. "/none.avi", label = 2, split = "train" } }
    for _, item in ipairs(dataset.items) do items[#items + 1] = item end
    local damaged = data.open { name = "damaged", classes = dataset.classes, root = "", items = items }
    local loader = train.train_loader(damaged, config())
    local seen = 0
    for batch in loader:epoch(1) do seen = seen + #batch.label end
    assert.equal(12, seen)
    assert.equal("2 of 14 clips could not be read", loader:summary())
    loader:close()
    assert.equal(1, #train.fit(new_model(), damaged, config { epochs = 1 }))
    local only = data.open { name = "only", classes = dataset.classes, root = "", allow_overlap = true,
      items = { { path = broken, label = 1, split = "train" }, { path = broken, label = 1, split = "val" } } }
    local ok, e = pcall(train.fit, new_model(), only, config { epochs = 1 })
    assert.is_false(ok)
    assert.matches("no readable clip", e)
  end)

  it("runs all stages and reports other ways to choose", function()
    local model = new_model()
    local cfg = config { gate_epochs = 3, epochs = 2 }
    local result = train.report(model, dataset, cfg, train.switching(model, dataset, cfg), "light")
    for _, name in ipairs { "top1", "top5", "top1_ll", "fixed_top1", "fixed_gamma", "random_top1", "oracle_top1" } do
      assert.is_number(result.metrics[name], name)
    end
    assert.is_true(result.metrics.oracle_top1 >= result.metrics.top1)
    assert.same({ 3, 2, 3 }, result.arrays.experts.shape)
    assert.equal(2, #result.curves.loss)
  end)
end)

describe("the gate", function()
  -- Expert 1 is right where the first statistic is positive, expert 2 elsewhere.
  local function known(n, seed)
    torch.manual_seed(seed)
    local stats = torch.randn(n, 3 * FRAMES)
    local labels = torch.randint(1, 4, { n })
    local right = torch.one_hot(labels, 3):float() * 4
    local first = stats[{ {}, { 1, 1 } }]:gt(0):float()
    local logits = torch.stack({ right * first, right * (1 - first) }, 2):log_softmax(3)
    return { stats = stats, labels = labels, logits = logits }
  end

  it("learns to pick the expert that is right", function()
    local model = new_model()
    local val = known(200, 2)
    train.gate(model, known(600, 1), val, { seed = 1, gate_epochs = 20, lr = 1e-3, gate_lr = 10 })
    model:eval()
    local scores = torch.no_grad(function() return train.switch(val, model:lambda(val.stats)) end)
    local top1 = require("dgam.train.metrics").accuracy(scores, val.labels).top1
    assert.is_true(top1 > 85, ("%.1f"):format(top1))
  end)

  it("gets next to no gradient from the official objective", function()
    local model = new_model()
    local batch = known(64, 3)
    local lambda = model:lambda(batch.stats)
    local weights = (lambda / model.temperature):softmax(2)
    local mixed = (batch.logits + weights:clamp(1e-12, 1):log():unsqueeze(3)):logsumexp(2)
    torch.nll_loss(mixed, batch.labels):backward()
    assert.is_true(model.gate.linear1.weight.grad:abs():max():item() < 1e-6)
  end)
end)

describe("the experiments that train", function()
  local dgam = require "dgam"
  local open, fit, before = dgam.data.open, train.fit, _G.arg
  after_each(function() dgam.data.open, train.fit, _G.arg = open, fit, before end) -- luacheck: ignore

  local function run(name, options)
    _G.arg = options -- luacheck: ignore
    return pcall(assert(loadfile(("%s/lua/experiments/%s.lua"):format(dgamlua.root, name))))
  end

  it("refuse wrong numbers before they open a dataset", function()
    dgam.data.open = function() error("opened", 0) end -- luacheck: ignore
    for text, expected in pairs { ["test_crops=7"] = "test_crops is 7, expected 1, 3 or 10", ["warmup_epochs=-1"] = "warmup_epochs is -1",
      ["patience=-3"] = "patience is -3", ["stage1_epochs=0"] = "epochs is 0", ["gate_epochs=0"] = "gate_epochs is 0",
      ["seeds=1"] = "opened" } do
      local ok, e = run("ablation", { text })
      assert.is_false(ok)
      assert.matches(expected, e, 1, true)
    end
    local ok, e = run("pretrain", { "clean_epochs=0" })
    assert.is_false(ok)
    assert.matches("epochs is 0", e, 1, true)
  end)

  it("pretrain from the weights of its seed", function()
    dgam.data.open = function() return { classes = { "a", "b" } } end -- luacheck: ignore
    local states = {}
    train.fit = function(model) -- luacheck: ignore
      states[#states + 1] = model:state_dict()
      error("seen", 0)
    end
    for i, seed in ipairs { 1, 1, 2 } do
      torch.manual_seed(i)
      assert.is_false((run("pretrain", { "seed=" .. seed })))
    end
    assert.equal(0, largest_difference(states[1], states[2]))
    assert.is_true(largest_difference(states[1], states[3]) > 0)
  end)
end)
