-- The doctor tells a machine that computes wrongly from one that does not.
local doctor = require "cli.doctor"
local sys = require "dgamnative.sys"
local torch = require "torch"
local lfs = require "lfs"
local shell = require "util.shell"

local function run(command, environment)
  local pipe = assert(io.popen(("%s exec %s %s 2>&1"):format(environment or "", shell.program(), command)))
  local text = pipe:read("a")
  local _, _, status = pipe:close()
  return text, status or 0
end

describe("doctor", function()
  it("finds this machine well and says what is on it", function()
    local text, status = run("doctor", "DGAMLUA_TRACEBACK=1")
    assert.equal(0, status, text)
    assert.truthy(text:find("set        DGAMLUA_TRACEBACK=1\n", 1, true), text)
    for _, word in ipairs { "libtorch", "oneDNN", "FFmpeg", "HDF5", "BLAS", "conv3d 3x1x1, 45", "GFLOP/s" } do
      assert.truthy(text:find(word, 1, true), word)
    end
    assert.equal(1, select(2, run "doctor twice"))
  end)

  it("sees NaN, a wrong sum and a lost operator", function()
    local function result(replace)
      local spoilt = setmetatable(replace, { __index = torch })
      local list = {}
      for _, check in ipairs(doctor.checks(spoilt)) do
        local ok, off = pcall(check[2])
        list[check[1]] = ok and off <= 1
      end
      return list
    end
    local calls = 0
    local now_and_then = result { conv3d = function(x, ...)
      calls = calls + 1
      local y = torch.conv3d(x, ...)
      if calls == 9 then y[1][1][1][1][1] = 0 / 0 end
      return y
    end }
    assert.is_false(now_and_then["conv3d 3x1x1, 45 to 64 channels"])
    assert.is_true(now_and_then["conv3d 3x3x3, 16 to 16 channels"])
    local off = result { matmul = function(a, b) return torch.matmul(a, b) * (1 + 1e-4) end }
    assert.is_false(off["matrix product, libtorch"])
    assert.is_true(off["matrix product, oneDNN"])
    assert.is_false(result { conv3d = false }["conv3d 1x1x1, 64 to 40 channels"])
  end)

  it("knows the BLAS", function()
    local name, path, core = doctor.blas(sys)
    assert.is_string(name)
    if name:find("OpenBLAS", 1, true) then
      assert.equal("file", lfs.attributes(path, "mode"))
      assert.truthy(name:find("kernels for " .. core, 1, true), name)
      local said = run "doctor --rate"
      assert.equal(core, said:match "^%d+%.%d+ (%S+)\n$", said)
    end
  end)

  it("warns of the reference BLAS", function()
    local folder = "/usr/lib/x86_64-linux-gnu/blas" -- where Debian keeps it beside another that is in use
    if not lfs.attributes(folder .. "/libblas.so.3") then return pending "this machine has no reference BLAS" end
    if not select(2, doctor.blas(sys)) then return pending "this libtorch has a BLAS of its own inside" end
    local text, status = run("doctor", "LD_LIBRARY_PATH=" .. folder .. ":" .. folder:gsub("blas$", "lapack"))
    assert.equal(0, status, text) -- slow, not wrong
    assert.truthy(text:find("warning: libtorch runs on the reference BLAS (" .. folder, 1, true), text)
    assert.truthy(text:find("apt-get install libopenblas-dev", 1, true), text)
  end)

  it("says what OPENBLAS_CORETYPE could do", function()
    local tried = 0
    local function other() tried = tried + 1 return "SkylakeX", 180 end
    assert.same({}, doctor.openblas_notes("Cooperlake", nil, 200, 170, other))
    assert.same({}, doctor.openblas_notes("Haswell", "haswell", 200, 170, other))
    assert.equal(0, tried) -- nothing to gain, nothing measured
    local notes = doctor.openblas_notes("Prescott", "", 200, 70, other)
    assert.equal(1, #notes)
    assert.truthy(notes[1]:find("OPENBLAS_CORETYPE=SkylakeX gives 180 GFLOP/s", 1, true), notes[1])
    assert.same({}, doctor.openblas_notes("Zen", nil, 200, 100, function() return "Haswell", 110 end))
    assert.same({}, doctor.openblas_notes("Zen", nil, 200, 100, function() return nil, 0 end))
    notes = doctor.openblas_notes("Cooperlake", "Sapphirerapids", 200, 170, other)
    assert.truthy(notes[1]:find("asks for Sapphirerapids", 1, true), notes[1])
  end)
end)

describe("the machine", function()
  it("has one number of threads for the core and libtorch", function()
    local before = torch.threads()
    assert.equal(before, sys.threads())
    torch.threads(3)
    assert.equal(3, sys.threads())
    torch.threads(before)
    assert.has_error(function() sys.threads(-1) end)
  end)

  it("can be limited to plain kernels and back", function()
    local best = sys.cpu_limit "plain"
    assert.equal("plain", sys.cpu_level())
    sys.cpu_limit(best)
    assert.equal(best, sys.cpu_level())
    assert.has_error(function() sys.cpu_limit "fast" end)
  end)
end)
