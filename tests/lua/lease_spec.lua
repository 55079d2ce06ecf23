-- Leases, with real processes: of those that are asked for the same trial one runs it, and the death of any of them loses nothing.
local lfs = require "lfs"
local system = require "system"
local fs = require "dgamnative.fs"
local leases = require "dgam.trial.lease"
local native = require "dgamnative.lease"
local shell = require "util.shell"
local support = require "support"
local fails = support.fails

describe("leases", function()
  local folder, running
  before_each(function()
    folder, running = support.folder(), {}
    if lfs.attributes("/dev/shm", "mode") then -- a sync on a busy disk takes seconds
      lfs.rmdir(folder)
      folder = folder:gsub("^/tmp", "/dev/shm")
      lfs.mkdir(folder)
    end
  end)
  after_each(function()
    for _, pid in ipairs(running) do os.execute(("kill -KILL %d 2>/dev/null"):format(pid)) end
    support.remove(folder)
  end)

  -- Starts a script; returns the process and the file that gets what it prints.
  local function start(script, ...)
    local out = ("%s/out%d"):format(folder, #running + 1)
    local name = out .. ".lua"
    fs.write(name, script)
    fs.write(out, "")
    local pipe = assert(io.popen(("cd %s; DGAMLUA_RESULTS=results %s %s %s >%s 2>&1 & echo $!"):format(shell.quote(folder),
      shell.program(), name, table.concat({ ... }, " "), out)))
    local pid = pipe:read "n"
    pipe:close()
    running[#running + 1] = pid
    return pid, out
  end

  local function kill(how, pid) assert(os.execute(("kill -%s %d"):format(how, pid))) end

  local function until_true(what, f)
    for _ = 1, 9600 do
      if f() then return end
      system.sleep(0.025)
    end
    error("waited four minutes for " .. what)
  end

  local function says(out, text)
    until_true(out .. " to say " .. text, function() return support.bytes(out):find(text, 1, true) end)
  end

  local function ended(pid)
    until_true("the end of a process", function()
      local f <close> = io.open(("/proc/%d/stat"):format(pid))
      local stat = f and f:read "a" or ""
      return not stat:find "%)" or stat:match "%) (%u)" == "Z"
    end)
  end

  local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

  -- One trial a variant, each of which waits for the file "go" and goes on from what an earlier process left.
  local SCRIPT = [[
    local experiment, system, lfs = require "dgam.trial.experiment", require "system", require "lfs"
    local exp = experiment { name = "shared", seeds = 1 }
    for v = 1, tonumber(arg[1] or 1) do
      exp:trial("v" .. v, { v = v }, function(cfg)
        local f = io.open(cfg.checkpoint)
        io.stderr:write(f and "RESUMES " or "RUNS ", cfg.v, "\n")
        if f then f:close() end
        io.open(cfg.checkpoint, "w"):close()
        while not lfs.attributes "go" do system.sleep(0.01) end
        if lfs.attributes "fail" then error "it fails" end
        return { top1 = cfg.v }
      end)
    end
    io.write(exp:table({ "top1" }):csv())]]
  local function go() fs.write(folder .. "/go", "") end

  it("let each of several processes run what no other does, and all end with the same table", function()
    local pids, outs = {}, {}
    for i = 1, 3 do pids[i], outs[i] = start(SCRIPT, 3) end
    for _, out in ipairs(outs) do says(out, "RUNS") end
    go()
    local all = ""
    for i, pid in ipairs(pids) do
      ended(pid)
      local text = support.bytes(outs[i])
      all = all .. text
      assert.equal("variant,top1,top1_ci95\nv1,1,\nv2,2,\nv3,3,\n", text:match "variant.*", text)
    end
    for v = 1, 3 do assert.equal(1, count(all, "RUNS " .. v), all) end
    assert.matches("trial 'v1', seed 1: process %d+ on %S+ makes it since %d%d:%d%d:%d%d; going on with the next", all)
    for entry in lfs.dir(folder .. "/results/partial") do assert.is_nil(entry:find "lease", entry) end
  end)

  it("are taken over from an owner that was killed, with what it had done", function()
    local owner, owner_out = start(SCRIPT)
    says(owner_out, "RUNS")
    local _, out = start(SCRIPT)
    says(out, ("process %d on "):format(owner))
    says(out, "; waiting for it")
    kill("KILL", owner)
    says(out, "RESUMES 1")
    go()
    says(out, "v1,1")
    assert.equal(1, count(support.bytes(out), "waiting"))
  end)

  it("stay with an owner that is merely stopped", function()
    local owner, owner_out = start(SCRIPT)
    says(owner_out, "RUNS")
    kill("STOP", owner)
    local waiting, out = start(SCRIPT)
    says(out, "; waiting for it")
    system.sleep(1)
    assert.is_nil(support.bytes(out):find "RUNS" or support.bytes(out):find "RESUMES")
    kill("CONT", owner)
    go()
    ended(waiting)
    assert.truthy(support.bytes(out):find("v1,1", 1, true))
    assert.is_nil(support.bytes(out):find "RUNS" or support.bytes(out):find "RESUMES")
  end)

  it("do not hold up Ctrl-C, and go when their owner fails", function()
    local owner, owner_out = start(SCRIPT)
    says(owner_out, "RUNS")
    local waiting, out = start(SCRIPT)
    says(out, "; waiting for it")
    kill("INT", waiting)
    ended(waiting)
    assert.truthy(support.bytes(out):find("interrupted", 1, true))
    fs.write(folder .. "/fail", "")
    go()
    ended(owner)
    assert.truthy(support.bytes(owner_out):find("it fails", 1, true))
    for entry in lfs.dir(folder .. "/results/partial") do assert.is_nil(entry:find "lease", entry) end
    os.remove(folder .. "/fail")
    local _, again = start(SCRIPT)
    says(again, "v1,1")
  end)

  it("make who needs an artifact wait for who makes it", function()
    local script = [[
      local torch, experiment, system, lfs = require "torch", require "dgam.trial.experiment", require "system", require "lfs"
      local exp = experiment { name = "shared", seeds = 1 }
      local state = exp:artifact("part", { seed = 1 }, function()
        io.stderr:write "RUNS\n"
        while not lfs.attributes "go" do system.sleep(0.01) end
        return { w = torch.ones(2) }
      end)
      print("has " .. state.w:sum():item())]]
    local _, one = start(script)
    says(one, "RUNS")
    local _, two = start(script)
    says(two, "artifact 'part': process ")
    go()
    says(one, "has 2")
    says(two, "has 2")
    assert.is_nil(support.bytes(two):find "RUNS")
  end)

  it("have one taker when their owner is dead, however many try", function()
    local LEASES = 20
    local owner, out = start([[
      held = {}
      for i = 1, ]] .. LEASES .. [[ do held[i] = assert(require "dgamnative.lease".take("lease" .. i)) end
      io.stderr:write "HAS\n"
      require "system".sleep(60)]])
    says(out, "HAS")
    local takers, outs = {}, {}
    for i = 1, 4 do
      takers[i], outs[i] = start([[
        local lease, system, lfs = require "dgamnative.lease", require "system", require "lfs"
        assert(not lease.take "lease1")
        io.stderr:write "READY\n"
        while not lfs.attributes "go" do end
        local begin = lfs.attributes("go", "modification")
        local held = {}
        for i = 1, ]] .. LEASES .. [[ do
          while system.gettime() < begin + 1.5 + i * 0.02 do end -- all at the same moment
          held[i] = lease.take("lease" .. i)
          if held[i] then io.stderr:write("took ", i, ";\n") end
        end
        io.stderr:write "DONE\n"
        while not lfs.attributes "end" do system.sleep(0.01) end]])
      says(outs[i], "READY")
    end
    kill("KILL", owner)
    ended(owner)
    go()
    local all = ""
    for _, o in ipairs(outs) do
      says(o, "DONE")
      all = all .. support.bytes(o)
    end
    fs.write(folder .. "/end", "")
    for i = 1, LEASES do assert.equal(1, count(all, "took " .. i .. ";"), all) end
    for _, pid in ipairs(takers) do ended(pid) end
    for entry in lfs.dir(folder) do assert.is_nil(entry:find "^lease", entry) end -- and they remove them
  end)

  it("of another host count as long as they are touched", function()
    local path = folder .. "/lease"
    fs.write(path, "elsewhere.example 1 1700000000 5\n")
    local held, owner = native.take(path)
    assert.is_nil(held)
    assert.same({ "elsewhere.example", 1, 1700000000, true, false }, { owner.host, owner.pid, owner.since, owner.elsewhere, owner.own })
    assert.is_nil((native.take(path, owner.touched - 1)))
    held = assert(native.take(path, owner.touched))
    held:drop()
    assert.is_nil(lfs.attributes(path))
    fs.write(path, "") -- its owner has not yet written who it is
    local lease = leases.new(path, "it")
    assert.is_nil(lease:try())
    assert.equal("it: another process makes it", tostring(lease))
  end)

  it("leave trials open, which changes no key, until somebody looks", function()
    local runs, other = 0, "elsewhere.example 1 1700000000 5\n"
    local exp = require "dgam.trial.experiment" { name = "a", seeds = 3, folder = folder .. "/results" }
    local function f(cfg)
      runs = runs + 1
      return { top1 = cfg.seed }
    end
    local function lease(seed) return ("%s/results/partial/%s.lease"):format(folder, exp:key({ seed = seed }, f)) end
    for _, name in ipairs { "/results", "/results/partial" } do lfs.mkdir(folder .. name) end
    for _, seed in ipairs { 1, 3 } do fs.write(lease(seed), other) end
    local list = exp:trial("a", {}, f)
    assert.equal(1, runs)
    local function holds() return list[1] end
    local before = exp:key({}, holds)
    for _, seed in ipairs { 1, 3 } do os.remove(lease(seed)) end
    assert.equal(3, #list)
    assert.equal(3, runs)
    assert.equal(before, exp:key({}, holds))
    assert.equal("variant,top1,top1_ci95\na,2,2.48417\n", exp:table({ "top1" }):csv())
    assert.equal(before, exp:key({}, function() return list[1] end))

    local k = 1
    local function g() return { top1 = k } end
    exp = require "dgam.trial.experiment" { name = "b", folder = folder .. "/results" }
    local path = ("%s/results/partial/%s.lease"):format(folder, exp:key({ seed = 1 }, g))
    fs.write(path, other)
    exp:trial("b", {}, g)
    os.remove(path)
    k = 2
    fails("trial 'b', seed 1: who ran it ended without a result, and the script has changed since", exp.table, exp, {})
  end)

  it("say what is wrong", function()
    local lease = leases.new(folder .. "/lease", "trial 'a', seed 1")
    local held <close> = assert(lease:try())
    fails("trial 'a', seed 1: what makes it asks for it", lease.try, lease)
    fails("cannot write '/proc/nothing/lease': ", native.take, "/proc/nothing/lease")
    held:drop()
    assert.is_nil(lfs.attributes(folder .. "/lease"))
    lfs.mkdir(folder .. "/results")
    assert(lfs.link("/proc/self", folder .. "/results/partial", true)) -- a folder in which nobody can make a file
    local exp = require "dgam.trial.experiment" { name = "a", folder = folder .. "/results" }
    local text = support.message(exp.trial, exp, "a", {}, function() return { top1 = 1 } end)
    assert.matches("cannot write '.*%.lease': .*; .* needs a results folder that can be written %(%$DGAMLUA_RESULTS", text)
  end)
end)
