-- Benchmarks: their names are stable, what they report is what the command promises, and none sees another's memory.
local json = require "dkjson"
local bench = require "bench.list"
local command = require "cli.bench"
local shell = require "util.shell"
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
    local text, status = run "gemm_f32 light_agc startup_lua --json" -- with two rounds one stall of the machine was enough
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
    assert.near(2 * 2048 ^ 3, g.ratio * g.limit * g.value / 1000, 1e4) -- a product of 2048 x 2048 by as much
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
    support.fails("expected 1 to", sys.stream, x, x, x, x, 1, 0)
    assert.equal(28 * 8 * 3, sys.stream(x, x:clone(), x:clone(), x:clone(), 1, 3))
  end)
end)

describe("recorded ratios", function()
  local record = require "bench.record"
  local rng = require "dgamnative.rng"

  it("take p from the exact distribution of Mann and Whitney's U", function()
    -- All orders of 2 new and 3 old values: 10; of 4 and 4: 70.
    assert.near(1 / 10, record.p_lower({ 1, 2 }, { 3, 4, 5 }), 1e-12)
    assert.near(1, record.p_lower({ 4, 5 }, { 1, 2, 3 }), 1e-12)
    assert.near(2 / 10, record.p_lower({ 1, 3 }, { 2, 4, 5 }), 1e-12)
    assert.near(1 / 70, record.p_lower({ 1, 2, 3, 4 }, { 5, 6, 7, 8 }), 1e-12)
    assert.near(2 / 70, record.p_lower({ 1, 2, 3, 5 }, { 4, 6, 7, 8 }), 1e-12)
    assert.near(1, record.p_lower({ 1, 1 }, { 1, 1 }), 1e-12) -- ties speak for no difference
    -- 15 of each: half of all orders lie at or below the middle, U = 112 of 225; brute force over draws agrees.
    local r, low, draws = rng.new(5, 0), 0, 4000
    local new, old = {}, {}
    for i = 1, 15 do new[i], old[i] = 2 * i - (i <= 11 and 1 or -4), 2 * i end
    local u = 0
    for _, x in ipairs(new) do for _, y in ipairs(old) do u = u + (x > y and 1 or 0) end end
    for _ = 1, draws do
      local a, b, above = {}, {}, 0
      for i = 1, 15 do a[i], b[i] = r:uniform(), r:uniform() end
      for _, x in ipairs(a) do for _, y in ipairs(b) do above = above + (x > y and 1 or 0) end end
      if above <= u then low = low + 1 end
    end
    assert.near(low / draws, record.p_lower(new, old), 0.035)
  end)

  -- How often a fall is seen when the machine has become `slower` times as slow, with noise of `spread`, and now and then a
  -- sample that was disturbed.
  local function seen(slower, spread, seed)
    local r, count, trials = rng.new(seed, 0), 0, 300
    local function samples(scale)
      local t = {}
      for i = 1, 15 do t[i] = 0.8 * scale * math.exp(spread * r:normal()) * (r:uniform() < 0.1 and 0.6 or 1) end
      return t
    end
    for _ = 1, trials do
      if record.compare(samples(1 / slower), samples(1)).fell then count = count + 1 end
    end
    return count / trials
  end

  it("see a slow-down through noise, and none in noise alone", function()
    assert.equal(0, seen(1, 0.05, 1))
    assert.is_true(seen(1, 0.12, 2) < 0.02)
    assert.equal(0, seen(1.06, 0.03, 3)) -- real, but less than 15%
    assert.is_true(seen(1.33, 0.05, 4) > 0.95)
    assert.is_true(seen(1.33, 0.1, 5) > 0.9)
  end)

  it("fail where the ratio fell, pass where it did not or the machine is another", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local pace = 1
    local function measure(name, options)
      assert.equal("linear", name)
      local t = {}
      for i = 1, options.rounds do t[i] = pace * (0.8 + 0.01 * i) end
      return { samples = t }
    end
    local said = {}
    local function say(line) said[#said + 1] = line end
    record.save(path, { other = { linear = { 0.5, 0.25 } } })
    assert.same({}, record.check(path, nil, measure, say))
    assert.truthy(said[1]:find("no ratios are recorded for this kind of machine (" .. record.machine(), 1, true), said[1])
    record.update(path, { "linear" }, measure, say)
    local stored = record.load(path)
    assert.same({ 0.5, 0.25 }, stored.other.linear)
    assert.equal(15, #stored[record.machine()].linear)
    assert.same({}, record.check(path, nil, measure, say))
    pace = 0.9
    assert.same({}, record.check(path, nil, measure, say))
    pace = 0.8
    assert.same({ "linear" }, record.check(path, nil, measure, say))
    support.fails("no ratios of adamw", record.check, path, { "adamw" }, measure, say)
  end)

  it("are not compared with a file that is none", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local function measure() error "measured" end
    for text, words in pairs {
      [""] = "not a file of recorded ratios",
      ["{ broken"] = "not a file of recorded ratios",
      ["[]"] = "no JSON object",
      ["7"] = "no JSON object",
      ['["a"]'] = "no JSON object",
      ['{"M": 5}'] = "'M' has no benchmarks",
      ['{"M": {}}'] = "'M' has no benchmarks",
      ['{"M": {"linear": []}}'] = "linear of 'M' is not a list of ratios above 0",
      ['{"M": {"linear": {"a": 1}}}'] = "linear of 'M' is not a list of ratios above 0",
      ['{"M": {"linear": [1, "a"]}}'] = "linear of 'M' is not a list of ratios above 0",
      ['{"M": {"linear": [1, 0]}}'] = "linear of 'M' is not a list of ratios above 0",
    } do
      local f <close> = assert(io.open(path, "w"))
      f:write(text)
      f:close()
      support.fails(words, record.check, path, nil, measure, print)
      support.fails(words, record.update, path, { "linear" }, measure, print)
      assert.equal(text, support.bytes(path))
    end
    os.remove(path)
    support.fails(path .. ": No such file", record.check, path, nil, measure, print)
    local text, status = run("--against " .. path)
    assert.equal(1, status, text)
    support.fails("cannot write", record.update, path .. "/none", { "linear" }, measure, print)
  end)

  it("are kept as they are measured", function()
    local path = os.tmpname()
    os.remove(path)
    finally(function() os.remove(path) end)
    local function measure(name) return name == "linear" and { samples = { 0.5 } } or nil end
    support.fails("the benchmark adamw failed", record.update, path, { "linear", "adamw" }, measure, function() end)
    assert.same({ [record.machine()] = { linear = { 0.5, 0.5, 0.5 } } }, record.load(path))
  end)

  it("end the command with the status that says it", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    for ratio, expected in pairs { [1e-6] = 0, [1e6] = 1 } do
      local samples = {}
      for i = 1, 15 do samples[i] = ratio * i end
      record.save(path, { [record.machine()] = { kernel_histogram = samples } })
      local text, status = run("--against " .. path)
      assert.equal(expected, status, text)
      assert.equal(expected == 1, text:find("slower than recorded in " .. path .. ": kernel_histogram", 1, true) ~= nil, text)
    end
  end)
end)

describe("options that would be ignored", function()
  it("are refused", function()
    for options, words in pairs {
      ["--record a --against b"] = "--record and --against do not go together",
      ["--against b --json"] = "--against and --json do not go together",
      ["--record a --markdown c"] = "--record and --markdown do not go together",
      ["--record a --no-peer"] = "--record and --no-peer do not go together",
      ["--list --rounds 2"] = "--list and --rounds do not go together",
    } do
      local text, status = run(options)
      assert.equal(1, status)
      assert.equal("dgamlua: " .. words .. "\n", text)
    end
  end)
end)

describe("a page of results", function()
  local page = require "bench.page"
  local path
  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  local function write(text)
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
  end
  local EMPTY = "before\n<!-- dgamlua bench --markdown: begin -->\n<!-- end -->\nafter\n"

  it("has the lines that were measured, in the list's order, and keeps the others", function()
    write(EMPTY)
    page.update(path, { { name = "adamw", value = 41.9, unit = "ms", ratio = 0.99, limit = 58.7e9, limit_unit = "B/s" } })
    page.update(path, { { name = "linear", value = 93.6, unit = "ms", ratio = 0.96, limit = 215e9, limit_unit = "FLOP/s",
      peer_ratio = 1.1 } })
    local text = support.bytes(path)
    assert.truthy(text:find("^before\n") and text:find("\n<!%-%- end %-%->\nafter\n$"), text)
    assert.truthy(text:find("| 93.60 ms | 96% | 215 GFLOP/s | 1.1x |", 1, true), text)
    assert.truthy(text:find("`linear`.*`adamw`.*58.7 GB/s"), text)
    page.update(path, { { name = "adamw", value = 20.0, unit = "ms" } })
    text = support.bytes(path)
    assert.truthy(text:find("20.00 ms", 1, true) and text:find("93.60 ms", 1, true) and not text:find("41.90", 1, true), text)
  end)

  it("is of one machine", function()
    write(EMPTY)
    page.update(path, { { name = "adamw", value = 41.9, unit = "ms" } })
    write((support.bytes(path):gsub("Measured on: ", "Measured on: another ")))
    support.fails("its table is of another machine", page.update, path, { { name = "linear", value = 1, unit = "ms" } })
    page.update(path, { { name = "adamw", value = 1, unit = "ms" } }) -- nothing of the other machine is left
    assert.is_nil(support.bytes(path):find("another", 1, true))
    write "no marks"
    support.fails("are not in it", page.update, path, {})
  end)

  it("is looked at before anything is measured", function()
    local function fails(words, file)
      local text, status = run("linear --rounds 1 --no-peer --markdown " .. file)
      assert.equal(1, status)
      assert.matches(words, text, 1, true)
      assert.is_nil(text:find("linear  ", 1, true), text)
    end
    write "no marks"
    fails("are not in it", path)
    fails("No such file", path .. ".none")
    write((EMPTY:gsub("<!%-%- end", "Measured on: another\n| `adamw` |\n%0")))
    local before = support.bytes(path)
    fails("its table is of another machine; run all benchmarks that are in it, adamw too", path)
    page.check(path, { { name = "adamw" } })
    assert.equal(before, support.bytes(path))
  end)
end)
