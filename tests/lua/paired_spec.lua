-- Paired differences: against numbers worked out by hand, and whether their intervals hold what they promise in simulation.
local paired = require "dgam.show.paired"
local rng = require "dgam.kernels.rng"
local support = require "support"

-- Right and wrong of two rows: clips have a difficulty, seeds a quality of their own, the second row a gain.
local function simulated(trial, seeds, clips, gain, between)
  local function uniform(...) return rng.below(1000000, trial, ...) / 1000000 end
  local base, other = {}, {}
  for s = 1, seeds do
    base[s], other[s] = {}, {}
    local shift = between * (uniform(1, s) + uniform(2, s) + uniform(3, s) + uniform(4, s) - 2) * 1.732 -- deviation `between`
    for c = 1, clips do
      local p = 0.2 + 0.5 * uniform(9, c)
      base[s][c] = uniform(20, s, c) < p and 1 or 0
      other[s][c] = uniform(20 + (uniform(30, s, c) < 0.5 and 0 or 1), s, c) < p + gain + shift and 1 or 0 -- half of the luck is shared
    end
  end
  return base, other
end

describe("dgam.paired", function()
  it("is the paired t test over clips for one seed", function()
    local base = { { 1, 1, 0, 0, 1, 0, 1, 0 } }
    local other = { { 1, 1, 1, 0, 1, 1, 1, 0 } }
    local d = paired.difference(base, other)
    assert.near(25, d.mean, 1e-9)
    -- differences 0 0 100 0 0 100 0 0: deviation 46.2910, over sqrt 8 16.3663, t(7) 2.3646
    assert.near(25 - 2.3646 * 16.3663, d.low, 0.01)
    assert.near(25 + 2.3646 * 16.3663, d.high, 0.01)
    assert.near((2.3646 + 0.8960) * 16.3663, d.visible, 0.01)
    assert.is_false(d.apart)
    assert.is_false(d.seeds_known)
  end)

  it("is nothing between equals, and sure of what every clip and seed says", function()
    local a = { { 1, 0, 1 }, { 0, 0, 1 } }
    local d = paired.difference(a, a)
    assert.same({ 0, 0, 0, false }, { d.mean, d.low, d.high, d.apart })
    d = paired.difference({ { 0, 0, 0 }, { 0, 0, 0 } }, { { 1, 1, 1 }, { 1, 1, 1 } })
    assert.equal(100, d.mean)
  end)

  it("holds the truth in 95% of repeats or more, whether seeds differ or not", function()
    for _, case in ipairs { { 3, 0 }, { 3, 0.05 }, { 5, 0.05 } } do
      local seeds, between = table.unpack(case)
      local held, repeats = 0, 300
      for trial = 1, repeats do
        local d = paired.difference(simulated(trial, seeds, 100, 0.05, between))
        if d.low <= 5 and d.high >= 5 then held = held + 1 end
      end
      assert.is_true(held >= 0.93 * repeats, ("%d seeds, %g: %d of %d"):format(seeds, between, held, repeats))
    end
  end)

  it("finds the difference that it calls visible four times in five or more often", function()
    local found, repeats, visible = 0, 200, 0
    for trial = 1, repeats do visible = visible + paired.difference(simulated(trial, 3, 150, 0, 0)).visible / repeats end
    for trial = 1, repeats do
      if paired.difference(simulated(1000 + trial, 3, 150, visible / 100, 0)).apart then found = found + 1 end
    end
    assert.is_true(found >= 0.7 * repeats, ("%d of %d"):format(found, repeats))
  end)

  it("gives McNemar's exact p", function()
    local base, other = { {} }, { {} }
    for c = 1, 20 do base[1][c], other[1][c] = c <= 2 and 1 or 0, c > 2 and c <= 12 and 1 or 0 end
    local p, only_base, only_other = paired.mcnemar(base, other)
    assert.same({ 2, 10 }, { only_base, only_other })
    assert.near(0.03857, p, 1e-5) -- 2 (1 + 12 + 66) / 4096
    assert.near(1, (paired.mcnemar(base, base)), 1e-12)
  end)

  it("refuses what is not paired", function()
    support.fails("2 and 1 seeds", paired.difference, { { 1, 0 }, { 0, 1 } }, { { 1, 0 } })
    support.fails("seed 1 has 2 and 3 clips", paired.difference, { { 1, 0 } }, { { 1, 0, 1 } })
  end)
end)
