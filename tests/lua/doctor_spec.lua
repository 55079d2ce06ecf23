-- The doctor tells a machine that computes wrongly from one that does not.
local doctor = require "dgam.cli.doctor"
local sys = require "dgamnative.sys"
local torch = require "torch"

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(command)
  local pipe = assert(io.popen(("exec %s %s 2>&1"):format(quote(io.popen("readlink /proc/$PPID/exe"):read("l")), command)))
  local text = pipe:read("a")
  local _, _, status = pipe:close()
  return text, status or 0
end

describe("doctor", function()
  it("finds this machine well and says what is on it", function()
    local text, status = run "doctor"
    assert.equal(0, status, text)
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
    local name = doctor.blas(sys)
    assert.is_string(name)
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
