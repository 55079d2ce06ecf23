-- The test runner counts what happened, also when a test program dies.
local runner = require "cli.test"
local support = require "support"

local CMOCKA = [[
[==========] light: Running 5 test(s).
[ RUN      ] good
chatter without newline[       OK ] good
[ RUN      ] bad
[  ERROR   ] --- 0x1 != 0x2
[   LINE   ] --- t.c:9: error: Failure!
[  FAILED  ] bad
[ RUN      ] skipped
[  SKIPPED ] skipped
[ RUN      ] unready
Could not run test: Test setup failed
[  ERROR   ] unready
]]

local function names(failed)
  local list = {}
  for i, f in ipairs(failed) do list[i] = f.name end
  return table.concat(list, ",")
end

describe("reports of C tests", function()
  it("count passed, failed and skipped", function()
    local r = runner.read_cmocka("t", CMOCKA .. "[ RUN      ] last\n[       OK ] last\n", 2, 0)
    assert.equal(2, r.passed)
    assert.equal("bad,unready", names(r.failed))
    assert.truthy(r.failed[1].why:find("0x1 != 0x2", 1, true))
    assert.same({ "skipped" }, r.pending)
  end)

  it("count a crash, and each test that it kept from running", function()
    local r = runner.read_cmocka("t", (CMOCKA:gsub("Running 5", "Running 7")) .. "[ RUN      ] dies\n", 134, 0)
    assert.equal("bad,unready,dies,t,t", names(r.failed))
    assert.truthy(r.failed[3].why:find("killed by signal 6", 1, true))
  end)

  it("count a bad ending after tests that all passed", function()
    local r = runner.read_cmocka("t", "[==========] Running 1 test(s).\n[ RUN      ] a\n[       OK ] a\nleak of 8 bytes\n", 1, 0)
    assert.equal(1, r.passed)
    assert.truthy(r.failed[1].why:find("leak of 8 bytes", 1, true))
    assert.equal(1, #runner.read_cmocka("t", "", 0, 0).failed)
    assert.equal(1, #runner.read_cmocka("t", "cannot load libdgamcore.so", 127, 0).failed)
  end)

  it("count only chosen tests", function()
    local r = runner.read_cmocka("t", CMOCKA, 2, 0, "goo")
    assert.equal(1, r.passed)
    assert.equal(0, #r.failed)
  end)
end)

describe("reports of Lua tests", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function run(source, wanted)
    local path = folder .. "/some_spec.lua"
    local f <close> = assert(io.open(path, "w"))
    f:write(source)
    f:close()
    runner.root = dgamlua.root
    runner.executable = runner.executable or io.popen("readlink /proc/$PPID/exe"):read("l")
    return runner.run_spec(path, wanted)
  end

  local SPEC = [[
    describe("group", function()
      it("passes", function() assert.equal(1, 1) print "[       OK ] noise" end)
      it("fails", function() assert.equal(1, 2) end)
      it("raises", function() error { code = 7 } end)
      it("waits", function() pending "until later" end)
      pending("is planned")
      it("cleans up badly", function() finally(function() error "teardown broke" end) end)
    end)
  ]]

  it("count passed, failed and pending", function()
    local r = run(SPEC)
    assert.equal(1, r.passed)
    assert.equal("group fails,group raises,group cleans up badly", names(r.failed))
    assert.truthy(r.failed[1].why:find("some_spec.lua:3", 1, true))
    assert.truthy(r.failed[3].why:find("teardown broke", 1, true))
    assert.equal(2, #r.pending)
  end)

  it("count only chosen tests", function()
    local r = run(SPEC, "group pass")
    assert.equal(1, r.passed)
    assert.equal(0, #r.failed + #r.pending)
  end)

  it("count a file that cannot be read, and code that fails outside tests", function()
    assert.equal(1, #run("it(").failed)
    assert.equal(1, #run("error 'at load'").failed)
    assert.equal(1, #run("it('a', function() end) describe('d', function() error 'x' end)").failed)
    assert.is_true(#run("setup(function() error 'no' end) it('a', function() end)").failed >= 1)
    assert.equal(1, #run("").failed)
  end)

  it("count a crash as a failure of the test that ran", function()
    local r = run("it('a', function() end) it('dies', function() os.exit(false) end) it('b', function() end)")
    assert.equal(1, r.passed)
    assert.equal("dies", names(r.failed))
    r = run("it('dies', function() os.execute('kill -SEGV $PPID') end)")
    assert.equal("dies", names(r.failed))
    assert.truthy(r.failed[1].why:find("killed by signal 11", 1, true))
  end)

  it("count a clean exit in the middle as a failure", function()
    local r = run("it('a', function() end) it('leaves', function() os.exit(true) end) it('b', function() end)")
    assert.equal("leaves", names(r.failed))
  end)
end)

describe("dgamlua test PATTERN", function()
  it("goes by the files' own names, whatever the folders above them are called", function()
    local top = support.folder()
    local root, exe = top .. "/zebra/tree", io.popen("readlink /proc/$PPID/exe"):read "l"
    local function at(name) return ("'%s/%s'"):format(root, name) end
    assert(os.execute(("mkdir -p %s %s && ln -s '%s/lua' %s && cp '%s' %s && ln -s '%s'/*.so %s"):format(at "build", at "tests/lua",
      dgamlua.root, at "lua", exe, at "build/dgamlua", exe:match "^(.*)/", at "build/")))
    finally(function() support.remove(top) end)
    for _, name in ipairs { "zebra", "horse" } do
      local f <close> = assert(io.open(("%s/tests/lua/%s_spec.lua"):format(root, name), "w"))
      f:write(("it('is a %s', function() end)"):format(name))
    end
    local function run(pattern)
      local pipe <close> = assert(io.popen(("%s test %s 2>&1"):format(at "build/dgamlua", pattern)))
      local text = pipe:read "a"
      return (text:find("ok   zebra_spec", 1, true) and "z" or "") .. (text:find("ok   horse_spec", 1, true) and "h" or ""),
        text:match "([^\n]*)\n$"
    end
    assert.same({ "z", "1 passed, 0 failed" }, { run "zebra" })
    assert.same({ "h", "1 passed, 0 failed" }, { run "horse" })
    assert.same({ "zh", "2 passed, 0 failed" }, { run "is" })    -- in no file's name: in tests' names
    assert.same({ "", "0 passed, 0 failed" }, { run "tree" })    -- a folder's
  end)
end)
