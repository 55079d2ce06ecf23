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

  -- --- the trainer ---

  local function same_weights(a, b) assert.equal(0, largest_difference(a:state_dict(), b:state_dict())) end

  it("calls hooks in order, with the step and the record, and they change no number by being there", function()
    local plain, model, said = new_model(), new_model(), {}
    local want = train.fit(plain, dataset, config { epochs = 2 })
    local t <close> = train.trainer(model, dataset, config { epochs = 2 })
    local last
    for _, letter in ipairs { "a", "b" } do
      t:on("after_backward", function(self, step)
        assert.equal(t, self)
        assert.is_number(model.heads["0"].weight.grad:sum():item())
        assert.is_nil(model.gate.linear1.weight.grad)
        said[#said + 1] = ("%s backward %d/%d at %d"):format(letter, step.epoch, step.number, step.at)
        last = step
      end)
    end
    t:on("after_step", function(_, step)
      assert.equal(last, step)
      assert.equal(step.at + 1, t.optimizer.steps)
      assert.same({ 4, 4, t.schedule(step.at) }, { step.clips, #step.batch.label, step.factor })
      assert.is_true(step.loss > 0 and step.right >= 0 and step.right <= 4)
      said[#said + 1] = "step"
    end)
    t:on("on_epoch", function(self, record)
      said[#said + 1] = ("epoch %d of %d"):format(record.epoch, self.cfg.epochs)
      assert.equal(record.epoch == 2, record.val_top1 ~= nil)
      record.extra = 10 * record.epoch
    end)
    local got = t:run()
    local expected = {}
    for at = 0, 5 do
      for _, letter in ipairs { "a", "b" } do
        expected[#expected + 1] = ("%s backward %d/%d at %d"):format(letter, at // 3 + 1, at % 3 + 1, at)
      end
      expected[#expected + 1] = "step"
      if at % 3 == 2 then expected[#expected + 1] = ("epoch %d of 2"):format(at // 3 + 1) end
    end
    assert.same(expected, said)
    for i, record in ipairs(got) do
      assert.equal(10 * i, record.extra)
      record.extra = nil
    end
    assert.same(want, got)
    same_weights(plain, model)
  end)

  it("lets hooks change gradients", function()
    local model = new_model()
    local before = {}
    for name, t in pairs(model:state_dict()) do before[name] = t:clone() end
    local t <close> = train.trainer(model, dataset, config { epochs = 1, weight_decay = 0 })
    t:on("after_backward", function()
      for _, p in model:named_parameters() do
        if p.grad then p.grad:mul_(0) end
      end
    end)
    t:run()
    assert.equal(0, largest_difference(before, model:state_dict()))
    local norms = {}
    local clipped <close> = train.trainer(new_model(), dataset, config { epochs = 1 })
    clipped:on("after_backward", function(self) norms[#norms + 1] = self.optimizer:clip_grad_norm(1e-3) end)
    clipped:on("after_backward", function(self) norms[#norms + 1] = self.optimizer:clip_grad_norm(1e9) end)
    clipped:run()
    assert.equal(6, #norms)
    for i = 2, 6, 2 do assert.is_true(norms[i] < 1.01e-3 and norms[i - 1] > 1e-3) end
  end)

  it("adds gradients up while a hook holds the optimiser back, also over a stop", function()
    local function begin(model, path, stop)
      local t = train.trainer(model, dataset, config { epochs = 2, checkpoint = path, checkpoint_seconds = 0 })
      t:on("after_backward", function(_, step)
        if step.at == stop then error("stop", 0) end
        return step.at % 2 == 1
      end)
      return t
    end
    local whole, sums = new_model(), {}
    local t = begin(whole)
    t:on("after_backward", function() sums[#sums + 1] = whole.heads["0"].bias.grad:clone() end)
    local weights = {}
    t:on("after_step", function() weights[#weights + 1] = whole.heads["0"].bias:detach():clone() end)
    local want = t:run()
    assert.same({ 3, 3 }, { t.optimizer.steps, #weights })
    assert.is_true((sums[2] - sums[1]):abs():max():item() > 0)

    -- The gradient of the second step alone, at the weights of the first: what the sum has beside the first.
    local alone = train.trainer(new_model(), dataset, config { epochs = 2 })
    local second
    alone:on("after_backward", function(self, step)
      if step.at == 1 then second = self.model.heads["0"].bias.grad:clone() end
      self.optimizer:zero_grad()
    end)
    alone:run()
    assert.is_true((sums[1] + second - sums[2]):abs():max():item() < 1e-6)

    for _, stop in ipairs { 1, 2, 5 } do
      local path, cut, again = ("%s/gathering-%d.h5"):format(folder, stop), new_model(), new_model()
      local stopped = begin(cut, path, stop)
      support.fails("stop", stopped.run, stopped)
      assert.same(want, begin(again, path):run())
      same_weights(whole, again)
    end
  end)

  it("keeps what hooks keep in its checkpoints", function()
    local function begin(model, path, stop)
      local t = train.trainer(model, dataset, config { epochs = 2, checkpoint = path, checkpoint_seconds = 0 })
      t:on("after_step", function(self, step) -- a moving average of a bias
        local now, mean = model.heads["1"].bias:detach(), self.state.mean
        self.state.mean = mean and mean * 0.9 + now * 0.1 or now:clone()
        if step.at == stop then error("stop", 0) end
      end)
      return t
    end
    local whole, path = begin(new_model()), folder .. "/mean.h5"
    whole:run()
    local cut = begin(new_model(), path, 3)
    support.fails("stop", cut.run, cut)
    local again = begin(new_model(), path)
    assert.is_true(again:resume())
    again:run()
    assert.same(whole.state.mean:totable(), again.state.mean:totable())
  end)

  it("can be led step by step, saved and loaded", function()
    local want = train.trainer(new_model(), dataset, config { epochs = 2 })
    want:resume()
    want:run_epoch()
    local path, cfg = folder .. "/by-hand.h5", config { epochs = 2 }
    local t = train.trainer(new_model(), dataset, cfg)
    assert.is_false(t:resume())
    for batch in t.loader:epoch(1) do
      local loss = t:step(batch)
      assert.is_true(loss > 0)
      if batch.number == 2 then break end
    end
    t:save(path)
    local v = t:validate() -- leaves the model in eval mode; the next step does not
    assert.same({ "number", "number", 3 }, { type(v.top1), type(v.loss), v.n })
    local again = train.trainer(new_model(), dataset, cfg)
    again:load(path)
    again:run_epoch()
    same_weights(want.model, again.model)
    assert.same(want.history, again.history)
    assert.is_false(again:finished())
    again:save() -- which has no path
    support.fails("cannot", again.load, again, folder .. "/nothing.h5")
  end)

  it("says which hooks there are", function()
    local t <close> = train.trainer(new_model(), dataset, config())
    support.fails("trainer: unknown hook 'after_backwards'; did you mean 'after_backward'?", t.on, t, "after_backwards", print)
    support.fails("trainer: on_epoch is 3, expected a function", t.on, t, "on_epoch", 3)
    t:on("after_step", function() error("mine", 0) end)
    support.fails("mine", t.run, t)
    assert.is_false(t.sound) -- and so nothing of that step would be saved on Ctrl-C
  end)

  it("goes on with settings that are tables and functions", function()
    local changes = { jitter = { brightness = 0.4, hue = 0.1 }, enhance = function(clip) return clip end, epochs = 2 }
    local whole = new_model()
    local want = train.fit(whole, dataset, config(changes))
    local path, cut = folder .. "/tables.h5", config(changes)
    cut.checkpoint = path
    local t = train.trainer(new_model(), dataset, cut)
    t:on("on_epoch", function(_, record)
      if record.epoch == 2 then error("stop", 0) end
    end)
    support.fails("stop", t.run, t)
    changes.jitter, changes.enhance = { hue = 0.1, brightness = 0.4 }, function(clip) return clip end -- as another process has them
    changes.checkpoint = path
    local again = new_model()
    assert.same(want, train.fit(again, dataset, config(changes)))
    same_weights(whole, again)
    changes.jitter = { hue = 0.2 }
    support.fails("jitter was {brightness=0.4 hue=0.1}, is {hue=0.2}", train.fit, new_model(), dataset, config(changes))
  end)

  it("notes the learning rate, and which epochs were validated", function()
    local model, cfg = new_model(), config { gate_epochs = 2, epochs = 3 }
    local trained = train.switching(model, dataset, cfg)
    for i, record in ipairs(trained.history) do
      assert.near(2e-3 * 0.5 * (1 + math.cos(math.pi * (i - 1) / 3)) * (i == 1 and 1 - 0.9 / 3 or 1), record.lr, 1e-12)
    end
    local curves = train.report(model, dataset, cfg, trained).curves
    assert.same({ { 1, 2, 3 }, { 2, 3 }, { 1, 2 } }, { curves.epoch, curves.val_epoch, curves.gate_val_epoch })
    for name, n in pairs { lr = 3, loss = 3, val_top1 = 2, gate_loss = 2, gate_lr = 2, gate_val_top1 = 2, gate_val_loss = 2 } do
      assert.equal(n, #curves[name], name)
    end
  end)

  it("shows how far gate, experts and testing are, and says that a gate collapsed", function()
    local model, cfg = new_model(), config { epochs = 1, gate_epochs = 2, label = "mine" }
    model.gate.forward = function(_, stats) return torch.tensor({ { 0.1, 0.9 } }):expand(stats:size(1), 2) end
    model.gate:requires_grad_(false)
    local stderr = io.stderr
    finally(function() io.stderr = stderr end) -- luacheck: ignore
    io.stderr = assert(io.open(folder .. "/bars", "w")) -- luacheck: ignore
    local result = train.report(model, dataset, cfg, train.switching(model, dataset, cfg))
    train.gate(new_model(), train.expert_logits(model, dataset, cfg, "train"), train.expert_logits(model, dataset, cfg, "val"), cfg)
    io.stderr:close()
    local text = support.bytes(folder .. "/bars")
    for _, bar in ipairs { "mine epoch 1/1: ", "mine, experts on train: ", "mine, experts on val: ", "mine, test: ", "mine, gate: " } do
      assert.truthy(text:find("\n" .. bar, 1, true) or text:find(bar, 1, true) == 1, bar)
    end
    assert.matches("mine, gate: loss [%d.]+ .*validation top%-1 [%d.]+%%", text)
    assert.matches("\nmine, gate collapsed to gamma 2.0: 100%% of clips\n", text)
    assert.same({ "gate collapsed to gamma 2.0: 100% of clips" }, result.texts.notes)
  end)
end)

-- libtorch's device without numbers: what was left on the CPU is an error there. The operators of the core do not work on it, so the
-- model is a plain one.
describe("training on another device", function()
  local Plain = nn.class "Plain"
  function Plain:init() -- luacheck: ignore
    self.gammas, self.classes, self.temperature = { 1.0, 2.0 }, 3, 1
    self:add("body", nn.Linear(3 * FRAMES, 4))
    self:add("gate", nn.Sequential(nn.Linear(3 * FRAMES, 2), nn.BatchNorm(2)))
    self:add("heads", nn.Linear(4, 3))
  end
  function Plain:forward(clip, options)
    return self.heads(self.body(self:stats(clip))) * (options and options.expert:float():unsqueeze(2) or 1)
  end
  function Plain:stats(clip) return clip:float():flatten(4):mean(-1):transpose(2, 3):flatten(2) end -- luacheck: no unused args
  function Plain:lambda(stats) return self.gate(stats):softmax(2) end
  function Plain:expert_logits(clip) return torch.stack({ self(clip), self(clip) }, 2) end

  local folder, dataset
  setup(function()
    folder = support.folder()
    local items = {}
    for i = 1, 6 do
      local path = ("%s/%d.avi"):format(folder, i)
      torch.manual_seed(i)
      video.write(path, torch.randint(60, { FRAMES, 3, HEIGHT, WIDTH }, { dtype = "uint8" }), { width = WIDTH, height = HEIGHT, fps = 10 })
      items[i] = { path = path, label = i % 3 + 1, split = ({ "train", "val", "test" })[(i + 1) // 2] }
    end
    dataset = data.open { name = "noise", classes = { "a", "b", "c" }, root = "", items = items }
  end)
  teardown(function() support.remove(folder) end)

  -- Whether this libtorch has what the gate's training needs on that device; 1.13 has no index_select on "meta".
  local function selects(device)
    return (pcall(torch.index_select, torch.ones({ 2, 2 }, { device = device }), 1, torch.tensor({ 1 }, { device = device })))
  end

  it("takes its batches, experts, targets and gates there", function()
    for _, device in ipairs { "cpu", "meta" } do
      local model = Plain():to(device)
      local cfg = { epochs = 2, batch = 2, lr = 1e-3, clip_len = FRAMES, interval = 1, size = 24, crop_area = 0.5, threads = 1,
        test_clips = 1, test_crops = 3, experts = "uniform", gate_epochs = 2, gate_batch = 2, val_every = 1, mixup = 0.2 }
      local t <close> = train.trainer(model, dataset, cfg)
      assert.equal(device, t.device)
      assert.equal(2, #t:run())
      t:save(folder .. "/" .. device .. ".h5")
      assert.equal("cpu", train.predict(model, dataset, cfg, "test").device)
      local known = train.expert_logits(model, dataset, cfg, "train")
      for _, tensor in pairs(known) do assert.equal("cpu", tensor.device) end
      if selects(device) then
        local history = train.gate(model, known, known, cfg)
        local report = train.report(model, dataset, cfg, { history = history, gate_history = history, val = known })
        for _, tensor in pairs(report.arrays) do assert.equal("cpu", tensor.device) end
      end
      for _, p in model:named_parameters() do assert.equal(device, p.device) end
    end
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

  -- A gate trained with some settings: history and weights.
  local function trained(changes, own)
    local model = new_model()
    if own ~= nil then model.gate.objective = own end
    local cfg = { seed = 1, gate_epochs = 3, lr = 1e-3, gate_lr = 10, label = "spec" }
    for k, v in pairs(changes) do cfg[k] = v end
    return train.gate(model, known(100, 1), known(50, 2), cfg), model.gate:state_dict()
  end

  -- The same as the built-in one, written by somebody else.
  local function mine(lambda, logits, labels)
    local mixed = (logits + lambda:clamp(1e-12, 1):log():unsqueeze(3)):logsumexp(2)
    return -mixed:gather(2, labels:unsqueeze(2)):mean()
  end

  it("takes an objective of the user's, by the configuration or from the gate", function()
    local want, weights = trained { gate_objective = "mixture" }
    local copy = train.objectives.mixture
    for name, case in pairs { default = { {} }, name = { { gate_objective = "mixture" }, train.objectives.official },
      ["function"] = { { gate_objective = function(...) return copy(...) end } }, -- what cfg names wins over the gate's own
      own = { {}, function(...) return copy(...) end }, ["own name"] = { { gate_objective = "own" }, "mixture" } } do
      local history, state = trained(table.unpack(case))
      assert.same(want, history, name)
      assert.equal(0, largest_difference(weights, state), name)
    end
    local history = trained { gate_objective = mine }
    for i, record in ipairs(history) do assert.near(want[i].loss, record.loss, 1e-5) end
    assert.not_same(want, (trained({}, "official")))
    local _, still = trained { gate_objective = "official" }
    assert.is_true(largest_difference(weights, still) > 0)
  end)

  it("tells an objective the shapes, the settings and the model's temperature", function()
    local seen
    local history = trained { gate_batch = 60, mine = 5, gate_objective = function(lambda, logits, labels, cfg)
      seen = seen or { lambda.shape, logits.shape, labels.shape, labels.dtype, cfg.temperature, cfg.mine, cfg.gate_epochs,
        cfg.weight_decay }
      return mine(lambda, logits, labels)
    end }
    assert.same({ { 60, 2 }, { 60, 2, 3 }, { 60 }, "int64", 1e-6, 5, 3, 0.05 }, seen)
    assert.equal(3, #history)
  end)

  it("takes the objective of a custom gate", function()
    local gate = { name = "dark", slope = torch.tensor(0.5) }
    function gate:parameters() return { self.slope } end
    function gate:forward(stats)
      local first = stats:narrow(2, 1, 1) * self.slope
      return torch.cat({ first, -first }, 2)
    end
    local called = 0
    function gate.objective(lambda, logits, labels)
      called = called + 1
      return mine(lambda, logits, labels)
    end
    local model = new_model { gate = gate }
    train.gate(model, known(60, 1), known(30, 2), { gate_epochs = 2, gate_batch = 30, lr = 1e-2 })
    assert.equal(4, called)
    assert.is_true(gate.slope:item() > 0.5)
    gate.slope:detach():fill_(0 / 0)
    support.fails("gate 'dark' at epoch 1, step 1: the gate gave {", train.gate, model, known(60, 1), known(30, 2), { gate_epochs = 1 })
    gate.objective = 3
    support.fails("gate 'dark': its objective is 3, expected a function or one of mixture, official", train.gate,
      new_model { gate = gate }, known(60, 1), known(30, 2), {})
  end)

  it("says what an objective should not have returned", function()
    local function gives(f)
      return support.message(trained, { gate_objective = f })
    end
    local where = "gate 'Gate' at epoch 1, step 1: the objective, the function of "
    for what, f in pairs {
      ["returned nil, "] = function() end,
      ["returned a number, "] = function() return 3 end,
      ["returned a tensor of shape [100], "] = function(lambda) return lambda:sum(2) end,
      ["returned NaN, "] = function(lambda) return lambda:sum() * (0 / 0) end,
      ["returned inf, "] = function(lambda) return lambda:sum() / 0 end,
      ["returned a number that does not depend on lambda, "] = function(_, logits) return logits:mean() end,
    } do
      local e = gives(f)
      assert.equal(1, (e:find(where, 1, true)), e)
      assert.truthy(e:find(what .. "expected the loss, a tensor with one finite number that depends on lambda", 1, true), e)
      assert.matches("train_spec.lua:%d+, returned", e)
      assert.not_matches("\n", e)
    end
    support.fails("unknown gate_objective 'mixtur'; did you mean 'mixture'?", trained, { gate_objective = "mixtur" })
    support.fails("gate_objective is 3, expected own, mixture, official or a function", trained, { gate_objective = 3 })
  end)

  it("is said to have collapsed where nearly all clips go to one expert", function()
    local lambda = torch.zeros(100, 3)
    lambda:select(2, 2):fill_(1)
    lambda:narrow(1, 1, 3):select(2, 3):fill_(2)
    assert.equal("gate collapsed to gamma 1.5: 97% of clips", train.collapsed(lambda, { 1.0, 1.5, 2.0 }))
    lambda:narrow(1, 1, 6):select(2, 3):fill_(2)
    assert.is_nil(train.collapsed(lambda, { 1.0, 1.5, 2.0 }))
    assert.is_nil(train.collapsed(torch.ones(4, 1), { 1.0 }))
  end)

  it("gets next to no gradient from the official objective", function()
    local model = new_model()
    local batch = known(64, 3)
    train.objectives.official(model:lambda(batch.stats), batch.logits, batch.labels, { temperature = model.temperature }):backward()
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
