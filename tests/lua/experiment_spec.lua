-- Experiments and the results store: found again, never half-written, honest about what is damaged.
local lfs = require "lfs"
local torch = require "torch"
local experiment = require "dgam.trial.experiment"
local results = require "dgam.trial.results"
local support = require "support"
local fs = require "dgamnative.fs"
local fails, message = support.fails, support.message

describe("an experiment", function()
  local top, folder
  before_each(function()
    top = support.folder()
    folder = top .. "/results" -- which is not there yet
  end)
  after_each(function() support.remove(top) end)

  local function new(options)
    options = options or {}
    options.name, options.folder = options.name or "spec", folder
    options.seeds = options.seeds or 2
    return experiment(options)
  end

  it("runs a trial once for each seed and reads it back afterwards", function()
    local runs = 0
    local function trial(cfg)
      runs = runs + 1
      return { metrics = { top1 = 10 * cfg.seed + cfg.bonus, n = 3 }, curves = { loss = { 3, 2, 1.5 } },
        arrays = { scores = torch.tensor { { 1.0, 2.0 } } }, texts = { words = { "a", "b" } } }
    end
    new():trial("a", { bonus = 1 }, trial)
    assert.equal(2, runs)
    local again = new()
    local list = again:trial("renamed", { bonus = 1 }, trial)
    assert.equal(2, runs)
    assert.equal(11, list[1].metrics.top1)
    assert.same({ 3, 2, 1.5 }, list[2].curves.loss)
    assert.same({ { 1, 2 } }, results.array(list[1].path, "scores"):totable())
    local flat = again:trial("flat", {}, function() return { top1 = 3, loss = { 1, 2 }, words = { "x", "y" } } end)[1]
    assert.equal(3, flat.metrics.top1)
    local file <close> = require("dgam.kernels.h5").open(flat.path)
    assert.same({ "x", "y" }, file:read "texts/words")
    again:trial("b", { bonus = 2 }, trial)
    assert.equal(4, runs)
    new({ config = { lr = 1 } }):trial("a", { bonus = 1 }, trial)
    assert.equal(6, runs)
    assert.equal(8, #results.scan(folder))
  end)

  it("notices changed code but not changed threads", function()
    local exp = new { config = { threads = 1 } }
    local one = exp:key({ seed = 1, threads = 1 }, function() return 1 end)
    assert.equal(one, exp:key({ seed = 1, threads = 8 }, function() return 1 end))
    assert.not_equal(one, exp:key({ seed = 1, threads = 1 }, function() return 2 end))
    local k = 1
    local function uses() return k end
    local before = exp:key({}, uses)
    k = 2
    assert.not_equal(before, exp:key({}, uses))
    local cfg = { seed = 1, threads = 2 } -- but a variant of so many threads is not one of others
    assert.not_equal(exp:key(cfg, uses, { threads = 2 }), exp:key({ seed = 1, threads = 4 }, uses, { threads = 4 }))
  end)

  it("notices changed global variables, and modules that the function requires", function()
    local exp = new()
    local function key_of(text) return exp:key({}, load(text, "=script")()) end
    local text = [[
      dgam_factor, dgam_runs, dgam_list = 2, 0, { 1, 2 }
      function dgam_helper(x) return x * 10 end
      return function()
        local function inner() return dgam_helper(1) + #dgam_list end
        dgam_runs = dgam_runs + 1
        return inner() * dgam_factor + math.floor(1.5) + #arg
      end]]
    local before = key_of(text)
    assert.equal(before, key_of("-- why\n" .. text))
    assert.equal(before, key_of((text:gsub("2, 0,", "2, 7,")))) -- a counter
    for what, other in pairs { ["= 2, 0"] = "= 3, 0", ["x %* 10"] = "x * 100", ["{ 1, 2 }"] = "{ 1, 2, 3 }" } do
      local changed, n = text:gsub(what, other)
      assert.equal(1, n)
      assert.not_equal(before, key_of(changed), what)
    end
    for _, name in ipairs { "dgam_factor", "dgam_runs", "dgam_list", "dgam_helper" } do _G[name] = nil end -- luacheck: ignore

    local path = package.path
    package.path = top .. "/?.lua;" .. path
    local function lazy() return require("dgam_lazy_module").f(require "lfs") end
    fs.write(top .. "/dgam_lazy_module.lua", "return { f = function() return 1 end }")
    before = exp:key({}, lazy)
    assert.equal(before, exp:key({}, lazy))
    fs.write(top .. "/dgam_lazy_module.lua", "return { f = function() return 2 end }")
    assert.not_equal(before, exp:key({}, lazy))
    package.path = path
  end)

  it("notices other weights in a checkpoint that the configuration names", function()
    local exp = new()
    local function f() return 1 end
    local file = top .. "/weights.h5"
    fs.write(file, "one")
    local before = exp:key({ pretrained = file }, f)
    fs.write(file, "three")
    assert.not_equal(before, exp:key({ pretrained = file }, f))
    assert.equal(exp:key({ pretrained = "none.h5" }, f), exp:key({ pretrained = "none.h5" }, f))
  end)

  it("checks what it is given before anything runs", function()
    local exp = new()
    local function never() error "ran" end
    fails("trial: label is 1.5, expected text", exp.trial, exp, 1.5, {}, never)
    fails("trial 'a': variant is nil, expected a table", exp.trial, exp, "a", nil, never)
    fails("trial 'a': f is nil, expected a function", exp.trial, exp, "a", {})
  end)

  it("notices what changed in tables that the code has hold of", function()
    local exp = new()
    local function key_of(text) return exp:key({}, load(text, "=script")()) end
    local text = [[
      local W, h = { 1, 2, deep = { on = true } }, { f = function() return 10 end }
      local Gate = setmetatable({ made = 0 }, {})
      function Gate.forward(x) return x + 1 end
      return function() return #W + h.f() + Gate.forward(1) end]]
    local before = key_of(text)
    assert.equal(before, key_of("-- why\n" .. text:gsub("Gate", "Class"):gsub("W", "weights")))
    assert.equal(before, key_of((text:gsub("made = 0", "made = 1")))) -- the state of an object
    for what, other in pairs { ["1, 2"] = "1, 2, 3", ["1, 2,"] = "1, 2.5,", ["on = true"] = "on = false", ["on ="] = "off =",
      ["return 10"] = "return 50", ["x %+ 1"] = "x + 2" } do
      local changed, n = text:gsub(what, other)
      assert.equal(1, n)
      assert.not_equal(before, key_of(changed), what)
    end
    local loop, log = {}, require "util.json"
    loop.loop, loop.log, loop.tensor, loop[log], loop.print = loop, log, torch.ones(1), 1, print
    local function uses() return loop end
    before = exp:key({}, uses)
    loop.tensor, loop.print = torch.ones(2), nil -- neither plain nor of this file
    assert.equal(before, exp:key({}, uses))
    loop.loop = 1
    assert.not_equal(before, exp:key({}, uses))
  end)

  it("finds trials again that note things down in the script's tables", function()
    local runs, files
    local function script()
      local seen, sizes, last, made = {}, {}, nil, {}
      local exp = new { seeds = 2 }
      runs, files = 0, {}
      for i = 1, 3 do
        sizes[i] = i -- the script's own change counts
        local list = exp:trial("t" .. i, {}, function(cfg)
          runs, seen[#seen + 1] = runs + 1, cfg.seed
          last = last or {}
          last.seed = cfg.seed
          local before = made[1] and made[1][1].metrics.top1 or 0
          return { metrics = { top1 = #sizes, before = before }, arrays = { x = torch.ones(1) } }
        end)
        made[i] = list
        for _, record in ipairs(list) do
          assert.equal(i, record.metrics.top1)
          files[#files + 1] = record.path
        end
      end
    end
    script()
    assert.equal(6, runs)
    local first = files
    script()
    assert.equal(0, runs)
    assert.same(first, files)
    for _, lost in ipairs { 2, 3, 6 } do os.remove(first[lost]) end -- as if it had been stopped
    script()
    assert.equal(3, runs)
    assert.same(first, files)
  end)

  it("notices changed code of a module that the script uses, but not a changed comment", function()
    lfs.mkdir(folder)
    local before, name = package.path, "spec_gate"
    package.path = folder .. "/?.lua;" .. before
    local function key_with(code)
      local f <close> = assert(io.open(("%s/%s.lua"):format(folder, name), "w"))
      f:write(code)
      f:close()
      require(name)
      return new():key({}, function() return 1 end)
    end
    local one, comment, other = key_with "return 1", key_with "-- why\nreturn 1", key_with "return 2"
    package.path, package.loaded[name] = before, nil
    assert.equal(one, comment)
    assert.not_equal(one, other)
    assert.not_equal(one, new():key({}, function() return 1 end))
  end)

  it("keeps finished trials when a later one fails, and leaves nothing half-written", function()
    local exp = new { seeds = { 1, 2, 3 } }
    assert.matches("boom", message(exp.trial, exp, "a", {}, function(cfg)
      if cfg.seed == 3 then error "boom" end
      return { metrics = { top1 = 1 } }
    end))
    assert.equal(2, #results.scan(folder))
    local expected = { ["."] = true, [".."] = true, partial = true, ["index.json"] = true }
    for name in lfs.dir(folder) do assert.truthy(expected[name] or name:match "^[^.].*%.h5$", name) end
    assert.matches("expected a table with metrics", message(exp.trial, exp, "b", {}, function() return 1 end))
  end)

  it("refuses parts of a result that it does not know", function()
    local exp = new { seeds = 1 }
    local function gives(result) return message(exp.trial, exp, "a", {}, function() return result end) end
    local metrics = { top1 = 1 }
    assert.matches("unknown part of the result 'curve'; did you mean 'curves'?", gives { metrics = metrics, curve = {} }, 1, true)
    assert.matches("'array'; did you mean 'arrays'?", gives { metrics = metrics, curves = {}, array = {} }, 1, true)
    assert.matches("curves = 3, expected a table", gives { metrics = metrics, curves = 3 })
    assert.matches("curves/curve is a table, expected a list of numbers", gives { top1 = 1, curve = { loss = { 1 } } })
    assert.equal(0, #results.scan(folder))
  end)

  it("says which results file is damaged and goes on with the others", function()
    local exp = new { seeds = 1 }
    local list = exp:trial("a", {}, function() return { metrics = { top1 = 1 } } end)
    local f = assert(io.open(list[1].path, "wb"))
    f:write "not HDF5 at all"
    f:close()
    local records, problems = results.scan(folder)
    assert.equal(0, #records)
    assert.equal(1, #problems)
    assert.matches(list[1].path, problems[1], 1, true)
    assert.matches(list[1].path, message(function()
      new({ seeds = 1 }):trial("a", {}, function() return { metrics = { top1 = 1 } } end)
    end), 1, true)
  end)

  it("tabulates trials and rows derived from them", function()
    local exp = new { seeds = 2 }
    exp:trial("dual", {}, function(cfg) return { metrics = { top1 = cfg.seed, oracle_top1 = 50 } } end)
    exp:rule()
    exp:row("oracle", "dual", "oracle_")
    local text = tostring(exp:table { "top1" })
    assert.matches("dual +1.50 ± 6.35", text)
    assert.matches("oracle +50.00 ± 0.00", text)
    assert.matches("no trial is called 'x'", message(exp.row, exp, "y", "x", ""))
    assert.matches("unknown column 'topp1'; did you mean 'top1'?", message(exp.table, exp, { "topp1" }), 1, true)
    assert.equal(text, tostring(exp:table({ "top1" }, { "top1_ell" }))) -- which no trial has
    assert.matches("oracle top1", tostring(exp:table({ "top1" }, { "oracle_top1" })))
  end)

  it("keeps artifacts between trials", function()
    local exp, runs = new(), 0
    local function build()
      runs = runs + 1
      return { ["a.weight"] = torch.tensor { 1.0, 2.0 } }
    end
    exp:artifact("stage0", { seed = 1 }, build)
    assert.same({ 1, 2 }, exp:artifact("stage0", { seed = 1 }, build)["a.weight"]:totable())
    assert.equal(1, runs)
    exp:artifact("stage0", { seed = 2 }, build)
    assert.equal(2, runs)
    local log = {}
    local function logs()
      log[#log + 1] = "built"
      return { w = torch.ones(1) }
    end
    for _ = 1, 2 do exp:artifact("logged", {}, logs) end
    assert.equal(1, #log)
  end)

  it("gives a trial the same random numbers whatever ran before it", function()
    local function trial(cfg)
      new():artifact("part", { seed = cfg.seed }, function() return { w = torch.randn(3) } end)
      return { metrics = { draw = torch.randn(1):item() } }
    end
    torch.manual_seed(5)
    local first = new({ seeds = { 4 } }):trial("a", {}, trial)[1].metrics.draw
    os.remove(new({ seeds = { 4 } }):trial("a", {}, trial)[1].path)
    torch.randn(17) -- another history, and the artifact is stored by now
    assert.equal(first, new({ seeds = { 4 } }):trial("a", {}, trial)[1].metrics.draw)
  end)

  it("refuses bad names, seeds and folders", function()
    assert.matches("name is a/b", message(experiment, { name = "a/b" }))
    assert.matches("seeds is x", message(experiment, { name = "a", seeds = "x" }))
    assert.matches("did you mean 'seeds'", message(experiment, { name = "a", seed = 1 }))
    assert.matches("seeds has 1 twice, expected different whole numbers", message(experiment, { name = "a", seeds = { 1, 2, 1 } }))
    assert.matches("seeds has 1.5, expected", message(experiment, { name = "a", seeds = { 1.5 } }))
    assert.matches("seeds has a, expected", message(experiment, { name = "a", seeds = { 1, "a" } }))
    local exp = experiment { name = "a", seeds = 1, folder = "/proc/nothing" }
    assert.matches("cannot make the folder /proc/nothing", message(exp.trial, exp, "a", {}, function() end))
  end)
end)

describe("an experiment that is killed", function()
  -- Three trials of five steps each, with their state in cfg.checkpoint after every step, as training does it.
  local SCRIPT = [[
local experiment = require "dgam.trial.experiment"
local h5 = require "dgam.kernels.h5"
local system = require "system"
local exp = experiment { name = "killed", seeds = 3 }
exp:trial("sum", { step = 0.1 }, function(cfg)
  local i, sum = 0, 0.0
  if h5.is_file(cfg.checkpoint) then
    local f <close> = h5.open(cfg.checkpoint)
    i, sum = f:value "i", f:value "sum"
  end
  while i < 5 do
    i, sum = i + 1, sum + math.sin(cfg.seed * i) * cfg.step
    local f <close> = h5.create(cfg.checkpoint)
    f:write("i", i)
    f:write("sum", sum)
    f:close()
    system.sleep(0.004)
  end
  return { top1 = sum }
end)
io.write(exp:table({ "top1" }):csv())
for _, record in ipairs(exp.trials.sum) do io.write(("%.17g\n"):format(record.metrics.top1)) end
]]

  it("ends with the same table, however often", function()
    local folder = os.tmpname()
    os.remove(folder)
    if lfs.attributes("/dev/shm", "mode") then folder = folder:gsub("^/tmp", "/dev/shm") end -- fsync on a busy disk takes seconds
    assert(lfs.mkdir(folder))
    local f = assert(io.open(folder .. "/killed.lua", "w"))
    f:write(SCRIPT)
    f:close()
    local program = assert(io.popen "readlink /proc/$PPID/exe"):read "l"
    local function run(name, seconds)
      local p = assert(io.popen(("DGAMLUA_RESULTS='%s/%s' timeout -s KILL %g '%s' '%s/killed.lua' 2>&1"):format(folder, name,
        seconds, program, folder)))
      local text = p:read "a"
      local ok = p:close()
      return text, ok
    end
    local want, ok = run("whole", 60)
    assert.is_true(ok, want)
    local kills, limit, got = 0, 0.03
    repeat
      got, ok = run("killed", kills < 10 and limit or 60)
      if not ok then kills, limit = kills + 1, limit * 1.3 % 0.1 + 0.02 end
    until ok
    assert.is_true(kills > 0)
    assert.equal(want, got)
    local stored = 0
    for name in lfs.dir(folder .. "/killed") do
      if name:match "^[^.].*%.h5$" then stored = stored + 1 end
    end
    assert.equal(3, stored)
    support.remove(folder)
  end)
end)
