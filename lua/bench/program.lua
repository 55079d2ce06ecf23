--- The program as a whole: how soon it answers, and the main experiment.
local lfs = require "lfs"
local data = require "dgam.data"
local shell = require "util.shell"
local sys = require "dgamnative.sys"

local function command(line)
  if not os.execute(line) then error("bench: the command failed: " .. line, 0) end
end

local function startup(args, peak)
  return function()
    local line = shell.program() .. " " .. args .. " >/dev/null 2>&1"
    return { run = function() command(line) end, rounds = 20, least = 0, peak = peak or function() end }
  end
end

-- Dataset generated before, results in a folder of their own, so that nothing is found stored.
local function ablation()
  data.open("data/synthetic.lua", { size = "tiny" })
  local folder = os.tmpname()
  os.remove(folder)
  assert(lfs.mkdir(folder))
  return { unit = "s", cold = true, rounds = 1, peak = sys.children_peak, run = function()
    command(("DGAMLUA_RESULTS=%s %s experiments/ablation.lua >%s/said 2>&1"):format(shell.quote(folder), shell.program(),
      shell.quote(folder)))
  end, close = function() command("rm -rf " .. shell.quote(folder)) end }
end

return { startup = startup "--version", startup_lua = startup "-e 'print(1)'",
  startup_torch = startup("-e 'require \"torch\"'", sys.children_peak), ablation = ablation }
