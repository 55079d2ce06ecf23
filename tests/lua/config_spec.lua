-- What an experiment can be told from the command line.
local config = require "dgam.trial.config"

local SPEC = {
  name = "x", profile = "quick",
  defaults = { lr = 1e-3, seeds = 3, data = "d.lua", flip = true, gammas = { 1.0, 2.0 } },
  profiles = { quick = {}, full = { seeds = 5, lr = 1.0 } },
}

local function message(args)
  local ok, e = pcall(config, SPEC, args)
  assert.is_false(ok)
  return e
end

describe("config", function()
  it("puts the command line over the profile over the defaults", function()
    local c = config(SPEC, {})
    assert.same({ 1e-3, 3, "quick" }, { c.lr, c.seeds, c.profile })
    c = config(SPEC, { "profile=full", "lr=2", "gammas=1,1.5,3", "flip=false", "data=a b=c" })
    assert.same({ 2.0, 5, "full", false, "a b=c" }, { c.lr, c.seeds, c.profile, c.flip, c.data })
    assert.same({ 1.0, 1.5, 3.0 }, c.gammas)
  end)

  it("makes changed copies", function()
    local c = config(SPEC, {})
    local d = c { lr = 7 }
    assert.same({ 1e-3, 7, 3 }, { c.lr, d.lr, d.seeds })
  end)

  it("refuses unknown names and wrong types with the value", function()
    assert.matches("unknown option 'sees'; did you mean 'seeds'", message { "sees=3" })
    assert.matches("seeds=2.5: expected a whole number", message { "seeds=2.5" })
    assert.matches("lr=fast: expected a number", message { "lr=fast" })
    assert.matches("lr=nan: expected", message { "lr=nan" })
    assert.matches("lr=1e999: expected a finite", message { "lr=1e999" })
    assert.matches("flip=maybe: expected true or false", message { "flip=maybe" })
    assert.matches("gammas=1,x: expected a number", message { "gammas=1,x" })
    assert.matches("unknown profile 'ful'; did you mean 'full'", message { "profile=ful" })
    assert.matches("argument 'quick': expected key=value", message { "quick" })
  end)

  it("refuses a profile that names what has no default", function()
    local ok, e = pcall(config, { defaults = { a = 1 }, profiles = { p = { b = 2 } }, profile = "p" }, {})
    assert.is_false(ok)
    assert.matches("profile p: unknown option 'b'", e)
  end)
end)
