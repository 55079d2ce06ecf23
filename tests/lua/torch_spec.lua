-- The dispatcher binding: overloads, named arguments, counting from one, indexing, autograd, memory, errors.
local torch = require "torch"
local shell = require "util.shell"
local support = require "support"
local message = support.message

local function values(t) return t:totable() end

describe("tensors and Lua values", function()
  it("come from nested tables with the type of their numbers", function()
    assert.equal("int64", torch.tensor({ 1, 2 }).dtype)
    assert.equal("float32", torch.tensor({ 1, 2.5 }).dtype)
    assert.equal("bool", torch.tensor({ true, false }).dtype)
    assert.equal("float64", torch.tensor({ 1, 2 }, { dtype = "float64" }).dtype)
    assert.same({ 2, 1, 3 }, torch.tensor({ { { 1, 2, 3 } }, { { 4, 5, 6 } } }).shape)
    assert.same({}, torch.tensor(3).shape)
  end)

  it("go back to tables and bytes unchanged", function()
    local rows = { { 1.5, -2 }, { 0.25, 1e10 } }
    assert.same(rows, values(torch.tensor(rows)))
    local x = torch.tensor { 1, 256, -1 }
    assert.equal(string.pack("<i8i8i8", 1, 256, -1), x:tobytes())
    assert.same({ 1, 256, -1 }, values(torch.frombytes(x:tobytes(), "int64", { 3 })))
    assert.same({ { true, false } }, values(torch.tensor { { true, false } }))
    for _, dtype in ipairs { "float16", "bfloat16", "float64", "int8", "int16", "int32", "uint8" } do
      assert.same({ 1, 2, 100 }, values(torch.tensor({ 1, 2, 100 }, { dtype = dtype })))
    end
    assert.equal(-math.huge, torch.tensor({ -math.huge }, { dtype = "float16" })[1]:item())
  end)

  it("refuse what is not a rectangle of numbers", function()
    assert.matches("ragged", message(torch.tensor, { { 1, 2 }, { 3 } }))
    assert.matches("ragged", message(torch.tensor, { { 1, 2 }, 3 }))
    assert.matches("ragged", message(torch.tensor, { 1, { 2 } }))
    assert.matches("mixes", message(torch.tensor, { 1, true }))
    assert.matches("string", message(torch.tensor, { "a" }))
    assert.matches("unknown option 'dtyp'; did you mean 'dtype'", message(torch.tensor, 1, { dtyp = "float32" }))
    assert.matches("needs 8", message(torch.frombytes, "abc", "float32", { 2 }))
    local cyclic = {}
    cyclic[1] = cyclic
    assert.matches("nested deeper", message(torch.tensor, cyclic))
    assert.matches("a table of 0 items has 'a' beside them", message(torch.tensor, { a = 1 }))
    assert.matches("a table of 2 items has 'dtype' beside them", message(torch.tensor, { { 1, 2, dtype = "int64" } }))
  end)
end)

describe("operators", function()
  it("are found by name, with overloads, defaults and named arguments", function()
    local x = torch.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.equal(21, x:sum():item())
    assert.same({ 6, 15 }, values(x:sum(2)))
    assert.same({ { 6 }, { 15 } }, values(x:sum(2, { keepdim = true })))
    assert.same({ { 6 }, { 15 } }, values(torch.sum(x, { dim = -1, keepdim = true })))
    assert.same({ 3, 2 }, x:view(3, 2).shape)
    assert.same({ 3, 2 }, x:view({ 3, 2 }).shape)
    assert.same({ 3, 2 }, x:permute(2, 1).shape)
    assert.same({ 4, 3 }, torch.cat({ x, x }, 1).shape)
    assert.same({ 2, 2, 3 }, torch.stack { x, x }.shape)
    assert.equal("float64", torch.zeros(2, { dtype = "float64" }).dtype)
  end)

  it("take separate whole numbers for a list, where no form has places of its own for them", function()
    torch.manual_seed(3)
    local dice = torch.randint(1, 7, 300)
    assert.same({ { 300 }, 1, 6 }, { dice.shape, dice:min():item(), dice:max():item() })
    assert.same({ 2, 5 }, torch.randint(1, 7, 2, 5).shape)
    assert.same({ 2, 5 }, torch.randint(1, 7, { 2, 5 }).shape)
    assert.same({ 3 }, torch.randint(7, 3).shape)
    assert.same({ 2, 3 }, torch.randint(7, { 2, 3 }).shape)
    local x = torch.zeros(2, 3, 4)
    assert.same({ 2, 3, 4 }, x.shape)
    assert.same({ 2, 12 }, x:view(2, -1).shape)
    assert.same({ 4, 2, 3 }, x:permute(3, 1, 2).shape)
    assert.same({ 2, 6, 4 }, x:tile(2, 1).shape)
    assert.same({ 3, 2, 4 }, x:movedim(1, 2).shape)
    assert.equal(2, #x:tensor_split(2, 3))
    assert.same({ 3, 4 }, torch.histogramdd(torch.rand(9, 2), 3, 4).shape)
  end)

  it("do arithmetic with numbers on either side, keeping the tensor's type", function()
    local x = torch.tensor { 1.0, 2.0, 4.0 }
    assert.same({ 3, 5, 9 }, values(2 * x + 1))
    assert.same({ 1, 0, -2 }, values(2 - x))
    assert.same({ 1, 0.5, 0.25 }, values(1 / x))
    assert.same({ 1, 4, 16 }, values(x ^ 2))
    assert.same({ -1, -2, -4 }, values(-x))
    assert.same({ 1, 0, 0 }, values(x % 2))
    assert.equal("float32", (x * 2.5).dtype)
    assert.equal("int64", (torch.tensor { 1, 2 } + 1).dtype)
    assert.same({ false, true, true }, values(x:gt(1)))
    assert.same({ true, false, false }, values(~x:gt(1)))
  end)

  it("count dimensions and indices from one, also in tensors of indices", function()
    local x = torch.tensor { { 3, 9, 1 }, { 7, 2, 8 } }
    assert.same({ 2, 3 }, values(x:argmax(2)))
    local top, at = x:topk(2, 2)
    assert.same({ { 9, 3 }, { 8, 7 } }, values(top))
    assert.same({ { 2, 1 }, { 3, 1 } }, values(at))
    assert.same(values(top), values(x:gather(2, at)))
    assert.same({ 7, 2, 8 }, values(x:select(1, 2)))
    assert.same({ { 9, 1 }, { 2, 8 } }, values(x:narrow(2, 2, 2)))
    assert.same({ { 1, 3 }, { 8, 7 } }, values(x:index_select(2, torch.tensor { 3, 1 })))
    assert.same({ { 0, 1 }, { 1, 0 } }, values(torch.one_hot(torch.tensor { 2, 1 }, 2)))
    assert.same({ { 1, 2 }, { 2, 1 } }, values(torch.tensor({ { 0, 1 }, { 1, 0 } }):nonzero()))
    local p = values(torch.randperm(5))
    table.sort(p)
    assert.same({ 1, 2, 3, 4, 5 }, p)
    local logits = torch.tensor { { 5.0, 0.0, 0.0 }, { 0.0, 0.0, 5.0 } }
    assert.is_true(torch.cross_entropy(logits, torch.tensor { 1, 3 }):item() < 0.02)
    assert.near(torch.cross_entropy(logits, torch.tensor { 1, 3 }):item(),
      torch.cross_entropy(torch.cat({ logits, logits }, 1), torch.tensor { 1, 3, -100, -100 }):item(), 1e-6)
  end)

  it("count axes from one, repeats not", function()
    local x = torch.arange(6):view(1, 2, 3)
    assert.same({ 2, 1, 3 }, x:swapaxes(1, 2).shape)
    assert.same({ 1, 3, 2 }, x:swapaxes(-1, 2).shape)
    assert.same({ 3, 2, 1 }, torch.swapaxes(x, { axis0 = 1, axis1 = 3 }).shape)
    assert.matches("argument 'axis0' is 0; dimensions count from 1", message(x.swapaxes, x, 0, 1))
    local two = torch.tensor { 0.5, 0.25 } -- one scale a row
    local rows = torch.fake_quantize_per_channel_affine(torch.full({ 2, 3 }, 0.3), two, torch.zeros(2), 1, -8, 7)
    assert.same({ { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 } }, values(rows))
    assert.same({ { 0, 1, 0, 1 } }, values(torch.tensor { { 0, 1 } }:tile { 1, 2 }))
    assert.same({ { 0, 1 }, { 0, 1 } }, values(torch.tensor { 0, 1 }:tile { 2, 1 }))
  end)

  it("refuse index 0 and positions past the end", function()
    local x = torch.zeros(2, 3)
    assert.matches("out of range", message(function() return x[3] end))
    assert.matches("count from 1", message(function() return x:sum(0) end))
    assert.matches("count from 1", message(function() return x[{ torch.tensor { 0 } }] end))
    assert.matches("count from 1", message(function() return x:select(1, 0) end))
    assert.matches("out of", message(torch.embedding, x, torch.tensor { 0 }))
    assert.matches("out of bounds", message(torch.cross_entropy, x, torch.tensor { 0, 1 }))
  end)

  it("count from one in libtorch's own errors", function()
    local smaller = torch.version:find "^1%." and "smaller" or "no larger" -- as newer versions put it
    local x = torch.zeros(2, 3)
    for words, f in pairs {
      ["range of [-2, 2], but got 3)"] = function() return x:sum(3) end,
      ["range of [-2, 2], but got -3)"] = function() return x:sum(-3) end,
      ["range of [-2, 2], but got 5)"] = function() return x:transpose(1, 5) end,
      ["index 4 out of range for tensor of size [2, 3] at dimension 2"] = function() return x:select(2, 4) end,
      ["index -3 out of range for tensor of size [2, 3] at dimension 1"] = function() return x:select(1, -3) end,
      ["index 3 is out of bounds for dimension 1 with size 2"] = function() return x:gather(1, torch.tensor { { 3 } }) end,
      ["index 0 is out of bounds for dimension 1"] = function() return x:gather(1, torch.tensor { { 0 } }) end,
      ["at non-singleton dimension 2"] = function() return x + torch.zeros(2, 4) end,
      ["except in dimension 1. Expected size 3 but got size 4 for tensor number 2 in"] = function()
        return torch.cat({ x, torch.zeros(2, 4) }, 1)
      end,
      ["but got [2, 3] at entry 1 and [3] at entry 2"] = function() return torch.stack { x, torch.zeros(3) } end,
      ["dim 2 appears multiple times"] = function() return x:sum { 2, 2 } end,
      ["start (2) + length (2) exceeds dimension size (2)"] = function() return x:narrow(1, 2, 2) end,
      ["Expected reduction dim 2 to have"] = function() return torch.zeros(2, 0):amax(2) end,
      ["with dimension 3 being empty"] = function() return torch.adaptive_max_pool2d(torch.zeros(5, 1, 0), { 2, 2 }) end,
      ["unnamed dim at index 2 of"] = function() return x:refine_names({ "N", torch.none }):align_to { "N" } end,
      ["even, but dimension 2 is size 3"] = function() return x:glu(2) end,
      ["input tensor's size at dimension 2)"] = function() return x:split_with_sizes({ 1, 1 }, 2) end,
      ["at dimension 2 expected index [2, 4] to be " .. smaller .. " than self [2, 3] apart from dimension 1"] = function()
        return x:gather(1, torch.ones(2, 4):long())
      end,
      ["to be " .. smaller .. " than self [2, 3] apart from dimension 1 and"] = function()
        return x:scatter_add(1, torch.ones(2, 4):long(), torch.zeros(2, 4))
      end,
      ["padding (1, 4) at dimension 2 of input"] = function() return torch.reflection_pad1d(x, { 1, 4 }) end,
      ["expected size of input's dimension 3 to"] = function()
        return torch.col2im(torch.zeros(1, 2, 3), { 2, 2 }, { 1, 1 }, { 1, 1 }, { 0, 0 }, { 1, 1 })
      end,
      ["bins for dimension 1 with"] = function()
        return torch.histogramdd(torch.zeros(4, 2, { dtype = "float64" }), { torch.zeros(3), torch.zeros(3) })
      end,
      ["Input 2 has 3 dimensions"] = function() return torch.block_diag { torch.zeros(2, 2), torch.zeros(1, 1, 1) } end,
      ["3 at dimension 1 and source slice shape: 4 at dimension 1"] = function()
        return x:index_copy(1, torch.tensor { 1 }, torch.zeros(1, 4))
      end,
      ["inputs dimension 1 must have length 3"] = function() return torch.linalg_cross(x, x, { dim = 1 }) end,
      ["tensor at dimension 2 is 3 but size is 5"] = function() return x:unfold(2, 5, 1) end,
      ["up to the size of dim 1 (6)"] = function() return torch.arange(6):unflatten(1, { 4, 2 }) end,
      ["cannot be identical 1, 1"] = function() return x:diagonal(0, 1, 1) end,
      ["size 2 in dim 1 and second has size 3 in dim 2"] = function() return torch.tensordot(x, x, { 1 }, { 2 }) end,
      ["k out of range for dimension 2"] = function() return x:kthvalue(5, 2) end,
      ["split along dimension 2, but"] = function() return x:hsplit(2) end,
      ["dim0 = 2 and dim1 = 2"] = function() return x:rot90(1, { 2, 2 }) end,
      ["repeated dim in `source` ([2, 2, -1])"] = function() return x:movedim({ 2, 2, -1 }, { 1, 2, 1 }) end,
      ["at index 2 and dimension 1 for Tensor at index 1"] = function()
        return torch._nested_tensor_from_tensor_list { torch.zeros(1), torch.zeros(1, 1) }
      end,
      ["Target 4 is out of bounds"] = function() return torch.nll_loss(x, torch.tensor { 1, 4 }) end,
    } do assert.matches(words, message(f), 1, true) end
  end)

  it("count from one where a value would go and where a maximum came from", function()
    local edges = torch.tensor { 1.0, 3.0, 5.0 }
    assert.same({ 1, 2, 4 }, values(torch.bucketize(torch.tensor { 0.5, 2.0, 9.0 }, edges)))
    assert.same({ 3 }, values(torch.searchsorted(edges, torch.tensor { 4.0 })))
    local x = torch.tensor { { { { 1.0, 9.0, 2.0, 3.0 }, { 4.0, 5.0, 8.0, 6.0 } } } }
    local y, at = torch.max_pool2d_with_indices(x, { 2, 2 })
    assert.same({ { { { 2, 7 } } } }, values(at))
    assert.same({ 9, 8 }, values(x:flatten():take(at):flatten()))
    assert.same({ { { { 0, 9, 0, 0 }, { 0, 0, 8, 0 } } } }, values(torch.max_unpool2d(y, at, { 2, 4 })))
    local g = torch.max_pool2d_with_indices_backward(torch.ones(1, 1, 1, 2), x, { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false, at)
    assert.same({ { { { 0, 1, 0, 0 }, { 0, 0, 1, 0 } } } }, values(g))
    local _, top = torch.adaptive_max_pool2d(x, { 1, 1 })
    assert.same({ { { { 0, 1, 0, 0 }, { 0, 0, 0, 0 } } } }, values(torch.adaptive_max_pool2d_backward(torch.ones(1, 1, 1, 1), x, top)))
    local mixed = torch.tensor { 3.0, 1.0, 2.0 }
    assert.same({ 2, 3 }, values(torch.searchsorted(mixed, torch.tensor { 1.5, 2.5 }, { sorter = mixed:argsort() })))
  end)

  it("count from one in sparse tensors and labels of ctc_loss", function()
    local i64 = { dtype = "int64" }
    local at = torch.tensor({ { 1, 2 }, { 3, 1 } }, i64)
    local s = torch.sparse_coo_tensor(at, torch.tensor { 5.0, 7.0 }, { 2, 3 })
    assert.same({ { 0, 0, 5 }, { 7, 0, 0 } }, values(s:to_dense()))
    for _ = 1, 2 do assert.same({ { 1, 2 }, { 3, 1 } }, values(s:coalesce():indices())) end -- a look changes nothing
    for _ = 1, 2 do assert.same({ { 1, 2 }, { 3, 1 } }, values(s:_indices())) end
    assert.matches("found negative index 0 for dim 1", message(torch.sparse_coo_tensor,
      torch.tensor({ { 0 }, { 1 } }, i64), torch.tensor { 1.0 }, { 2, 3 }), 1, true)
    assert.matches("for dim 1, size is 2 but found index 3", message(torch.sparse_coo_tensor,
      torch.tensor({ { 3 }, { 1 } }, i64), torch.tensor { 1.0 }, { 2, 3 }), 1, true)
    local c = torch.tensor({ { 0, 1.5 }, { 2, 0 } }):to_sparse_csr()
    for _ = 1, 2 do assert.same({ 2, 1 }, values(c:col_indices())) end
    assert.same({ { 0, 1.5 }, { 2, 0 } },
      values(torch.sparse_csr_tensor(c:crow_indices(), c:col_indices(), c:values(), { 2, 2 }):to_dense()))

    local p = torch.tensor { { { .7, .2, .1 } }, { { .6, .3, .1 } } } -- two steps, three symbols
    local function loss(label, blank)
      return torch.ctc_loss(p:log(), torch.tensor({ { label } }, i64), { 2 }, { 1 }, { blank = blank }):item()
    end
    assert.near(-math.log(.7 * .3 + .2 * .6 + .2 * .3), loss(2), 1e-6) -- the first symbol is the blank, unless said otherwise
    assert.near(-math.log(.7 * .1 + .1 * .6 + .7 * .6), loss(1, 3), 1e-6)
    assert.matches("ctc_loss: label 4, expected 1 to 3", message(loss, 4))
    assert.matches("ctc_loss: label 0, expected 1 to 3", message(loss, 0))
    local one = torch.tensor({ 1 }, i64)
    local padded = torch.ctc_loss(p:log(), torch.tensor({ { 2, 99 } }, i64), torch.tensor({ 2 }, i64), one)
    assert.near(loss(2), padded:item(), 1e-6) -- what is beyond a label's length does not count
    assert.matches("label 99, expected 1 to 3", message(torch.ctc_loss, p:log(), torch.tensor({ { 2, 99 } }, i64), { 2 }, { 2 }))
  end)

  it("convert to another tensor's type", function()
    local x, other = torch.ones(2), torch.zeros(1, { dtype = "float64" })
    assert.equal("float64", x:to(other).dtype)
    assert.is_true(x:to(x):is_same(x))
    assert.is_false(x:to(x, { copy = true }):is_same(x))
  end)

  it("take an empty table at the end for no named arguments, where no list may stand", function()
    local x = torch.ones(2, 3)
    assert.same({ 3, 3 }, values(x:sum(2, { keepdim = nil })))
    assert.same(values(x), values(x:relu {}))
    assert.equal(0, torch.zeros({}):dim())
    assert.matches("relu: .*argument", message(x.relu, x, {}, {}))
  end)

  it("count back from the end where libtorch does, in tensors of indices too", function()
    local x, back = torch.tensor { 10, 20, 30 }, torch.tensor { 1, -1 }
    assert.same({ 10, 30 }, values(x:take(back)))
    assert.equal(20, x:take(2):item())
    assert.same({ 5, 20, 6 }, values(x:put(back, torch.tensor { 5, 6 })))
    assert.same({ 7, 20, 7 }, values(x:index_fill(1, back, 7)))
    assert.same({ 20 }, values(x:narrow(1, torch.tensor(2), 1)))
    assert.same({ 30 }, values(x:narrow(1, torch.tensor(-1), 1)))
    local zero = torch.tensor { 0 }
    for _, f in ipairs {
      function() return x:take(zero) end,
      function() return x:take(0) end,
      function() return x:put(zero, zero) end,
      function() return x:clone():put_(zero, zero) end,
      function() return x:index_fill(1, zero, 7) end,
      function() return x:clone():index_fill_(1, zero, 7) end,
      function() return x:narrow(1, torch.tensor(0), 1) end,
      function() return torch.ones(3, 1):embedding_renorm_(zero, 1.0, 2.0) end,
    } do assert.matches("an index is 0; indices count from 1", message(f)) end
  end)

  it("count from one in losses over labels and in bags", function()
    local rows = torch.tensor { { 10.0 }, { 20.0 }, { 30.0 } }
    local function bag(...) return values((torch.embedding_bag(rows, torch.tensor { 1, 1, 3 }, torch.tensor { 1, 3 }, ...))) end
    assert.same({ { 20 }, { 30 } }, bag())
    assert.same({ { 0 }, { 30 } }, bag(false, 0, false, torch.none, false, 1))
    assert.is_false(pcall(torch.embedding_bag, rows, torch.tensor { 4 }, torch.tensor { 1 })) -- each libtorch in its own words
    local scores = torch.tensor { { 5.0, 0.0, 0.0 } }
    local function loss(...) return torch.multilabel_margin_loss(scores, torch.tensor { { ... } }):item() end
    assert.equal(0, loss(1, -1, -1))
    assert.is_true(loss(3, -1, -1) > 1)
    assert.matches("count from 1", message(loss, 0, -1, -1))
  end)

  it("give positions from one, in the tensors they are told to write too", function()
    local where = torch.where(torch.tensor { true, false, true })
    assert.same({ { 1, 3 } }, { values(where[1]) })
    assert.same({ 0, 5 }, values(torch.where(torch.tensor { true, false }, torch.tensor { 0, 0 }, torch.tensor { 5, 5 })))
    assert.same({ { 1, 2, 2 }, { 1, 1, 2 } }, values(torch.tril_indices(2, 2)))
    assert.same({ { 1, 1, 2 }, { 1, 2, 2 } }, values(torch.triu_indices(2, 2)))
    local x = torch.tensor { 7, 7, 4 }
    assert.same({ 1, 1, 2 }, values((select(2, x:unique_consecutive(true)))))
    assert.same({ 2, 2, 1 }, values((select(2, x:unique_dim(1, true, true)))))
    assert.same({ 2, 2, 1 }, values((select(2, x:_unique2(true, true)))))
    local sorted, at = torch.zeros(0, { dtype = "int64" }), torch.zeros(0, { dtype = "int64" })
    local _, result = torch.sort(torch.tensor { 1, 3, 2 }, 1, true, { values = sorted, indices = at })
    assert.same({ { 3, 2, 1 }, { 2, 3, 1 }, { 2, 3, 1 } }, { values(sorted), values(at), values(result) })
  end)

  it("say which form expects what", function()
    assert.matches("did you mean 'matmul'", message(function() return torch.matmull end))
    assert.matches("did you mean 'view'", message(function() return torch.zeros(1):viev(1) end))
    local text = message(torch.conv2d, torch.zeros(1), torch.zeros(1), { strde = 1 })
    assert.matches("no argument named 'strde'", text)
    assert.matches("aten::conv2d", text)
    assert.matches("expected a tensor", message(torch.relu, "x"))
    assert.matches("function", message(torch.relu, print))
    assert.matches("2x3.*3x2", (message(torch.matmul, torch.zeros(2, 3), torch.zeros(2, 3)):gsub("2x3 and 2x3", "2x3 3x2")))
  end)

  it("exist by the thousand and explain themselves", function()
    assert.is_true(#torch.names() > 1000)
    assert.matches("aten::softmax", torch.help "softmax")
    assert.is_function(torch.ops.aten.relu)
  end)
end)

describe("indexing", function()
  local x
  before_each(function() x = torch.arange(24):view(2, 3, 4) end)

  it("takes integers, ranges, everything, the rest, tensors and masks", function()
    assert.equal(23, x[{ 2, 3, 4 }]:item())
    assert.equal(23, x[-1][-1][-1]:item())
    assert.same({ { 4, 5 }, { 8, 9 } }, values(x[{ 1, { 2, 3 }, { 1, 2 } }]))
    assert.same({ 3, 15 }, values(x[{ {}, 1, 4 }]))
    assert.same({ { 0, 2 } }, values(x[{ { 1 }, 1, { 1, -1, 2 } }][{ { 1, 1 } }]))
    assert.same({ 2, 3 }, x[{ "...", 4 }].shape)
    assert.same({ 1, 3 }, values(x[{ 1, 1, torch.tensor { 2, 4 } }]))
    assert.same({ 2, 2, 4 }, x[{ {}, torch.tensor { 3, 1 } }].shape)
    assert.same({ 22, 23 }, values(x[x:gt(21)]))
    assert.equal(2, #x)
  end)

  it("assigns numbers, tensors and through masks, into the same memory", function()
    local y = x:clone()
    y[{ 1, 1 }] = 7
    y[{ 2, {}, 1 }] = torch.tensor { -1, -2, -3 }
    y[y:gt(20)] = 0
    assert.same({ 7, 7, 7, 7 }, values(y[{ 1, 1 }]))
    assert.same({ -1, -2, -3 }, values(y[{ 2, {}, 1 }]))
    assert.equal(0, y[{ 2, 3, 4 }]:item())
    assert.matches("one too many", message(function() return torch.zeros(2)[1][1] end) .. "")
    assert.matches("4 indices", message(function() return x[{ 1, 1, 1, 1 }] end))
  end)
end)

describe("indexing with masks", function()
  -- What each dimension, or each mask for all of its dimensions, lets through: a list of tuples of positions. Neighbouring
  -- tensors would be pairs of positions, which is not done here.
  local function chosen(shape, spec)
    local axes, d, taken = {}, 1, 0
    local function mask(v) return torch.is_tensor(v) and (v.dtype == "bool" or v.dtype == "uint8") end
    for _, v in ipairs(spec) do taken = taken + (v == "..." and 0 or mask(v) and v.ndim or 1) end
    local function range(first, last, step)
      local list = {}
      for i = first, last < 0 and shape[d] + 1 + last or last, step do list[#list + 1] = { i } end
      axes[#axes + 1], d = list, d + 1
    end
    for _, v in ipairs(spec) do
      if v == "..." then
        for _ = taken + 1, #shape do range(1, -1, 1) end
      elseif math.type(v) then range(v % (shape[d] + 1), v, 1)
      elseif not torch.is_tensor(v) then range(v[1] or 1, v[2] or -1, v[3] or 1)
      elseif mask(v) then
        axes[#axes + 1], d = v:nonzero():totable(), d + v.ndim
      else
        local list = {}
        for i, at in ipairs(v:totable()) do list[i] = { at } end
        axes[#axes + 1], d = list, d + 1
      end
    end
    while d <= #shape do range(1, -1, 1) end
    return axes
  end
  local function flat(shape, axes) -- element numbers, from 0
    local out = {}
    local function go(k, at)
      if k > #axes then
        local n = 0
        for i, p in ipairs(at) do n = n * shape[i] + p - 1 end
        out[#out + 1] = n
        return
      end
      for _, tuple in ipairs(axes[k]) do
        local longer = table.move(at, 1, #at, 1, {})
        go(k + 1, table.move(tuple, 1, #tuple, #longer + 1, longer))
      end
    end
    go(1, {})
    return out
  end

  local m33, m34, m3 = torch.eye(3):bool(), torch.arange(12):view(3, 4):remainder(5):lt(2), torch.tensor { true, false, true }
  local m234 = torch.arange(24):view(2, 3, 4):remainder(7):eq(0)
  local CASES = {
    { { 3, 3, 3 }, m33, 1 }, { { 3, 3, 3 }, 1, m33 }, { { 3, 3, 3 }, m33 }, { { 3, 3, 3 }, {}, m33 }, { { 3, 3, 3 }, "...", m33 },
    { { 3, 3, 3 }, m33, "..." }, { { 3, 3, 3 }, m33, { 1, 2 } }, { { 3, 3, 3 }, m33, { 2 } }, { { 3, 3, 3 }, m33:byte(), -1 },
    { { 2, 3, 4, 5 }, { 2 }, m34, { 1, -1, 2 } }, { { 2, 3, 4, 5 }, 2, m34, 5 }, { { 2, 3, 4, 5 }, "...", m34, 3 },
    { { 2, 3, 4, 5 }, 1, m34, "..." }, { { 2, 3, 4, 5 }, m234, { 2, 4 } }, { { 2, 3, 4, 5 }, m234, "...", 4 }, { { 2, 3, 4, 5 }, {}, m34 },
    { { 3, 2, 4, 5 }, m3, "...", { 5 } }, { { 3, 2, 4, 5 }, { 2 }, 1, torch.tensor { 4, 1 }, { 2, 3 } },
    { { 3, 4, 2, 2 }, m34, "...", {}, 1 }, { { 2, 3, 4 }, m234 },
  }
  it("takes and writes what loops over the elements do", function()
    for number, case in ipairs(CASES) do
      local shape, spec = case[1], table.move(case, 2, #case, 1, {})
      local size = 1
      for _, n in ipairs(shape) do size = size * n end
      local x = torch.arange(size):view(shape)
      local want = flat(shape, chosen(shape, spec))
      assert.is_true(#want > 0)
      assert.same(want, values(x[spec]:flatten()), "case " .. number)
      local y, marks = x:clone(), {}
      y[spec] = -1
      for i = 1, size do marks[i] = i - 1 end
      for _, n in ipairs(want) do marks[n + 1] = -1 end
      assert.same(marks, values(y:flatten()), "writing, case " .. number)
      y[spec] = x[spec]
      assert.is_true(y:equal(x))
    end
  end)

  it("pairs the positions of a mask with those of a tensor beside it", function()
    local x, at = torch.arange(72):view(3, 4, 3, 2), m34:nonzero():t()
    local third = torch.arange(#at[1]):remainder(3) + 1
    assert.same(values(x[{ at[1], at[2], third, 2 }]), values(x[{ m34, third, 2 }]))
    assert.same(values(x[{ at[1], at[2], third, { 2 } }]), values(x[{ m34, third, { 2 } }]))
  end)

  it("refuses masks that do not fit", function()
    local x = torch.zeros(3, 3)
    assert.matches("3 indices for a tensor with 2", message(function() return x[{ m33, 1 }] end))
    assert.matches("mask [3] at index 1 does not match the shape of the indexed tensor [2, 4] at index 2",
      message(function() return torch.zeros(2, 4)[{ {}, m3 }] end), 1, true)
    assert.matches("a mask without dimensions", message(function() return x[torch.tensor(true)] end))
    assert.matches("a mask without dimensions", message(function() x[{ torch.tensor(true), 1 }] = 1 end))
  end)
end)

describe("indexing", function()
  it("refuses names and items that mean nothing", function()
    local x = torch.arange(6):view(2, 3)
    for words, spec in pairs {
      ["slice of dimension 1 has 'first', expected {first, last, step}"] = { { first = 1 } },
      ["slice of dimension 1 has '4', expected {first, last, step}"] = { { 1, 2, 1, 4 } },
      ["an index of 1 items has 'dim' beside them"] = { 1, dim = 2 },
      ["index 2 is a second \"...\""] = { "...", "..." },
    } do
      assert.matches(words, message(function() return x[spec] end), 1, true)
      assert.matches(words, message(function() x[spec] = 0 end), 1, true)
    end
    assert.same({ { 0, 2 }, { 3, 5 } }, values(x[{ {}, { nil, nil, 2 } }]))
    assert.same({ { 0, 1 }, { 3, 4 } }, values(x[{ {}, { [2] = 2 } }]))
  end)
end)

describe("autograd", function()
  it("agrees with finite differences through a chain of operators", function()
    torch.manual_seed(1)
    local x = torch.randn(3, 4, { dtype = "float64" })
    local w = torch.randn(4, 2, { dtype = "float64" })
    local function f(v) return (v:matmul(w):tanh():softmax(2) ^ 2):sum() end
    x.requires_grad = true
    f(x):backward()
    local h = 1e-6
    for i = 1, 3 do
      for j = 1, 4 do
        local up, down = x:detach():clone(), x:detach():clone()
        up[{ i, j }] = up[{ i, j }]:item() + h
        down[{ i, j }] = down[{ i, j }]:item() - h
        assert.near((f(up):item() - f(down):item()) / (2 * h), x.grad[{ i, j }]:item(), 1e-7)
      end
    end
  end)

  it("is off inside no_grad and on again after an error in it", function()
    local w = torch.ones(2, { requires_grad = true })
    assert.is_false(torch.no_grad(function() return (w * 2).requires_grad end))
    pcall(torch.no_grad, function() error "x" end)
    assert.is_true((w * 2).requires_grad)
    assert.is_true(torch.no_grad(torch.enable_grad, function() return (w * 2).requires_grad end))
  end)

  it("is not left off by a yield out of no_grad", function()
    local ok, why = coroutine.resume(coroutine.create(function() torch.no_grad(coroutine.yield) end))
    assert.is_true(torch.is_grad_enabled())
    assert.is_false(ok)
    assert.matches("attempt to yield", why)
    assert.same({ 1, nil, 3 }, { torch.no_grad(function(...) return ... end, 1, nil, 3) })
    local whole = { "an error that is a table" }
    assert.equal(whole, select(2, pcall(torch.no_grad, error, whole)))
  end)

  it("refuses a gradient of another shape, type or device than its tensor", function()
    local x = torch.ones(2, { requires_grad = true })
    local function set(g) return function() x.grad = g end end
    assert.matches("grad has shape %[3%], expected %[2%]", message(set(torch.ones(3))))
    assert.matches("grad is float64 on cpu, expected float32 on cpu", message(set(torch.ones(2, { dtype = "float64" }))))
    assert.matches("grad is float32 on meta, expected float32 on cpu", message(set(torch.ones(2, { device = "meta" }))))
    set(torch.ones(2))()
    assert.same({ 1, 1 }, values(x.grad))
  end)

  it("is not asked of an operator that gives no tensor", function()
    local x = torch.ones(2)
    assert.matches("requires_grad is true, but the operator gives no tensor",
      message(torch._foreach_zero_, { x }, { requires_grad = true }))
    assert.is_false(x.requires_grad)
    assert.matches("gives no tensor", message(torch.unbind, x, { requires_grad = true }))
  end)

  it("gives gradients of chosen inputs, second order too", function()
    local x = torch.tensor(3.0, { requires_grad = true })
    local g = torch.grad({ x ^ 3 }, { x }, nil, { create_graph = true })
    assert.equal(27, g[1]:item())
    assert.equal(18, torch.grad({ g[1] }, { x })[1]:item())
    local y = torch.tensor(1.0, { requires_grad = true })
    assert.is_false(torch.grad({ x ^ 2 }, { x, y }, nil, { allow_unused = true })[2])
  end)

  it("takes options under their names and in their place", function()
    local x = torch.tensor(3.0, { requires_grad = true })
    local y = x ^ 2
    assert.matches("unknown option 'allow_unsed'; did you mean 'allow_unused'",
      message(torch.grad, { y }, { x }, nil, { allow_unsed = true }))
    assert.matches("grad_outputs has 'retain_graph', expected a list of tensors; options are the fourth argument",
      message(torch.grad, { y }, { x }, { retain_graph = true }))
    assert.matches("outputs has 'y'", message(torch.grad, { y, y = y }, { x }))
    assert.matches("table expected", message(torch.grad, { y }, { x }, torch.tensor(1.0)))
    assert.matches("5 arguments", message(torch.grad, { y }, { x }, nil, nil, {}))
    assert.matches("more arguments", message(y.backward, y, { retain_graph = true }, torch.tensor(1.0)))
    y:backward(nil, { retain_graph = true })
    assert.equal(12, torch.grad({ y }, { x }, { torch.tensor(2.0) }, { retain_graph = true })[1]:item())
    assert.matches("unknown option 'retain'", message(y.backward, y, nil, { retain = true }))
    y:backward(torch.tensor(1.0))
    assert.equal(12, x.grad:item())
  end)

  it("refuses gradients for whole numbers and of tensors without a graph", function()
    assert.matches("int64", message(torch.tensor, 1, { requires_grad = true }))
    assert.matches("grad", message(function() torch.ones(1):sum():backward() end))
    assert.matches("did you mean 'retain_graph'", message(function()
      torch.ones(1, { requires_grad = true }):sum():backward { retain_grap = true }
    end))
  end)
end)

describe("memory", function()
  it("stays bounded when tensors are dropped in a loop, and close frees at once", function()
    collectgarbage()
    local before = torch.memory(true)
    for _ = 1, 400 do torch.empty(1024, 1024) end -- 1.6 GB in all
    local _, peak = torch.memory()
    assert.is_true(peak - before < 300 * 2 ^ 20, ("peak %.0f MB"):format((peak - before) / 2 ^ 20))
    local x = torch.empty(1024, 1024)
    local with = torch.memory()
    x:close()
    assert.is_true(with - torch.memory() >= 4 * 2 ^ 20)
    x:close()
    assert.matches("closed", message(function() return x:sum() end))
    assert.matches("closed", message(function() return x.shape end))
    do
      local y <close> = torch.empty(1024, 1024)
      with = torch.memory()
      assert.equal(1024, #y)
    end
    assert.is_true(with - torch.memory() >= 4 * 2 ^ 20)
  end)

  it("that cannot be had is an error, not the end", function()
    assert.matches("out of memory", message(torch.empty, 1 << 50))
    assert.equal(1, torch.ones(1):item())
  end)

  it("of a large tensor that was freed serves the next of its size, with small things allocated in between", function()
    local kept = {}
    local function pass(n)
      for i = 1, n do
        local large, small = torch.ones({ 20 << 20 }, { dtype = "uint8" }), torch.tensor { 1, 2, 3 }
        kept[i] = { ("x"):rep(20 + i % 100) .. i, small }
        large:close()
        if i % 3 == 0 then kept[i - 1] = nil end
      end
      return support.resident()
    end
    local before = pass(10)
    local after = pass(60)
    assert.is_table(kept[60])
    assert.is_true(after - before < 60 << 20) -- three of 20 MB; without reuse it is more than ten
  end)

  it("that cannot grow is empty afterwards, not a shape without memory behind it", function()
    local x, y = torch.ones(3), torch.ones(2, 3)
    assert.matches("out of memory", message(x.resize_, x, 1 << 50))
    assert.matches("out of memory", message(torch.linspace, 0, 1, 1 << 50, { out = y }))
    assert.same({ { 0 }, { 0 } }, { x.shape, y.shape })
    assert.same({ 5, 5 }, values(x:resize_(2):fill_(5)))
  end)
end)

describe("wrong arguments", function()
  it("of a list's length are told before a kernel reads past its end", function()
    local x = torch.ones(2, 3)
    assert.matches("argument 'padding' is {}, expected a list of 2 whole numbers", message(torch.reflection_pad1d, x, {}))
    assert.matches("expected a list of 2 whole numbers", message(torch.max_unpool2d, x, x, { 1, 2, 3 }))
    assert.same({ 1, 1, 2, 2 }, torch.max_pool2d(torch.ones(1, 1, 4, 4), { 2, 2 }, {}).shape) -- {} is stride's default
    assert.same({ 1, 1, 2, 2 }, torch.avg_pool2d(torch.ones(1, 1, 4, 4), { 2 }).shape)
    assert.same({ 2 }, torch.ones(2, 3, 4):sum({ 2, 3 }).shape) -- int[1] is a list of any length
  end)

  it("that are numbers are told as Lua prints them", function()
    assert.matches("argument 'size' is {20.0, 8}, expected a list of whole numbers", message(torch.zeros, { 20.0, 8 }), 1, true)
    assert.matches("(1e+20, inf, 'x')", message(torch.max, 1e20, math.huge, "x"), 1, true)
  end)

  it("named inside a list are not left out", function()
    local x = torch.ones(2, 3)
    local text = "has '%s' beside .*; named arguments stand in a table of their own, the last argument"
    assert.matches(text:format "keepdim", message(x.sum, x, { 1, keepdim = true }))
    assert.matches(text:format "dtype", message(torch.zeros, { 2, dtype = "int64" }))
    assert.matches(text:format "dim", message(x.sum, x, { dim = 1 }, true))
    assert.matches(text:format "3", message(torch.stack, { x, [3] = x }))
    assert.same({ 2, 4, 3 }, torch.cat({ torch.stack { x, x }, torch.stack { x, x } }, 2).shape)
  end)

  it("about a tensor that has no shape are errors, not the end", function()
    local nested = torch._nested_tensor_from_tensor_list { torch.ones(2), torch.ones(3) }
    assert.matches("irregular", message(function() return nested.shape end))
    assert.matches("irregular", message(nested.size, nested, 2))
    assert.matches("the tensor is nested, expected a dense one", message(nested.totable, nested))
    assert.matches("%(tensor float32 nested, 'x', 'x', 'x'%)", message(torch.max, nested, "x", "x", "x"))
    assert.equal("nested", nested.layout)
    assert.equal(2, nested.ndim)
  end)

  it("for a device without the kernel are one sentence", function()
    local text = message(function() return torch.zeros(3, { device = "meta" }):nonzero() end)
    assert.is_true(#text < 400, text)
    assert.is_nil(text:find("registered at", 1, true))
  end)
end)

describe("printing", function()
  it("ends with type and shape and never fills more than a screen", function()
    assert.equal(" 1. 2.\n[float32 2]", tostring(torch.tensor { 1.0, 2.0 }))
    assert.equal("[float32 0x3]", tostring(torch.zeros(0, 3)))
    assert.equal("3 [int64 scalar]", tostring(torch.tensor(3)))
    local _, lines = tostring(torch.randn(8, 3, 32, 224, 224)):gsub("\n", "")
    assert.is_true(lines <= 32)
    assert.matches("nan", tostring(torch.tensor { 0 / 0, 1 }))
    assert.equal("[float32 3, meta]", tostring(torch.zeros(3, { device = "meta" })))
    local first = tostring(torch.arange(1, 20003):view(2, 10001)):match "[^\n]+"
    assert.same({ "1", "2", "10000", "10001" }, { first:match "(%d+) +(%d+) .* (%d+) +(%d+)$" })
    assert.matches("requires_grad", tostring(torch.ones(1, { requires_grad = true })))
    assert.equal("[float32 2x2, sparse_coo, 4 values]", tostring(torch.ones(2, 2):to_sparse()))
    assert.equal("[float32 nested]", tostring(torch._nested_tensor_from_tensor_list { torch.ones(2), torch.ones(3) }))
  end)
end)

describe("handles", function()
  it("of one tensor have one id", function()
    local x = torch.ones(2)
    local again, other = x:add_(1), x:view(2)
    assert.is_true(x:is_same(again) and x:id() == again:id())
    assert.is_false(x:is_same(other) or x:id() == other:id())
  end)
end)

describe("random state", function()
  it("repeats after seeding and after being restored", function()
    torch.manual_seed(5)
    local a, state = torch.randn(4), torch.rng_state()
    local b = torch.randn(4)
    torch.set_rng_state(state)
    assert.same(values(b), values(torch.randn(4)))
    torch.manual_seed(5)
    assert.same(values(a), values(torch.randn(4)))
  end)
end)

describe("libtorch", function()
  it("leaves the core's oneDNN its own functions", function()
    local own, lent = 0, nil
    local pipe = assert(io.popen(([[LD_DEBUG=bindings LD_BIND_NOW=1 exec %s -e 'require "torch"' 2>&1]]):format(shell.program())))
    for line in pipe:lines() do
      local library = line:match "binding file %S*libdnnl%S* %[%d+%] to (%S+)"
      if library and library:find("libdnnl", 1, true) then own = own + 1 end
      if library and library:find("libtorch", 1, true) then lent = lent or line end
    end
    assert.is_true(pipe:close())
    assert.is_true(own > 100)
    assert.is_nil(lent)
  end)
end)
