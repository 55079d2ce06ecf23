-- The network's kernels as modules: each against its twin in ATen operators, values and gradients; errors.
local torch = require "torch"
local gate = require "dgam.kernels.gate"
local heads = require "dgam.kernels.heads"
local swin = require "dgam.kernels.swin"
local message = require("support").message
local shell = require "util.shell"

local function far(a, b) return (a - b):abs():max():item() / math.max(1e-6, b:abs():max():item()) end

-- Calls f and its twin on copies of the same arguments; results and gradients of every float argument must agree.
local function same(f, twin, arguments, tolerance)
  local results = {}
  for i, g in ipairs { f, twin } do
    local copy = {}
    for k, v in ipairs(arguments) do
      copy[k] = torch.is_tensor(v) and v:clone() or v
      if torch.is_tensor(v) and v.dtype == "float32" then copy[k].requires_grad = true end
    end
    local out = g(table.unpack(copy))
    local upstream = torch.arange(out:numel()):float():view(out.shape):sin()
    out:backward(upstream)
    results[i] = { out:detach(), copy }
  end
  assert.is_true(far(results[1][1], results[2][1]) < tolerance)
  for k, v in ipairs(results[1][2]) do
    if torch.is_tensor(v) and v.requires_grad then
      assert.is_true(far(v.grad, results[2][2][k].grad) < tolerance, "gradient of argument " .. k)
    end
  end
end

local function gate_parameters(inputs, experts)
  local p, widths = {}, { inputs, 7, 9, experts }
  for layer = 1, 3 do
    local out = widths[layer + 1]
    p[#p + 1] = torch.randn(out, widths[layer])
    p[#p + 1] = torch.randn(out)
    if layer < 3 then
      for i = 1, 4 do p[#p + 1] = i == 4 and torch.rand(out) + 0.5 or torch.randn(out) end
    end
  end
  return p
end

describe("the gate", function()
  it("agrees with its twin", function()
    torch.manual_seed(1)
    local p, stats = gate_parameters(12, 5), torch.randn(6, 12)
    local lambda = gate.lambda(stats, p)
    assert.is_true(far(lambda, gate.reference(stats, p)) < 1e-5)
    assert.near(6, lambda:sum():item(), 1e-5)
    assert.same({ 6 }, gate.choose(lambda).shape)
    assert.is_true(far(gate.mixture(lambda):max(2), torch.ones(6)) < 1e-6)
  end)

  it("has gradients when they are wanted", function()
    local p, stats = gate_parameters(12, 3), torch.randn(2, 12)
    p[1].requires_grad = true
    gate.lambda(stats, p)[{ {}, 1 }]:sum():backward()
    assert.is_true(p[1].grad:abs():sum():item() > 0)
  end)

  it("refuses shapes that do not fit", function()
    local p = gate_parameters(12, 5)
    assert.matches("expected %[out, 11%]", message(gate.lambda, torch.randn(2, 11), p))
    assert.matches("expected %[n, 3T%]", message(gate.lambda, torch.randn(12), p))
    p[14] = nil
    assert.matches("13 parameters, expected 14", message(gate.lambda, torch.randn(2, 12), p))
  end)
end)

describe("the heads", function()
  local x, w, b, head, mask
  before_each(function()
    torch.manual_seed(2)
    x, w, b = torch.randn(4, 6, 5), torch.randn(3, 7, 5), torch.randn(3, 7)
    head, mask = torch.tensor { 3, 1, 1, 3 }, torch.ones(4, 5)
  end)

  it("agree with their twin, values and gradients", function()
    same(heads.pooled, heads.reference, { x, w, b, head }, 1e-5)
    same(function(...) return heads.pooled(select(1, ...), select(2, ...), torch.none, head) end,
      function(...) return heads.reference(select(1, ...), select(2, ...), torch.none, head) end, { x, w }, 1e-5)
  end)

  it("leave heads that no clip uses without gradient", function()
    w.requires_grad = true
    heads.pooled(x, w, b, head, mask * 2):sum():backward()
    assert.equal(0, w.grad[2]:abs():sum():item())
    assert.is_true(w.grad[1]:abs():sum():item() > 0)
  end)

  it("give the mask its gradient, and refuse second derivatives rather than lose them", function()
    same(heads.pooled, heads.reference, { x, w, b, head, mask * 2 }, 1e-5)
    x.requires_grad = true
    local y = heads.pooled(x, w, b, head):pow(2):sum()
    assert.matches("no second derivatives in C", message(torch.grad, { y }, { x }, nil, { create_graph = true }))
  end)

  it("take no clips at all", function()
    assert.same({ 0, 7 }, heads.pooled(x:narrow(1, 1, 0), w, b, head:narrow(1, 1, 0)).shape)
  end)

  it("refuse heads, shapes and types that do not fit", function()
    assert.matches("head 4 is 4, expected 1 to 3", message(heads.pooled, x, w, b, torch.tensor { 1, 2, 3, 4 }))
    assert.matches("head 1 is 0, expected 1 to 3", message(heads.pooled, x, w, b, torch.tensor { 0, 1, 1, 1 }))
    assert.matches("expected int64 %[4%]", message(heads.pooled, x, w, b, torch.tensor { 1, 2 }))
    assert.matches("expected %[N, L, C%]", message(heads.pooled, x[1], w, b, head))
    assert.matches("expected %[E, K, 5%]", message(heads.pooled, x, torch.randn(3, 7, 4), b, head))
    assert.matches("bias is", message(heads.pooled, x, w, torch.randn(3, 6), head))
    assert.matches("mask is", message(heads.pooled, x, w, b, head, torch.ones(4, 4)))
  end)
end)

describe("the Swin block and its neighbours", function()
  local function block_arguments(c, n_heads, window)
    local rows = (2 * window[1] - 1) * (2 * window[2] - 1) * (2 * window[3] - 1)
    local function r(...) return torch.randn(...) * 0.3 end
    return { { torch.ones(c) + r(c), r(c), r(3 * c, c), r(3 * c), r(c, c), r(c), r(rows, n_heads), torch.ones(c) + r(c), r(c),
      r(4 * c, c), r(4 * c), r(c, 4 * c), r(c) }, n_heads, window }
  end

  it("agrees with its twin where windows are padded, shifted and clipped", function()
    torch.manual_seed(3)
    for _, case in ipairs { { { 2, 4, 6, 6, 8 }, { 2, 3, 3 }, { 1, 1, 1 } }, { { 1, 3, 5, 7, 8 }, { 2, 4, 4 }, { 0, 0, 0 } },
      { { 2, 1, 3, 2, 8 }, { 4, 4, 4 }, { 2, 2, 2 } } } do
      local parameters = block_arguments(8, 2, case[2])[1]
      local function with(block) -- a function of tensors only
        return function(x, ...) return block(x, { ... }, 2, case[2], case[3]) end
      end
      same(with(swin.block), with(swin.reference.block), { torch.randn(case[1]), table.unpack(parameters) }, 2e-4)
      parameters[4] = torch.none -- the bias of q, k and v may be missing
      local x = torch.randn(case[1])
      assert.is_true(far(swin.block(x, parameters, 2, case[2], case[3]),
        swin.reference.block(x, parameters, 2, case[2], case[3])) < 2e-4)
    end
  end)

  it("embeds, merges and multiplies as the twins do", function()
    torch.manual_seed(4)
    same(function(x, w, b, nw, nb) return swin.patch_embed(x, w, b, nw, nb, { 3, 9, 6 }) end,
      function(x, w, b, nw, nb) return swin.reference.patch_embed(x, w, b, nw, nb, { 3, 9, 6 }) end,
      { torch.randn(2, 3, 3, 9, 6), torch.randn(8, 3, 2, 4, 4) * 0.2, torch.randn(8), torch.randn(8), torch.randn(8) }, 2e-4)
    same(swin.patch_merge, swin.reference.patch_merge,
      { torch.randn(2, 2, 5, 3, 8), torch.randn(32), torch.randn(32), torch.randn(16, 32) * 0.2 }, 2e-4)
    same(swin.linear, swin.reference.linear, { torch.randn(2, 3, 10), torch.randn(7, 10), torch.randn(7) }, 1e-4)
  end)

  it("gives gradients to weights that are views with other strides", function()
    local arguments = block_arguments(8, 2, { 2, 3, 3 })
    arguments[#arguments + 1] = { 0, 0, 0 }
    local x = torch.randn(1, 2, 3, 3, 8)
    local parameters = arguments[1]
    local turned = parameters[5]:t():contiguous():t()
    local function gradient(w)
      w.requires_grad = true
      parameters[5] = w
      swin.block(x, table.unpack(arguments)):sin():sum():backward()
      return w.grad
    end
    local want = gradient(parameters[5])
    assert.is_true(far(gradient(turned:detach()), want) < 1e-6)
  end)

  it("take no clips at all, and clips of one channel", function()
    local arguments = block_arguments(8, 2, { 2, 3, 3 })
    arguments[#arguments + 1] = { 1, 1, 1 }
    assert.same({ 0, 4, 6, 6, 8 }, swin.block(torch.randn(0, 4, 6, 6, 8), table.unpack(arguments)).shape)
    local w, b = torch.randn(8, 1, 2, 4, 4) * 0.2, torch.randn(8)
    same(function(...) return swin.patch_embed(..., w, b, b, b, { 3, 9, 6 }) end,
      function(...) return swin.reference.patch_embed(..., w, b, b, b, { 3, 9, 6 }) end, { torch.randn(2, 1, 3, 9, 6) }, 2e-4)
    assert.same({ 0, 2, 3, 2, 8 }, swin.patch_embed(torch.randn(0, 1, 3, 9, 6), w, b, b, b, { 3, 9, 6 }).shape)
  end)

  it("refuse what does not fit, with the values", function()
    local arguments = block_arguments(8, 2, { 2, 3, 3 })
    arguments[#arguments + 1] = { 1, 1, 1 }
    assert.matches("x is", message(swin.block, torch.randn(4, 8), table.unpack(arguments)))
    for _, block in ipairs { swin.block, swin.reference.block } do
      local x, parameters = torch.randn(1, 4, 6, 6, 8), table.move(arguments[1], 1, 13, 1, {})
      local short = table.move(parameters, 1, 12, 1, {})
      assert.matches("there are 12 parameters, expected 13", message(block, x, short, 2, { 2, 3, 3 }, { 0, 0, 0 }))
      parameters[10] = torch.none
      assert.matches("fc1_w is missing", message(block, x, parameters, 2, { 2, 3, 3 }, { 0, 0, 0 }))
    end
    assert.matches("x is %[1, 0, 4, 4, 8%]", message(swin.block, torch.randn(1, 0, 4, 4, 8), table.unpack(arguments)))
    local b, clip = torch.randn(8), torch.randn(1, 3, 2, 8, 8)
    for _, reference in ipairs { swin.patch_embed, swin.reference.patch_embed } do
      assert.matches("weight is %[8, 3, 2, 0, 4%]", message(reference, clip, torch.randn(8, 3, 2, 0, 4), b, b, b, { 2, 8, 8 }))
      assert.matches("expected both or neither", message(reference, clip, torch.randn(8, 3, 2, 4, 4), b, b, torch.none, { 2, 8, 8 }))
    end
    assert.matches("weight is", message(swin.patch_embed, clip:double(), torch.randn(0, 3, 2, 4, 4), b, b, b, { 2, 8, 8 }))
    arguments[#arguments] = { 2, 1, 1 }
    assert.matches("shift", message(swin.block, torch.randn(1, 4, 6, 6, 8), table.unpack(arguments)))
    assert.matches("expected", message(swin.patch_merge, torch.randn(2, 2), torch.ones(8), torch.ones(8), torch.ones(4, 8)))
  end)
end)

describe("every level of the processor", function()
  local SCRIPT = [[
    local torch, swin = require "torch", require "dgam.kernels.swin"
    local function nans(positions)
      local c, one = 8, torch.ones(8)
      return swin.block(torch.randn(1, 2, 2, 2, c), { one, one, torch.randn(3 * c, c), torch.ones(3 * c), torch.randn(c, c), one,
        positions, one, one, torch.randn(16, c), torch.ones(16), torch.randn(c, 16), one }, 2, { 2, 2, 2 },
        { 0, 0, 0 }):isnan():sum():item()
    end
    print(nans(torch.randn(27, 2)), nans(torch.full({ 27, 2 }, 0 / 0)))
  ]]
  it("lets NaN through", function()
    for _, level in ipairs { "plain", "avx2", "avx512" } do
      local pipe = assert(io.popen(("DGAMLUA_CPU=%s exec %s -e '%s' 2>&1"):format(level, shell.program(), SCRIPT)))
      assert.equal("0\t64\n", pipe:read "a", level)
      assert.is_true(pipe:close())
    end
  end)
end)

describe("threads", function()
  local function said(setting, code)
    local pipe = assert(io.popen(("%s exec %s -e '%s' 2>&1"):format(setting, shell.program(), code)))
    local text = pipe:read "a"
    assert.is_true(pipe:close(), text)
    return text
  end
  local ASK = 'local s = require "dgamnative.sys"; print(s.threads(), s.threads())'

  it("are as many as DGAMLUA_THREADS says, or the default and one warning", function()
    assert.equal("17\t17\n", said("DGAMLUA_THREADS=17", ASK))
    local default = said("OMP_NUM_THREADS=3 DGAMLUA_THREADS=", ASK)
    assert.equal("3\t3\n", default)
    for _, wrong in ipairs { "abc", "0", "-1", "2.5", "1e3", "4097", "100000", "99999999999999999999", "2x" } do
      assert.equal(("dgamlua: DGAMLUA_THREADS is '%s', expected a whole number from 1 to 4096; the default is taken\n"):format(wrong)
        .. default, said("OMP_NUM_THREADS=3 DGAMLUA_THREADS=" .. wrong, ASK))
    end
  end)

  it("are never so many that nothing ends", function()
    local start = os.time()
    local used = said("DGAMLUA_THREADS=4096", [[
      local torch = require "torch"
      local x = torch.randn(512, 512)
      for _ = 1, 20 do x = (x:matmul(x) + x):softmax(2) end
      print(torch.threads(), torch.threads(4096))
    ]])
    assert.is_true(os.time() - start < 60)
    local a, b = used:match "^(%d+)\t(%d+)\n$"
    assert.equal(a, b)
    assert.is_true(tonumber(a) >= 64 and tonumber(a) < 4096, a)
  end)
end)

describe("products", function()
  it("are whole where OpenMP gives fewer threads than are wanted", function()
    local golden = dgamlua.root .. "/tests/golden/dgam_tiny.h5"
    for _, setting in ipairs { "OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0" } do
      local pipe = assert(io.popen(("%s OMP_NUM_THREADS=2 exec %s verify --path c '%s' 2>&1"):format(setting, shell.program(), golden)))
      local text = pipe:read "a"
      assert.is_true(pipe:close(), setting .. "\n" .. text)
    end
  end)
end)
