-- The settings of training: declared once, so that checks, loaders, keys, --help and the docs cannot disagree.
local options = require "dgam.train.options"
local check = require "util.check"
local support = require "support"
local keys_of = require "util.keys"

describe("the settings of training", function()
  it("have a default that fits, a meaning in a line, and stages", function()
    for _, o in ipairs(options.list) do
      assert.is_nil(check.fault(o.name, o.default, o.kind), o.name)
      assert.is_true(#o.meaning > 10 and not o.meaning:find "\n", o.name)
      assert.equal(o, options.find(o.name))
      assert.truthy(options.help(o.name):find(o.kind[1], 1, true))
      if o.resume then assert.is_true(o.stages.fit, o.name) end -- only what changes numbers of a training is compared
    end
    assert.is_nil(options.find "stage0_epochs")
    assert.is_nil(options.help "stage0_epochs")
  end)

  it("are refused with what they mean", function()
    local wrong = {} -- a coroutine is no value of any setting
    for _, o in ipairs(options.list) do
      local value = coroutine.create(function() end)
      local e = support.message(options.check, { [o.name] = value })
      assert.equal(1, (e:find("train: " .. o.name .. " is ", 1, true)), e)
      assert.truthy(e:find((", expected %s (%s: %s)"):format(o.kind[1], o.name, o.meaning), 1, true), e)
      wrong[#wrong + 1] = o.name
    end
    assert.equal(#options.list, #wrong)
    support.fails("train: lr is -1, expected a number from 0 to 1e+09 (lr: learning rate at its highest)", options.check, { lr = -1 })
    support.fails("unknown experts 'unifrom'; did you mean 'uniform'? (experts: which expert", options.check, { experts = "unifrom" })
    support.fails("train: threads is 0, expected", options.check, { threads = 0 })
    support.fails("randaugment: magnitude is 31", options.check, { randaugment = 31 })
    support.fails("unknown option 'brightnes'; did you mean 'brightness'?", options.check, { jitter = { brightnes = 1 } })
  end)

  it("stand behind what a run says, once", function()
    local cfg = options.complete { lr = 1, mine = 2 }
    assert.same({ 1, 2, 30 }, { cfg.lr, cfg.mine, cfg.epochs })
    assert.equal(cfg, options.complete(cfg))
    assert.equal(cfg, options.check(cfg))
    assert.is_nil(cfg.nothing)
    support.fails("train: cfg is nil, expected a table", options.check)
  end)

  it("tell what a stage depends on", function()
    local fit = options.settings({ epochs = 7, threads = 9, label = "x", mine = 3 }, "fit")
    assert.equal(7, fit.epochs)
    assert.equal(3e-4, fit.lr)
    for _, name in ipairs { "threads", "label", "checkpoint", "clip_cache", "gate_epochs", "test_crops", "mine" } do
      assert.is_nil(fit[name], name)
    end
    assert.same({ "clip_len", "enhance", "gate_batch", "gate_epochs", "gate_lr", "gate_objective", "interval", "lr", "seed", "size",
      "warmup_epochs", "weight_decay" }, keys_of(options.settings({}, "gate")))
    assert.same({ "clip_len", "enhance", "interval", "seed", "size", "test_clips", "test_crops" }, keys_of(options.settings({}, "test")))
    support.fails("unknown stage 'fitt'; did you mean 'fit'?", options.settings, {}, "fitt")
  end)

  it("tell what a training that goes on must agree in", function()
    local terms = options.terms { jitter = { hue = 0.1, brightness = 0.4 }, enhance = print }
    assert.same({ "{brightness=0.4 hue=0.1}", "a function", "0.0003" }, { terms.jitter, terms.enhance, terms.lr })
    for _, name in ipairs { "threads", "patience", "gate_lr", "test_clips", "checkpoint" } do assert.is_nil(terms[name], name) end
  end)

  it("go to the loaders under their names", function()
    local all = options.for_loader({ batch = 3, clip_cache = 2, draws = 4 }, "test")
    assert.same({ batch = 3, cache = 2, clip_len = 32, enhance = "none", interval = 2, seed = 1, size = 224, threads = 2 }, all)
    local train = options.for_loader({ crop_area = 0.3, mixup = 0.2 }, "train")
    assert.same({ { 0.3, 1 }, 0.2, nil }, { train.area, train.mixup, train.draws })
    assert.equal(4, options.for_loader({ draws = 4 }, "train").draws)
  end)

  it("are explained in docs/experiments.md as they are", function()
    assert.truthy(support.bytes(dgamlua.root .. "/docs/experiments.md"):find(options.markdown(), 1, true),
      "docs/experiments.md should have this table:\n" .. options.markdown())
  end)
end)
