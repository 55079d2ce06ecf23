-- The command line: scripts from files, pipes and -e, their errors, and words that are nearly right.
local shell = require "util.shell"
local support = require "support"
local film = require "film"

-- What `dgamlua ...` prints with its errors, and its status. `input` goes to its standard input.
local function run(words, input)
  local given = input and os.tmpname()
  if given then film.text(given, input) end
  local pipe = io.popen(("%s %s 2>&1 < %s"):format(shell.program(), words, given or "/dev/null"))
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  if given then os.remove(given) end
  return text, status
end

describe("dgamlua", function()
  local folder
  setup(function() folder = support.folder() end)
  teardown(function() support.remove(folder) end)

  local function script(name, text)
    film.text(folder .. "/" .. name, text)
    return shell.quote(folder .. "/" .. name)
  end

  it("runs a script from standard input, with its arguments", function()
    assert.same({ "stdin\t2\ta\tb\n", 0 }, { run("- a b", "print('stdin', 1 + 1, ...)") })
    local text, status = run("-", "local x =\n= 2")
    assert.equal("dgamlua: stdin:2: unexpected symbol near '='\n", text)
    assert.equal(1, status)
  end)

  it("shows the user's lines that led to an error, innermost first, and no others", function()
    local path = script("deep.lua", [[
local dgam = require "dgam"
local function inner()
  local d = dgam.data.open "/nowhere"
  return d
end
local function outer() inner() end
outer()
outer()
]])
    local text, status = run(path)
    assert.equal(1, status)
    local lines = {}
    for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("dgamlua: /nowhere: there is no such dataset description or folder", lines[1])
    assert.matches("deep%.lua:3: in 'inner'$", lines[2])
    assert.matches("deep%.lua:6: in 'outer'$", lines[3])
    assert.matches("deep%.lua:7: in the script$", lines[4])
    assert.equal(4, #lines)
  end)

  it("says a line once where the message has it", function()
    local text = run(script("one.lua", "local x\nprint(x.y)\n"))
    assert.matches("^dgamlua: [^\n]*one%.lua:2: attempt to index a nil value %(local 'x'%)\n$", text)
  end)

  it("shows what was thrown when it is no text", function()
    assert.matches("^dgamlua: error: {1, two}\n", (run("-e 'error({1, \"two\"})'")))
    assert.matches("^dgamlua: error: nil\n", (run("-e 'error()'")))
    assert.matches("^dgamlua: as text\n", (run("-e 'error(setmetatable({}, { __tostring = function() return \"as text\" end }))'")))
  end)

  it("knows what was meant", function()
    for wrong, right in pairs { ablaton = "experiments/ablation.lua", ["experiments/ablation.lu"] = "experiments/ablation.lua",
      ["examples/gama_sets.lua"] = "examples/gamma_sets.lua", tets = "test" } do
      local text, status = run(wrong)
      assert.equal(1, status)
      assert.matches("did you mean '" .. right:gsub("%p", "%%%0") .. "'", text)
    end
    assert.not_matches("did you mean", (run "something-else-entirely"))
  end)

  it("prints what a script without settings says of itself", function()
    local text, status = run(script("said.lua", "--- Says a word.\n-- And another.\nerror 'ran'\n") .. " --help")
    assert.same({ "Says a word.\nAnd another.\n", 0 }, { text, status })
    assert.matches("has no settings", (run(script("mute.lua", "error 'ran'\n") .. " --help")))
    assert.matches("usage: dgamlua", (run "examples/gamma_sets.lua --help"))
  end)

  it("says nothing of its own experiments' lines when an argument is wrong", function()
    assert.equal("dgamlua: unknown option 'seds'; did you mean 'seeds'? (--help lists all)\n", (run "experiments/ablation.lua seds=3"))
  end)
end)
