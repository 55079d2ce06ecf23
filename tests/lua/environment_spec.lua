-- The variables of the environment: known, explained, and told when they are wrong.
local environment = require "cli.environment"
local keys_of = require "util.keys"
local shell = require "util.shell"
local support = require "support"
local sys = require "dgamnative.sys"

--- What a new process prints, both streams, that runs `code` with `setting` in its environment.
local function said(setting, code)
  local pipe <close> = assert(io.popen(("env %s %s -e %s 2>&1"):format(setting, shell.program(), shell.quote(code))))
  return pipe:read "a"
end

describe("the environment", function()
  it("has no variable that is not listed and explained", function()
    local pipe <close> = assert(io.popen(("cd %s && grep -rhoE 'DGAMLUA_[A-Z_]+[A-Z]' dgamlua .ci core bindings lua data examples "
      .. "docs README.md tests --exclude=environment_spec.lua 2>/dev/null | sort -u"):format(shell.quote(dgamlua.root))))
    local page = support.bytes(dgamlua.root .. "/docs/environment.md")
    local found = 0
    for name in pipe:lines() do
      assert.truthy(environment.VARIABLES[name], name .. " is not in cli/environment.lua")
      found = found + 1
    end
    assert.equal(#keys_of(environment.VARIABLES), found)
    for name, v in pairs(environment.VARIABLES) do
      local row = page:match("\n| `" .. name .. "` | ([^\n]*)")
      assert.truthy(row, name .. " is not in docs/environment.md")
      for value in v.expected:gmatch "[%w-]*%d[%w-]*" do assert.truthy(row:find(value, 1, true), name .. ": " .. value) end
    end
  end)

  it("is not read by the core, which prints nothing either", function()
    local calls = "(getenv|secure_getenv|printf|puts|putchar|perror) *\\(|stdout|stderr|environ\\b"
    local pipe <close> = assert(io.popen(("grep -rnE '(^|[^_[:alnum:]])(%s)' %s"):format(calls, shell.quote(dgamlua.root .. "/core"))))
    local found = pipe:read "a"
    assert.equal("", found)
  end)

  it("is listed by --help", function()
    local pipe <close> = assert(io.popen(shell.program() .. " --help"))
    local text = pipe:read "a"
    for name in pairs(environment.VARIABLES) do assert.truthy(text:find(name, 1, true), name) end
  end)

  it("is told once where a value is wrong, and then as if it were not set", function()
    for name, wrong in pairs { DGAMLUA_CPU = "avx3", DGAMLUA_THREADS = "many", DGAMLUA_FFMPEG_LOG = "yes", DGAMLUA_TRACEBACK = "2",
      DGAMLUA_TEST_TIMEOUT = "0", DGAMLUA_NO_APT = "no" } do
      local text = said(name .. "=" .. wrong, ([[print(os.getenv "%s") os.execute(arg[0] .. " -e 'print(2)'")]]):format(name))
      assert.equal(("dgamlua: %s is '%s', expected %s; the default is taken\nnil\n2\n"):format(name, wrong,
        environment.VARIABLES[name].expected), text)
    end
  end)

  it("is told where a name is unknown", function()
    assert.equal("dgamlua: unknown variable 'DGAMLUA_CPUS'; did you mean 'DGAMLUA_CPU'?\n1\n", said("DGAMLUA_CPUS=avx2", "print(1)"))
    assert.truthy(said("DGAMLUA_X=1 DGAMLUA_Y=", "print(1)"):find "^dgamlua: unknown variable 'DGAMLUA_X'[^\n]*DGAMLUA_CACHE[^\n]*\n1\n$")
  end)

  it("says nothing of what is right, and takes 0 and nothing for the default", function()
    local code = 'print(os.getenv "DGAMLUA_TRACEBACK", os.getenv "DGAMLUA_CACHE")'
    assert.equal("1\t0\n", said("DGAMLUA_TRACEBACK=1 DGAMLUA_CACHE=0", code))
    assert.equal("nil\tnil\n", said("DGAMLUA_TRACEBACK=0 DGAMLUA_CACHE=", code))
  end)

  it("limits the level of our kernels, by all names they have", function()
    local names = { "plain", "avx2", "avx512", "avx512-bf16" }
    local function level(setting) return (said(setting, 'io.write(require "dgamnative.sys".cpu_level())')) end
    local best = level "DGAMLUA_CPU="
    local reached = false
    for _, name in ipairs(names) do
      assert.equal(reached and best or name, level("DGAMLUA_CPU=" .. name))
      reached = reached or name == best
      local before = sys.cpu_limit(name) -- knows the name
      sys.cpu_limit(before)
    end
    assert.is_true(reached)
  end)

  it("lets FFmpeg speak only where it is asked to", function()
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write(("RIFF\0\0\0\0AVI LIST"):rep(20))
    f:close()
    finally(function() os.remove(path) end)
    local code = ("print(pcall(require('dgam.kernels.video').open, %q))"):format(path)
    local quiet, loud = said("DGAMLUA_FFMPEG_LOG=0", code), said("DGAMLUA_FFMPEG_LOG=1", code)
    assert.equal(1, select(2, quiet:gsub("\n", "\n")), quiet)
    assert.is_true(#loud > #quiet, loud)
  end)
end)
