-- dgam.check: which values are taken, what the error says, and whose line it names.
local check = require "util.check"
local support = require "support"
local fails = support.fails

describe("dgam.check", function()
  local nan = 0 / 0

  it("takes what a kind says and nothing else", function()
    for _, case in ipairs {
      { check.number(0, 1), { 0, 0.5, 1 }, { -1e-9, 1.1, nan, "1", true } },
      { check.number(2, math.huge), { 2, math.huge }, { 1, nan } },
      { check.below(0, 1), { 0, 0.99 }, { 1, -0.1, nan } },
      { check.whole(), { -3, 0 }, { 2.0, 1.5, "1" } },
      { check.whole(1), { 1, 9 }, { 0, 1.0 } },
      { check.whole(2, 3), { 2, 3 }, { 1, 4 } },
      { check.naturals "a list", { { 1 }, { 4, 2 } }, { {}, { 0 }, { 1.5 }, 3 } },
      { check.naturals("three", 3), { { 1, 2, 3 } }, { { 1, 2 }, { 1, 2, 3, 4 } } },
      { check.one_of("a", "b"), { "a", "b" }, { "c", 1 } },
      { check.optional(check.whole(1)), { 1 }, { 0, false } },
      { check.positive, { 1e-300, 3 }, { 0, -1, nan, math.huge } },
      { check.finite, { 0, -1e300 }, { nan, math.huge, -math.huge, "0" } },
      { check.boolean, { true, false }, { 1, "true" } },
      { check.text, { "" }, { 1 } },
    } do
      local kind, good, bad = table.unpack(case)
      for _, v in ipairs(good) do assert.is_nil(check.fault("x", v, kind)) end
      for _, v in ipairs(bad) do assert.is_string(check.fault("x", v, kind)) end
    end
    assert.is_nil(check.fault("x", nil, check.optional(check.text)))
    assert.is_string(check.fault("x", nil, check.text))
  end)

  it("says what was given and what was expected", function()
    assert.equal("x is 0, expected a whole number of 1 or more", check.fault("x", 0, check.whole(1)))
    assert.equal("x is 7, expected a whole number from 2 to 3", check.fault("x", 7, check.whole(2, 3)))
    assert.equal("x is -1, expected a number of 0 or more", check.fault("x", -1, check.number(0, math.huge)))
    assert.equal("x is {1, 2}, expected text", check.fault("x", { 1, 2 }, check.text))
    assert.equal("x is a table, expected text", check.fault("x", { { 1 } }, check.text))
    assert.equal("x is nil, expected one of red, green", check.fault("x", nil, check.one_of("red", "green")))
    assert.equal("unknown x 'rad'; did you mean 'red'?", check.fault("x", "rad", check.one_of("red", "green")))
    fails("deal: unknown option 'tset'; did you mean 'test'?", check.names, "deal", { tset = 1 }, { "test", "val" })
    fails("deal: options is 3, expected a table", check.names, "deal", 3, { "test" })
  end)

  it("fills in defaults without touching what was given", function()
    local given = { a = 1, c = false }
    assert.same({ a = 1, b = 2, c = false }, check.filled(given, { a = 3, b = 2, c = true }))
    assert.same({ a = 1, c = false }, given)
    assert.same({ b = 2 }, check.filled(nil, { b = 2 }))
  end)

  it("turns the texts of a command line into numbers", function()
    local convert = check.argument("--most", check.whole(0))
    assert.equal(20, convert "20")
    assert.equal("integer", math.type(convert "2.0"))
    assert.same({ nil, "--most is 0.5, expected a whole number of 0 or more" }, { convert "0.5" })
    assert.same({ nil, "--most is many, expected a whole number of 0 or more" }, { convert "many" })
    assert.equal(0.5, check.argument("--share", function() return check.number(0, 1) end) "0.5")
  end)

  it("names the line that called the library, however deep the mistake lies, or none", function()
    local line
    local function script()
      line = debug.getinfo(1, "l").currentline + 1
      require "models".dgam { backbone = "swin-micro", classes = 2, gammas = { 1, -2 } }
    end
    local ok, why = pcall(script)
    assert.is_false(ok)
    assert.matches(("check_spec.lua:%d: dgam: gammas[2] is -2, expected "):format(line), why, 1, true)
    assert.equal("train: lr is -1, expected a number from 0 to 1e+09",
      select(2, pcall(require "dgam.train".check, { lr = -1 })))

    local function native_script() -- what the core's bindings look at, reached through the library
      line = debug.getinfo(1, "l").currentline + 1
      require "dgam.kernels.video".sampling { rule = "tset" }
    end
    ok, why = pcall(native_script)
    assert.is_false(ok)
    assert.matches(("check_spec.lua:%d: option 'rule' is 'tset', expected one of "):format(line), why, 1, true)
  end)
end)
