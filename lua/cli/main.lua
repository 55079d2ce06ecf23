--- The command line of dgamlua: which words start what. Each subcommand is a module dgam.cli.NAME with
-- run(args) -> exit status, loaded only when it is asked for.
local USAGE = [[
usage: dgamlua SCRIPT [key=value ...]   run a script (looked up as given, then under lua/)
       dgamlua -e CODE                  run a line of Lua
       dgamlua COMMAND [...]

commands:
%s
dgamlua COMMAND --help tells more. --version prints the version.
]]

-- In the order in which they are shown.
local COMMANDS = {
  { "test", "run the test suite" },
  { "bench", "run the benchmarks" },
  { "verify", "compare a model with stored reference activations" },
  { "info", "say what is in a video, model or results file" },
  { "convert", "convert a checkpoint: .pth, .safetensors, .h5" },
  { "results", "table of cached trials" },
  { "data", "look at a dataset, check its files, deal its clips to splits" },
  { "darken", "make a bright video dark with the camera model" },
  { "doctor", "versions, CPU features, self-check of numerics" },
}

local function is_file(path)
  local f = io.open(path, "rb")
  if not f then return false end
  local ok = f:read(0) ~= nil or f:seek("end") == 0
  f:close()
  return ok
end

--- Where a script is: as given, then under lua/ of the program's folder. nil if nowhere.
local function find_script(name)
  for _, path in ipairs { name, dgamlua.root .. "/lua/" .. name } do
    if is_file(path) then return path end
    if is_file(path .. ".lua") then return path .. ".lua" end
  end
end

local function has_module(name) return package.searchpath(name, package.path) ~= nil end

local function usage()
  local lines = {}
  for _, c in ipairs(COMMANDS) do
    if has_module("cli." .. c[1]) then lines[#lines + 1] = ("  %-10s %s\n"):format(c[1], c[2]) end
  end
  return USAGE:format(table.concat(lines))
end

local function complain(message)
  io.stderr:write("dgamlua: ", message, "\n")
  return 1
end

--- The message of an error without the traceback noise of the program's own frames; DGAMLUA_TRACEBACK=1 keeps all.
local function handler(e)
  if type(e) ~= "string" then
    local text = tostring(e)
    return (getmetatable(e) or {}).__tostring and text or debug.traceback(text, 2)
  end
  if os.getenv("DGAMLUA_TRACEBACK") then return debug.traceback(e, 2) end
  return e
end

--- Runs f(...) to its end: prints an error as one line and returns the exit status.
local function guarded(f, ...)
  local ok, result = xpcall(f, handler, ...)
  if not ok then return complain(result) end
  return math.type(result) == "integer" and result or 0
end

local function run_script(path, args)
  local chunk, err = loadfile(path)
  if not chunk then return complain(err) end
  arg = { [0] = path, table.unpack(args) } -- luacheck: globals arg
  return guarded(function(...) chunk(...) end, table.unpack(args))
end

return function(argv)
  local first = argv[1]
  local rest = table.move(argv, 2, #argv, 1, {})
  local ok, status, code = dgamlua.catch_interrupt(function()
    if first == nil or first == "-h" or first == "--help" or first == "help" then
      io.stdout:write(usage())
      return 0
    elseif first == "-e" then
      if not rest[1] then return complain("-e expects a line of Lua") end
      local chunk, err = load(rest[1], "=(command line)")
      if not chunk then return complain(err) end
      return guarded(function(...) chunk(...) end, table.unpack(rest, 2))
    elseif first:match("^%-") then
      return complain(("unknown option '%s'; dgamlua --help lists what there is"):format(first))
    end
    for _, c in ipairs(COMMANDS) do
      if first == c[1] and has_module("cli." .. first) then
        return guarded(require("cli." .. first).run, rest)
      end
    end
    local script = find_script(first)
    if script then return run_script(script, rest) end
    return complain(("'%s' is neither a command nor a script (looked for %s and %s/lua/%s); dgamlua --help lists the commands")
      :format(first, first, dgamlua.root, first))
  end)
  if ok then return status end
  if status == "interrupted" then
    io.stderr:write("\ninterrupted\n")
    return code
  end
  return complain(tostring(status))
end
