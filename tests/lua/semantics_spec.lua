-- The results of the kernels do not change in silence: stored trials count them by one number a family (core/base/semantics.h).
local semantics = require "semantics"
local support = require "support"

describe("the results of the kernels", function()
  local recorded, outputs
  setup(function() recorded, outputs = dofile(dgamlua.root .. "/tests/golden/semantics.lua"), semantics.outputs() end)

  it("are those that their versions stand for", function()
    local moved, new = semantics.compare(recorded, outputs)
    assert.equal("", table.concat(moved, "\n"))
    assert.equal("", table.concat(new, "\n"))
    for family, list in pairs(outputs) do
      local n = 0
      for _ in pairs(list) do n = n + 1 end
      assert.is_true(n > 1, family .. " has no output")
    end
  end)

  it("may move only with the version", function()
    local function with(changes)
      local copy = {}
      for k, v in pairs(outputs.nn) do copy[k] = v end
      for k, v in pairs(changes) do copy[k] = v end
      return { nn = copy }
    end
    local gate = table.move(outputs.nn.gate, 1, #outputs.nn.gate, 1, { tolerance = outputs.nn.gate.tolerance })
    gate[5] = gate[5] * 1.01
    local moved, new = semantics.compare(recorded, with { gate = gate })
    assert.equal(1, #moved)
    assert.equal(0, #new)
    assert.matches("^the results of gate changed %(number 5 was .*%): raise the number of 'nn' in core/base/semantics.h and record",
      moved[1])
    moved, new = semantics.compare(recorded, with { gate = gate, version = outputs.nn.version + 1 })
    assert.same({ 0, 1 }, { #moved, #new })
    assert.matches("record the new values", new[1])
    moved, new = semantics.compare({}, with {})
    assert.equal(0, #moved)
    assert.is_true(#new > 10)
    gate[5] = 0 / 0
    assert.equal(1, #semantics.compare(recorded, with { gate = gate }))
  end)

  it("are written so that they can be read", function()
    local folder = support.folder()
    require "dgamnative.fs".write(folder .. "/x.lua", semantics.text(outputs))
    local moved, new = semantics.compare(dofile(folder .. "/x.lua"), outputs)
    assert.same({ {}, {} }, { moved, new })
    support.remove(folder)
  end)
end)
