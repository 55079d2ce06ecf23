--- The program as a whole: how soon it answers.
local exe = io.open(dgamlua.root .. "/build/dgamlua") and dgamlua.root .. "/build/dgamlua" or "dgamlua"

local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local function command(args)
  local line = quoted(exe) .. " " .. args .. " >/dev/null 2>&1"
  return function()
    if not os.execute(line) then error("bench: the command failed: " .. line, 0) end
  end
end

local function startup(name, what, args)
  return { name = name, what = what, setup = function() return { run = command(args), rounds = 20 } end }
end

return {
  startup("startup", "dgamlua --version, a new process", "--version"),
  startup("startup_lua", "dgamlua -e 'print(1)', a new process", "-e 'print(1)'"),
  startup("startup_torch", "first use of torch, a new process", "-e 'require \"torch\"'"),
}
