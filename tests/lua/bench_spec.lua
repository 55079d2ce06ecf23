-- Benchmarks: their names are stable, what they report is what the command promises, and none sees another's memory.
local json = require "dkjson"
local bench = require "dgam.bench"
local command = require "dgam.cli.bench"
local shell = require "dgam.bench.shell"
local sys = require "dgamnative.sys"
local torch = require "torch"
local support = require "support"

local function run(arguments)
  local pipe = assert(io.popen(("%s bench %s 2>&1"):format(shell.program(), arguments)))
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  return text, status
end

describe("dgamlua bench", function()
  it("has the promised names", function()
    local names = {}
    for _, b in ipairs(bench.list()) do
      assert.is_nil(names[b.name])
      names[b.name] = true
    end
    for _, name in ipairs { "swin_b_forward", "swin_b_forward_bf16", "swin_t_train", "swin_t_train_bf16", "light_agc",
      "decode_clip_mjpeg", "decode_clip_mpeg4", "decode_clip_h264", "decode_clip_2_threads", "loader", "linear", "adamw", "startup",
      "ablation", "gemm_f32", "gemm_bf16", "stream" } do
      assert.is_true(names[name], name)
    end
    local text, status = run "--list decode"
    assert.equal(0, status)
    assert.equal(4, select(2, text:gsub("decode_clip_", "")))
  end)

  it("prints one JSON object a line, and stays within its limit", function()
    local text, status = run "gemm_f32 light_agc startup_lua --json --rounds 2"
    assert.equal(0, status, text)
    local results = {}
    for line in text:gmatch "[^\n]+" do
      local r = assert(json.decode(line))
      results[r.name] = r
      assert.equal("ms", r.unit)
      assert.is_true(r.value > 0)
      assert.is_nil(r.samples)
    end
    local g, l = results.gemm_f32, results.light_agc
    assert.equal("FLOP/s", g.limit_unit)
    assert.is_true(g.limit > 1e9 and g.ratio > 0.2 and g.ratio < 1.3)
    assert.is_true(g.peak_mb > 50)
    assert.is_true(l.peer_ratio > 1 and l.ratio < 1)
    assert.is_true(l.experts_16_share > 0.5 and l.experts_1_share > 0.3)
    assert.is_nil(results.startup_lua.ratio)
  end)

  it("gives each benchmark a process of its own", function()
    local function peak(words)
      local text, status = run(words .. " --json --rounds 1 --no-peer")
      assert.equal(0, status, text)
      return json.decode(text:match "([^\n]+)\n$").peak_mb
    end
    local alone, after = peak "kernel_patch_merge", peak "stream kernel_patch_merge" -- stream holds 512 MB
    assert.is_true(after < alone + 64, ("%.0f MB, %.0f MB after stream"):format(alone, after))
  end)

  it("names what it does not know, and fails where a benchmark fails", function()
    local text, status = run "linaer"
    assert.equal(1, status)
    assert.truthy(text:find("unknown benchmark 'linaer'; did you mean 'linear'?", 1, true), text)
    assert.is_nil(command.measure "none") -- says so on standard error
    support.fails("no benchmark is called none", bench.measure, "none")
  end)
end)

describe("the bandwidth that memory is held against", function()
  it("moves what it says, the same values in every way", function()
    for _, n in ipairs { 1, 15, 16, 4095, 4096, 100003 } do
      torch.manual_seed(n)
      local p, g, m, v = torch.randn(n), torch.randn(n), torch.randn(n), torch.randn(n)
      local want = { p:maximum(g), m:maximum(g), v:maximum(g) }
      for way = 1, sys.STREAM_WAYS do
        local t = { p:clone(), m:clone(), v:clone() }
        assert.equal(28 * n, sys.stream(t[1], g, t[2], t[3], way))
        for i = 1, 3 do assert.is_true(t[i]:equal(want[i]), ("way %d, n %d"):format(way, n)) end
      end
    end
    local x = torch.zeros(8)
    support.fails("m has 4 elements", sys.stream, x, x, torch.zeros(4), x, 1)
    support.fails("expected a way", sys.stream, x, x, x, x, 9)
  end)
end)
