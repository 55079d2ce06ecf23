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

  it("takes settings of training with their own defaults, and numbers of the kind that they are", function()
    local spec = { defaults = { gate_lr = 3, jitter = 0, batch = 16 }, training = { "patience", "weight_decay", "gate_lr" } }
    local c = config(spec, { "gate_lr=2.5", "jitter=0.4" })
    assert.same({ 2.5, 0.4, 16, 5, 0.05 }, { c.gate_lr, c.jitter, c.batch, c.patience, c.weight_decay })
    assert.equal("integer", math.type(config(spec, { "gate_lr=2" }).gate_lr))
    assert.equal(3, config(spec, {}).gate_lr) -- the script's own default
    local function fails(s, args, text)
      local ok, e = pcall(config, s, args)
      assert.is_false(ok)
      assert.matches(text, e, 1, true)
    end
    fails(spec, { "batch=2.5" }, "batch=2.5: expected a whole number")
    fails({ training = { "patiense" } }, {}, "config: training: unknown setting 'patiense'; did you mean 'patience'?")
    fails({ training = { "checkpoint" } }, {}, "unknown setting 'checkpoint'") -- it has no default
  end)

  it("says with --help what everything means", function()
    local script = os.tmpname()
    local f <close> = assert(io.open(script, "w"))
    f:write [[require "dgam".config { name = "x", defaults = { lr = 1e-3, steps = 7, seeds = 2, odd = 1 }, training = { "val_every" },
      help = { steps = "length (steps)" } }]]
    f:close()
    local pipe = assert(io.popen(("exec %s '%s' --help"):format(require "util.shell".program(), script)))
    local text = pipe:read "a"
    pipe:close()
    os.remove(script)
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("  lr                 0.001         learning rate at its highest (a number from 0 to 1e+09)", lines[2])
    assert.equal("  odd                1", lines[3])
    assert.equal("  seeds              2             how many, from 1 on", lines[4])
    assert.equal("  steps              7             length (steps)", lines[5])
    assert.equal("  val_every          2             from one validation to the next (epochs: a whole number of 1 or more)", lines[6])
  end)

  it("refuses a profile that names what has no default", function()
    local ok, e = pcall(config, { defaults = { a = 1 }, profiles = { p = { b = 2 } }, profile = "p" }, {})
    assert.is_false(ok)
    assert.matches("profile p: unknown option 'b'", e)
  end)
end)
