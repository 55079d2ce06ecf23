-- What ends a running program: Ctrl-C, kill, a closed terminal. Files that are half written are taken away.
local film = require "film"
local lfs = require "lfs"
local shell = require "util.shell"
local support = require "support"

describe("a program that is to end", function()
  local folder
  setup(function()
    folder = support.folder()
    film.text(folder .. "/run.lua", ([[
      local torch = require "torch"
      local frame = torch.zeros({ 3, 64, 64 }, { dtype = "uint8" })
      local e <close> = require("dgam.kernels.video").encoder(%q, { width = 64, height = 64 })
      e:write(frame)
      print "ready"
      io.stdout:flush()
      while true do e:write(frame) end
    ]]):format(folder .. "/a.avi"))
  end)
  teardown(function() support.remove(folder) end)

  -- What the program said, how it ended and its status, after a signal that may be ignored from the start.
  local function run(signal, before)
    local command = ("%s echo $$; exec %s %s 2>&1"):format(before or "", shell.program(), folder .. "/run.lua")
    local pipe = assert(io.popen("sh -c " .. shell.quote(command)))
    local pid = pipe:read "l"
    assert.equal("ready", pipe:read "l")
    os.execute(("kill -%s %s"):format(signal, pid))
    if before then os.execute(("sleep 0.3; kill -TERM %s"):format(pid)) end
    local rest = pipe:read "a"
    local _, how, code = pipe:close()
    return rest, how, code
  end

  for signal, number in pairs { INT = 2, TERM = 15, HUP = 1 } do
    it("leaves nothing behind after SIG" .. signal, function()
      local rest, how, code = run(signal)
      assert.matches("interrupted", rest, 1, true)
      assert.same({ "exit", 128 + number }, { how, code })
      for name in lfs.dir(folder) do assert.is_nil(name:match "%.part$") end
    end)
  end

  it("computes the same under a hail of signals", function()
    film.text(folder .. "/hail.lua", [[
      local torch, models = require "torch", require "models"
      torch.manual_seed(1)
      local net = models.video_swin.new { embed = 8, depths = { 1 }, heads = { 2 }, window = { 2, 4, 4 }, drop_path = 0 }
      local x = torch.randn(1, 3, 16, 64, 64)
      local function gradients()
        net:zero_grad()
        net(x):sum():backward()
        local sum = 0
        for _, p in net:named_parameters() do sum = sum + p.grad:abs():sum():item() end
        return sum
      end
      local want, pid = gradients(), io.popen("echo $PPID"):read "l"
      local hail = io.popen(("echo $$; while kill -CONT %s; do :; done"):format(pid))
      local from = hail:read "l"
      local start, same = os.clock(), true
      repeat same = same and gradients() == want until os.clock() - start > 4
      io.popen("kill " .. from):close()
      print(same)
    ]])
    local pipe = io.popen(("%s %s/hail.lua 2>&1"):format(shell.program(), folder))
    assert.equal("true\n", pipe:read "a")
    assert.is_true(pipe:close())
  end)

  it("lets idle threads sleep soon, unless it is told otherwise", function()
    for set, want in pairs { ["env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY"] = "5000", ["env GOMP_SPINCOUNT=7"] = "7",
      ["env -u GOMP_SPINCOUNT OMP_WAIT_POLICY=active"] = "nil" } do
      local pipe = io.popen(("%s %s -e 'print(os.getenv \"GOMP_SPINCOUNT\")'"):format(set, shell.program()))
      assert.equal(want, pipe:read "l")
      pipe:close()
    end
  end)

  it("finishes first what it holds", function()
    local pid = io.popen("echo $PPID"):read "l"
    local seen = {}
    local function work(n)
      io.popen("kill -INT " .. pid):close()
      for k = 1, n do
        seen[1] = k
        seen[2] = dgamlua.interrupted() or pcall(error)
      end
      dgamlua.hold(function() seen[3] = n end) -- the inner end does not let go
      seen[4] = n
    end
    local function program()
      dgamlua.hold(work, 1000)
      seen[5] = "not reached"
    end
    assert.same({ nil, "interrupted", 130 }, { dgamlua.catch_interrupt(program) })
    assert.same({ 1000, false, 1000, 1000 }, seen)
    assert.same({ 1, nil, "c" }, { dgamlua.hold(function(...) return ... end, 1, nil, "c") })
    assert.error_matches(function() dgamlua.hold(error, "wrong") end, "wrong")
    assert.is_false(dgamlua.interrupted())

    -- what was interrupted may hold too, while it is unwound
    local kept
    assert.same({ nil, "interrupted", 130 }, { dgamlua.catch_interrupt(function()
      local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
        dgamlua.hold(function() kept = not dgamlua.interrupted() and pcall(function() end) end)
      end })
      io.popen("kill -INT " .. pid):close()
      for _ = 1, 1e6 do seen[1] = seen[1] + 1 end
    end) })
    assert.is_true(kept)
  end)

  it("may hold after the core was interrupted too", function()
    local torch, video = require "torch", require "dgam.kernels.video"
    local path, kept = folder .. "/noise.avi", nil
    video.write(path, torch.randint(256, { 300, 3, 360, 480 }, { dtype = "uint8" }), { width = 480, height = 360, fps = 10 })
    local pid = io.popen("echo $PPID"):read "l"
    local pool <close> = video.pool(1)
    assert.same({ nil, "interrupted", 130 }, { dgamlua.catch_interrupt(function()
      local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
        dgamlua.hold(function() kept = not dgamlua.interrupted() end)
      end })
      for _ = 1, 40 do pool:submit(path, video.sampling { clip_len = 300, interval = 1, size = 224 }) end
      io.popen(("(sleep 0.1; kill -INT %s) > /dev/null &"):format(pid)):close()
      while true do pool:next() end -- waits for the threads, and answers by itself
    end) })
    assert.is_true(kept)
  end)

  it("does not let what it holds yield", function()
    local co = coroutine.create(function() dgamlua.hold(coroutine.yield) end)
    local ok, why = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("what dgamlua.hold runs cannot yield$", why)
    local sum = 0
    dgamlua.hold(function()
      for k in coroutine.wrap(function() for k = 1, 3 do coroutine.yield(k) end end) do sum = sum + k end
    end)
    assert.equal(6, sum)
    assert.equal(7, coroutine.wrap(function() coroutine.yield(7) end)())
  end)

  it("says so if that takes its time", function()
    film.text(folder .. "/long.lua", [[
      local support, started = require "support", os.time()
      dgamlua.hold(function()
        print "ready"
        io.stdout:flush()
        repeat until #support.bytes(arg[1]) > 0 or os.time() - started > 60
        print "done"
        io.stdout:flush()
        if arg[2] then repeat until os.time() - started > 60 end
      end)
      print "not reached"
    ]])
    for _, again in ipairs { "", "again" } do
      local pipe = assert(io.popen(("echo $$; export LUA_PATH='%s/tests/lua/?.lua;;'; exec %s %s/long.lua %s/said %s 2> %s/said")
        :format(dgamlua.root, shell.program(), folder, folder, again, folder)))
      local pid = pipe:read "l"
      assert.equal("ready", pipe:read "l")
      io.popen("kill -INT " .. pid):close()
      assert.equal("done", pipe:read "l")
      if again ~= "" then io.popen("kill -INT " .. pid):close() end
      assert.is_nil(pipe:read "l")
      assert.same(again == "" and { nil, "exit", 130 } or { nil, "signal", 2 }, { pipe:close() })
      assert.equal("\nfinishing what must not be left half done; Ctrl-C again ends at once\n"
        .. (again == "" and "\ninterrupted\n" or ""), support.bytes(folder .. "/said"))
    end
  end)

  it("goes on after SIGHUP under nohup", function()
    local _, how, code = run("HUP", "trap '' HUP;")
    assert.same({ "exit", 143 }, { how, code })
  end)
end)
