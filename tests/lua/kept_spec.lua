-- What an experiment says, keeps and compares: plans, models, paired differences.
local torch = require "torch"
local dgam = require "dgam"
local lfs = require "lfs"
local results = require "dgam.trial.results"
local support = require "support"
local shell = require "util.shell"
local film = require "film"

local CLIPS = 40

-- A model whose file is its name; answers: which clips a trial got right.
local function model_of(name)
  return { save = function(_, path, about)
    film.text(path, ("%s %s %s"):format(name, about.input.clip_len, about.training.seed))
  end }
end

local function answers(share)
  local list = {}
  for c = 1, CLIPS do list[c] = c * 7 % CLIPS < share * CLIPS and 1 or 0 end
  return torch.tensor(list, { dtype = "uint8" })
end

describe("an experiment", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function new(options)
    local o = { name = "kept", seeds = 2, folder = folder, config = { clip_len = 8 } }
    for k, v in pairs(options or {}) do o[k] = v end
    return dgam.experiment(o)
  end

  -- Runs two variants; `val` is the validation of each seed.
  local function run(exp, val)
    exp:run({ { "base", share = 0.3 }, { "other", share = 0.8 } }, function(cfg, label)
      return { metrics = { top1 = 100 * cfg.share }, curves = { val_top1 = { 1, val[cfg.seed] } }, arrays = { right = answers(cfg.share),
        index = torch.arange(CLIPS) }, model = model_of(label .. cfg.seed) }
    end)
  end

  local function models()
    local names = {}
    for name in lfs.dir(folder .. "/models") do
      if name:find "%.h5$" then names[#names + 1] = support.bytes(folder .. "/models/" .. name) end
    end
    table.sort(names)
    return names
  end

  it("keeps of every variant the model that was best on the validation list, all of them or none", function()
    run(new(), { 40, 60 })
    assert.same({ "base2 8 2", "other2 8 2" }, models())
    support.remove(folder .. "/models")
    for _, record in ipairs(results.scan(folder)) do os.remove(record.path) end
    run(new { keep = "all" }, { 40, 60 })
    assert.equal(4, #models())
    for _, record in ipairs(results.scan(folder)) do os.remove(record.path) end
    support.remove(folder .. "/models")
    run(new { keep = "none" }, { 40, 60 })
    assert.is_nil(lfs.attributes(folder .. "/models"))
    support.fails("unknown keep 'some'; expected one of best, all, none", new, { keep = "some" })
    local exp = new()
    support.fails("model = 3, expected one with a method save", exp.trial, exp, "wrong", {}, function()
      return { metrics = { a = 1 }, model = 3 }
    end)
  end)

  it("loses no result for a model that cannot be kept, and describes clips by the settings' defaults", function()
    local exp, about = new { seeds = 1, config = {} }, nil
    exp:trial("refused", {}, function()
      return { metrics = { top1 = 1 }, model = { save = function() error("the disk is full", 0) end } }
    end)
    exp:trial("defaults", {}, function()
      return { metrics = { top1 = 2 }, model = { save = function(_, path, given)
        about = given
        film.text(path, "x")
      end } }
    end)
    local records = results.scan(folder)
    assert.equal(2, #records)
    assert.same({ 32, 2, 224 }, { about.input.clip_len, about.input.interval, about.input.size })
    local kept = {}
    for _, r in ipairs(records) do kept[r.label] = results.load(r.path).model ~= nil end
    assert.same({ refused = false, defaults = true }, kept)
  end)

  it("stores where a result was computed", function()
    run(new(), { 1, 2 })
    local record = results.load(results.scan(folder)[1].path)
    assert.matches("^dgamlua ", record.about.program)
    assert.matches("threads$", record.about.cpu)
    assert.matches("libtorch .*oneDNN .*FFmpeg .*HDF5 ", record.about.libraries)
    local there = 0
    for _, r in ipairs(results.scan(folder)) do
      if lfs.attributes(results.load(r.path).model, "mode") == "file" then there = there + 1 end
    end
    assert.equal(2, there) -- of two variants the best seed each
  end)

  it("has the difference to the first row in its table, and what it could have seen", function()
    local exp = new()
    run(exp, { 1, 2 })
    local text = tostring(exp:table { "top1" })
    assert.matches("\nbase .- %-\n", text)
    assert.matches("\nother .-%+50%.00 %(%+%d+%.%d+ to %+%d+%.%d+%) %*\n", text)
    assert.matches("between two variants a difference of %d+%.%d points would have been found four times in five", text)
  end)

  it("compares nothing where clips differ, or are few", function()
    local exp = new { seeds = 1 }
    for label, first in pairs { a = 1, b = 2 } do
      exp:trial(label, { n = first }, function(cfg)
        return { metrics = { top1 = 1 }, arrays = { right = answers(0.5), index = torch.arange(CLIPS) + cfg.n } }
      end)
    end
    assert.not_matches("difference", tostring(exp:table { "top1" }))
    exp = new { seeds = 1, name = "few" }
    for _, label in ipairs { "a", "b" } do
      exp:trial(label, {}, function() return { metrics = { top1 = 1 }, arrays = { right = torch.ones({ 5 }, { dtype = "uint8" }) } } end)
    end
    assert.not_matches("difference", tostring(exp:table { "top1" }))
  end)

  it("says what it is going to do, which trial it is at, and where things are", function()
    film.text(folder .. "/script.lua", ([[
      local dgam = require "dgam"
      local exp = dgam.experiment { name = "told", seeds = 2, folder = %q, config = { clip_len = 8 } }
      local function f(cfg) return { metrics = { x = cfg.n } } end
      exp:run({ { "one", n = 1 }, { "two", n = 2 } }, f, function() return 45 end)
      exp:goodbye()]]):format(folder .. "/out"))
    local command = ("%s %s 2>&1 < /dev/null"):format(shell.program(), shell.quote(folder .. "/script.lua"))
    local pipe = io.popen(command)
    local text = pipe:read "a"
    pipe:close()
    assert.matches("told: 4 trials, 0 stored already\nabout 3 minutes, by a step", text)
    assert.matches("trial 1 of 4: one, seed 1\n", text)
    assert.matches("trial 4 of 4: two, seed 2, about 1 second left\n", text)
    assert.matches("results: .*/out %(dgamlua results told%)", text)
    pipe = io.popen(command)
    text = pipe:read "a"
    pipe:close()
    assert.matches("4 trials, 4 stored already\n", text)
    assert.not_matches("trial 1 of", text)
    assert.not_matches("about", text)
  end)
end)
