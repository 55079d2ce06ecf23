-- Memory safety of the binding: what a call may not do, whatever it is given, and tensors whose values are not in their memory.
local torch = require "torch"
local support = require "support"
local shell = require "util.shell"
local message = support.message

local NONE = torch.none
local function values(t) return t:totable() end

describe("what an operator writes", function()
  it("is a tensor, never a number that nobody sees again", function()
    local x = torch.ones(3)
    local function number_for(name, ...)
      assert.matches("expected a .*tensor", message(torch[name], ...), nil, name)
    end
    for _ = 1, 50 do number_for("var_mean", x, NONE, { correction = 1, out0 = torch.zeros(0), out1 = -100.0 }) end
    number_for("std_mean", x, NONE, { correction = 1, out0 = 1, out1 = torch.zeros(0) })
    number_for("_unique2", x, { out0 = torch.zeros(0), out1 = 2, out2 = torch.zeros(0) })
    number_for("unique_consecutive", x, { out0 = torch.zeros(0), out1 = torch.zeros(0), out2 = 1.5 })
    number_for("native_layer_norm", x, { 3 }, torch.none, torch.none, 1e-5, { out0 = torch.zeros(0), out1 = true, out2 = torch.zeros(0) })
    number_for("relu_", 1.5)
    number_for("add", x, 1, { out = 1 })
    number_for("_foreach_zero_", { 1, 2 })
  end)

  it("may be named out, one tensor or a list of them", function()
    local x, sum = torch.tensor { 3.0, 1.0 }, torch.empty(0)
    assert.is_true(torch.add(x, x, { out = sum }):is_same(sum))
    assert.same({ 6, 2 }, values(sum))
    local top, at = torch.empty(0), torch.empty(0, { dtype = "int64" })
    torch.sort(x, { out = { top, at } })
    assert.same({ { 1, 3 }, { 2, 1 } }, { values(top), values(at) })
    assert.matches("argument 'out' is {tensor float32 %[2%]}, expected a list of 2 tensors", message(torch.sort, x, { out = { top } }))
  end)
end)

describe("names of enumerations", function()
  it("are the only way to give a memory format, a layout, a dtype or a device", function()
    local x = torch.zeros(1, 2, 3, 3)
    for _, f in ipairs {
      function() return x:clone { memory_format = 7 } end,
      function() return x:contiguous { memory_format = -1 } end,
      function() return torch.zeros(2, { dtype = 99 }) end,
      function() return torch.zeros(2, { layout = 5 }) end,
      function() return torch.zeros(2, { device = 3 }) end,
      function() return torch.promote_types(1, 99) end,
      function() return torch.can_cast(6, 200) end,
    } do assert.matches("expected a %a+ ?%a* name such as", message(f)) end
    local last = x:contiguous { memory_format = "channels_last" }
    assert.same({ 18, 1, 6, 2 }, { last:stride(1), last:stride(2), last:stride(3), last:stride(4) })
    assert.equal("sparse_coo", torch.zeros(2, 2, { layout = "sparse_coo" }).layout)
    assert.equal("float64", torch.zeros(2, { layout = "strided", dtype = "float64" }).dtype)
  end)
end)

describe("values that are not in a tensor's memory", function()
  it("are read as what they are: autograd's zeros", function()
    local x = torch.tensor({ 1.0, -2.0 }):requires_grad_()
    local zeros = torch.grad({ x:sgn() }, { x }, { torch.ones(2) })[1]
    assert.same({ 0, 0 }, values(zeros))
    assert.equal(("\0"):rep(8), zeros:tobytes())
    assert.matches("0%. 0%.", tostring(zeros))
    assert.equal(0, torch.grad({ x:sgn() }, { x }, { torch.ones(2) })[1][1]:item())
    x:sgn():sum():backward()
    x.grad:add_(1)
    assert.same({ 1, 1 }, values(x.grad))
    assert.same({ { 0, 0, 0 } }, values(torch._efficientzerotensor { 1, 3 }))
  end)

  it("are read as what they are: conjugates and negations", function()
    local z = torch.complex(torch.tensor { 1.0, 2.0 }, torch.tensor { 3.0, -4.0 })
    local c = z:conj()
    assert.same({ { 1, -3 }, { 2, 4 } }, values(c))
    assert.same({ -3, 4 }, values(c:imag()))
    assert.equal(string.pack("<ffff", 1, -3, 2, 4), c:tobytes())
    assert.equal(string.pack("<ff", -3, 4), c:imag():tobytes())
    assert.same({ 1, -3 }, { c[1]:item() })
    assert.equal(-3, c:imag()[1]:item())
    assert.matches("%-3%. +4%.", tostring(c:imag()))
    assert.same({ -3, 4 }, values(torch.tensor(c:imag())))
  end)

  it("reach the core's kernels, forward and backward", function()
    local z = torch.complex(torch.randn(4, 8), torch.randn(4, 8))
    local lazy, weight = z:conj():imag(), torch.randn(8, 8)
    local plain = lazy:plain()
    assert.is_true(lazy:is_neg() and not plain:is_neg())
    assert.is_true(torch.ops.dgam.linear(plain, weight, nil):equal(torch.ops.dgam.linear(lazy, weight, nil)))
    assert.is_true(torch.ops.dgam.gemm(plain, weight):equal(torch.ops.dgam.gemm(lazy, weight)))
    local function through(g)
      local x = torch.ones(4, 8):requires_grad_()
      return torch.grad({ torch.ops.dgam.linear(x, weight, nil) }, { x }, { g })[1]
    end
    assert.is_true(through(plain):equal(through(lazy)))
    local x = torch.ones(4, 8):requires_grad_()
    local y = torch.ops.dgam.linear(x, weight, nil)
    assert.same(values(torch.zeros(4, 8)), values(torch.grad({ y:sgn() }, { x }, { torch.ones(4, 8) })[1]))
  end)

  it("reach files", function()
    local h5 = require "dgam.kernels.h5"
    local path = os.tmpname()
    local lazy = torch.complex(torch.zeros(3), torch.tensor { 1.0, 2.0, 3.0 }):conj():imag()
    local f = h5.create(path)
    f:write("x", lazy)
    f:close()
    local back = h5.open(path)
    assert.same({ -1, -2, -3 }, values(back:read "x"))
    back:close()
    os.remove(path)
  end)

  it("are refused where there are none", function()
    for words, t in pairs {
      ["the tensor is sparse_coo, expected a dense one; use :to_dense()"] = torch.ones(2):to_sparse(),
      ["the tensor is mkldnn, expected a dense one; use :to_dense()"] = torch.ones(2):to_mkldnn(),
      ["Cannot copy out of meta tensor; no data!"] = torch.ones(2, { device = "meta" }),
      ["elements of type quint8 have no Lua form"] = torch.quantize_per_tensor(torch.ones(2), 0.5, 0, "quint8"),
    } do assert.matches(words, message(t.totable, t), 1, true) end
    for _, t in ipairs { torch.ones(2):to_mkldnn(), torch.ones(2, { device = "meta" }), torch.ones(2):to_sparse() } do
      assert.is_false(pcall(t.tobytes, t))
      assert.is_false(pcall(t.item, t))
      assert.matches("^%[float32 2", tostring(t))
    end
    assert.matches("0%.5000", tostring(torch.quantize_per_tensor(torch.tensor { 0.5, 0.75 }, 0.25, 0, "quint8")))
  end)

  it("are not made of nothing, table by table", function()
    assert.matches("dimension 1 has 4611686018427387904 items, more than a table takes",
      message(function() return torch.zeros({ 1 << 62, 0 }):totable() end))
  end)

  it("are not looked for beyond a tensor's memory", function()
    local x = torch.ones(2)
    assert.matches("would reach beyond its memory", message(torch._reshape_alias, x, { 1 << 40 }, { 1 }))
  end)
end)

describe("operators with arguments at random", function()
  it("end no process", function()
    local pipe = io.popen(("%s %s 0.3 11 2>/dev/null"):format(shell.program(), shell.quote(dgamlua.root .. "/tests/fuzz/operators.lua")))
    local text = pipe:read "a"
    pipe:close()
    assert.matches("^0 signals\n$", text)
  end)
end)
