-- Random numbers: repeatable by purpose, different between purposes, uniform.
local rng = require "dgam.kernels.rng"

describe("rng", function()
  it("gives the same draws for the same purpose only", function()
    assert.equal(rng.below(1 << 40, 1, 2, 3), rng.below(1 << 40, 1, 2, 3))
    assert.not_equal(rng.below(1 << 40, 1, 2, 3), rng.below(1 << 40, 1, 3, 2))
    assert.not_equal(rng.below(1 << 40, 1, 2), rng.below(1 << 40, 2, 2))
    local a, b = rng.new(7, 1), rng.new(7, 1)
    a:uniform()
    b:uniform()
    assert.equal(a:normal(), b:normal())
  end)

  it("permutes", function()
    local p = rng.permutation(1000, 3, 4)
    local moved = 0
    for i, v in ipairs(p) do moved = moved + (i ~= v and 1 or 0) end
    assert.is_true(moved > 980)
    table.sort(p)
    for i, v in ipairs(p) do assert.equal(i, v) end
    assert.same({}, rng.permutation(0, 1))
  end)

  it("draws experts uniformly", function()
    local count = { [0] = 0, 0, 0, 0, 0 }
    for clip = 1, 20000 do
      local e = rng.below(5, 1, 2, clip)
      count[e] = count[e] + 1
    end
    for e = 0, 4 do assert.is_true(math.abs(count[e] - 4000) < 5 * math.sqrt(3200), e .. ": " .. count[e]) end
  end)

  it("refuses what is not a count", function()
    assert.has_error(function() rng.below(0, 1) end)
    assert.has_error(function() rng.below(1.5, 1) end)
    assert.has_error(function() rng.new "x" end)
  end)
end)
