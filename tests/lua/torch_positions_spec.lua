-- Counting from one: every operator with positions among its arguments and results, and that none is forgotten.
local torch = require "torch"
local native = require "dgamtorch"

local NONE = torch.none
local function values(t) return t:totable() end
local function near(expected, got) assert.is_true(expected:allclose(got), tostring(expected) .. "\n" .. tostring(got)) end

-- The gradient of sum(f(x) * weight) to x.
local function gradient(f, x, weight)
  x = x:detach():clone():requires_grad_()
  return torch.grad({ f(x) }, { x }, { weight })[1]
end

describe("counting from one", function()
  it("is decided for every argument and result that looks like a position", function()
    local LOOKS = {
      "^ind", "ind$", "_ind", "idx", "^targets?$", "dim", "axis", "^axes", "offsets", "offset2", "sorter", "^head$", "^blank$",
      "^start$", "^end$", "^source$", "^destination$", "^class$", "^classes$", "^label", "^positions?$", "^perm$",
    }
    local unknown = {}
    for _, op in ipairs(native.names()) do
      if op:find "^aten::" or op:find "^dgam::" then
        for _, a in ipairs(native.places(op)) do
          local looks = false
          for _, pattern in ipairs(LOOKS) do looks = looks or a.name:find(pattern) end
          if looks and not a.place then
            unknown[#unknown + 1] = ("%s.%s: %s '%s', %s"):format(op, a.overload, a.result and "result" or "argument", a.name, a.what)
          end
        end
      end
    end
    assert.same({}, unknown) -- add them to positions.cpp, as positions or as From1::no
  end)

  it("holds in copies of views and in their backward", function()
    local x, g = torch.arange(4), torch.tensor { 5, 7 }
    assert.same({ 1, 2 }, values(x:slice_copy(1, 2, 3)))
    assert.same({ 0, 5, 7, 0 }, values(torch.slice_backward(g, { 4 }, 1, 2, 3, 1)))
    assert.same({ 0, 5, 0, 7 }, values(torch.slice_backward(g, { 4 }, 1, 2, -1, 2)))
    assert.same({ { 0, 5 }, { 0, 7 } }, values(torch.select_backward(g, { 2, 2 }, 2, 2)))
    assert.same({ 0, 0, 5, 7 }, values(torch.index_select_backward(g, { 4 }, 1, torch.tensor { 3, 4 })))
    assert.same({ 7, 0, 5, 0 }, values(torch.gather_backward(g, x, 1, torch.tensor { 3, 1 }, false)))
    assert.same({ 0, 5, 0, 7 }, values(torch._gather_sparse_backward(x, 1, torch.tensor { 2, 4 }, g):to_dense()))
    assert.same({ { 5, 0 }, { 0, 7 } },
      values(torch.value_selecting_reduction_backward(g, 2, torch.tensor { 1, 2 }, { 2, 2 }, false)))
  end)

  it("holds in repeats: what is repeated and how often", function()
    assert.same({ 1, 1, 3 }, values(torch.repeat_interleave(torch.tensor { 2, 0, 1 })))
    assert.same({ 7, 7, 8 }, values(torch.repeat_interleave(torch.tensor { 7, 8 }, torch.tensor { 2, 1 })))
    assert.same({ 7, 7, 8, 8 }, values(torch.repeat_interleave(torch.tensor { 7, 8 }, 2)))
  end)

  it("holds in the backward of embeddings", function()
    local at, g = torch.tensor { 1, 3, 3 }, torch.tensor { { 1.0 }, { 2.0 }, { 4.0 } }
    local want = { { 1 }, { 0 }, { 6 } }
    assert.same(want, values(gradient(function(w) return torch.embedding(w, at) end, torch.zeros(3, 1), g)))
    for _, name in ipairs { "embedding_dense_backward", "embedding_sparse_backward" } do
      local function backward(padding)
        local r = torch[name](g, at, 3, padding, false)
        return values(r.layout == "strided" and r or r:to_dense())
      end
      assert.same(want, backward(-1))
      assert.same({ { 1 }, { 0 }, { 0 } }, backward(3))
    end
    assert.same({ { 0 }, { 0 }, { 6 } }, values(torch.embedding_backward(g, at, 3, 1, false, false)))
  end)

  it("holds in bags: which bag, and which row its maximum came from", function()
    local rows = torch.tensor { { 1.0, 5.0 }, { 9.0, 2.0 }, { 3.0, 4.0 } }
    local at, starts = torch.tensor { 1, 2, 3 }, torch.tensor { 1, 3 }
    local out, bag, size, top = torch.embedding_bag(rows, at, starts, false, 2)
    assert.same({ { 9, 5 }, { 3, 4 } }, values(out))
    assert.same({ 1, 1, 2 }, values(bag))
    assert.same({ { 2, 1 }, { 3, 3 } }, values(top))
    local g = torch.tensor { { 1.0, 2.0 }, { 3.0, 4.0 } }
    local want = { { 0, 2 }, { 1, 0 }, { 3, 4 } }
    assert.same(want, values(gradient(function(w) return (torch.embedding_bag(w, at, starts, false, 2)) end, rows, g)))
    assert.same(want, values(torch._embedding_bag_dense_backward(g, at, bag, size, top, 3, false, 2, NONE)))
    out, bag, size, top = torch._embedding_bag(rows, at, starts, false, 1)
    near(torch.tensor { { 5.0, 3.5 }, { 3.0, 4.0 } }, out)
    near(torch.tensor { { 0.5, 1.0 }, { 0.5, 1.0 }, { 3.0, 4.0 } },
      torch._embedding_bag_backward(g, at, starts, bag, size, top, 3, false, 1, false, NONE))
  end)

  it("holds in losses' forward and backward forms", function()
    local x = torch.tensor { { 0.1, 0.7, 0.2 }, { 0.5, 0.3, 0.9 } }
    local classes = torch.tensor { 1, 3 }
    for _, ignored in ipairs { -100, 3 } do
      local loss, weight = torch.nll_loss_forward(x, classes, NONE, 1, ignored)
      near(torch.nll_loss(x, classes, NONE, 1, ignored), loss)
      assert.equal(ignored == 3 and 1 or 2, weight:item())
      near(gradient(function(v) return torch.nll_loss(v, classes, NONE, 1, ignored) end, x, torch.tensor(1.0)),
        torch.nll_loss_backward(torch.tensor(1.0), x, classes, NONE, 1, ignored, weight))
    end
    assert.near(-0.5, torch.nll_loss(x, classes):item(), 1e-6)

    local image, labels = x:view(1, 2, 1, 3), torch.tensor { { { 2, 1, 2 } } }
    local loss, weight = torch.nll_loss2d_forward(image, labels, NONE, 2, 1)
    assert.near(-(0.5 + 0.9), loss:item(), 1e-6)
    assert.same({ { { { 0, 0, 0 } }, { { -1, 0, -1 } } } },
      values(torch.nll_loss2d_backward(torch.tensor(1.0), image, labels, NONE, 2, 1, weight)))

    near(gradient(function(v) return torch.multi_margin_loss(v, classes) end, x, torch.tensor(1.0)),
      torch.multi_margin_loss_backward(torch.tensor(1.0), x, classes, 1, 1, NONE, 1))
    local many = torch.tensor { { 2, -1, -1 }, { 1, 3, -1 } }
    local sum, is_target = torch.multilabel_margin_loss_forward(x, many, 1)
    near(torch.multilabel_margin_loss(x, many), sum)
    assert.same({ { 0, 1, 0 }, { 1, 0, 1 } }, values(is_target))
    near(gradient(function(v) return torch.multilabel_margin_loss(v, many) end, x, torch.tensor(1.0)),
      torch.multilabel_margin_loss_backward(torch.tensor(1.0), x, many, 1, is_target))
  end)

  it("holds in ctc_loss and its backward", function()
    torch.manual_seed(2)
    local p, labels, steps, lengths = torch.randn(5, 2, 4):log_softmax(3), torch.tensor { { 2, 3 }, { 4, 2 } }, { 5, 5 }, { 2, 2 }
    local function loss(v) return torch.ctc_loss(v, labels, steps, lengths, 1, 0) end
    local each, alpha = torch._ctc_loss(p, labels, steps, lengths, 1)
    near(loss(p), each)
    local ones = torch.ones(2)
    near(gradient(loss, p, ones), torch._ctc_loss_backward(ones, p, labels, steps, lengths, each, alpha, 1))
  end)

  it("holds where positions are written in place", function()
    local x = torch.tensor { 1.0, 3.0, 2.0, 4.0 }
    local top, at = torch.empty(4), torch.empty(4, { dtype = "int64" })
    torch._cummax_helper(x, top, at, 1)
    assert.same({ { 1, 3, 3, 4 }, { 1, 2, 2, 4 } }, { values(top), values(at) })
    torch._cummin_helper(x, top, at, 1)
    assert.same({ 1, 1, 1, 1 }, values(at))
    near(torch.tensor { 1.0, 2.0, 0.0, 1.0 }, torch.cummaxmin_backward(torch.ones(4), x, torch.tensor { 1, 2, 2, 4 }, 1))
    assert.same({ 1, 3, 9, 8 }, values(x:clone():_index_put_impl_({ torch.tensor { 3, -1 } }, torch.tensor { 9.0, 8.0 })))
    assert.same({ 1, 2 }, values((select(2, torch.sort(torch.tensor { 1, 2 }, { out = { top:long(), at } })))))
  end)

  it("holds in sparse tensors' copies and conversions", function()
    local c = torch.tensor({ { 0, 5 }, { 7, 0 } }):to_sparse_csr()
    assert.same({ { 1, 2 }, { 2, 1 } }, values(torch._convert_indices_from_csr_to_coo(c:crow_indices(), c:col_indices())))
    assert.same({ 0, 1, 2 }, values(torch._convert_indices_from_coo_to_csr(torch.tensor { 1, 2 }, 2)))
  end)

  it("leaves counts, sizes and boundaries alone", function()
    local parts = torch.tensor_split(torch.tensor { 1, 2, 3 }, { 2 })
    assert.same({ { 1, 2 }, { 3 } }, { values(parts[1]), values(parts[2]) })
    assert.same({ 0, 2, 4 }, values(torch.arange(0, 6, 2)))
    local state = torch.zeros(3, 30, { dtype = "int64" })
    assert.same({ 3, 30 }, state:_sobol_engine_initialize_state_(3).shape) -- three dimensions, not the third
  end)
end)
