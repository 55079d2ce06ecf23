--- The command line of dgamlua: which words start what. Each command is a file beside this one, with run(args) -> exit status, loaded
-- only when it is asked for.
local USAGE = [[
usage: dgamlua SCRIPT [key=value ...]   run a script (looked up as given, then under lua/); - reads it from standard input
       dgamlua -e CODE                  run a line of Lua
       dgamlua COMMAND [...]

commands:
%s
dgamlua COMMAND --help tells more. --version prints the version.

environment (docs/environment.md tells more):
%s]]

-- A command is a file of this folder whose first line is `--- dgamlua NAME ...: what it does.`; nothing else lists it.

--- What a command's file says of it, "NAME ..." and what it does; nil if there is no such command.
local function command(name)
  local f <close> = io.open(("%s/lua/cli/%s.lua"):format(dgamlua.root, name), "rb")
  local called, does = (f and f:read "l" or ""):match "^%-%-%- dgamlua (.-): (.-)%.?$"
  if called and called:match "^%S+" == name then return called, does end
end

local function commands()
  local names = {}
  for entry in require("lfs").dir(dgamlua.root .. "/lua/cli") do
    local name = entry:match "^(.*)%.lua$"
    if name and command(name) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

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

--- The names of scripts and commands that someone may have meant: those beside it, the experiments and examples.
local function scripts_near(name)
  local lfs = require "lfs"
  local names, folder = commands(), name:match "^(.*/)" or ""
  local function add(path, prefix)
    if lfs.attributes(path, "mode") ~= "directory" then return end
    for entry in lfs.dir(path) do
      if entry:find "%.lua$" then names[#names + 1] = prefix .. entry end
    end
  end
  add(folder == "" and "." or folder, folder)
  for _, own in ipairs { "experiments/", "examples/" } do
    add(dgamlua.root .. "/lua/" .. own, own)
    add(dgamlua.root .. "/" .. own, own)
  end
  return names
end

--- "; did you mean 'experiments/ablation.lua'?", or nothing. A bare name may be that of a script in a folder.
local function meant(name)
  local suggest = require "util.suggest"
  local names = scripts_near(name)
  local near = suggest.nearest(name, names) or suggest.nearest(name .. ".lua", names)
  if not near and not name:find "/" then
    local by_base, bases = {}, {}
    for _, known in ipairs(names) do
      local base = known:match "([^/]*)%.lua$"
      if base then by_base[base], bases[#bases + 1] = known, base end
    end
    near = by_base[suggest.nearest((name:gsub("%.lua$", "")), bases) or ""]
  end
  return near and ("; did you mean '%s'?"):format(near) or ""
end

local function usage()
  local lines = {}
  for _, name in ipairs(commands()) do
    local called, does = command(name)
    lines[#lines + 1] = ("  %-32s %s\n"):format(called, does)
  end
  return USAGE:format(table.concat(lines), require("cli.environment").list())
end

local function complain(message)
  io.stderr:write("dgamlua: ", message, "\n")
  return 1
end

--- Whether a chunk is one of the user's: neither a file of the library, an experiment that comes with it, nor of the program.
local function is_users(source)
  local own = "@" .. dgamlua.root .. "/lua/"
  if source:sub(1, #own) == own then return false end
  return source:sub(1, 1) ~= "=" or source == "=(command line)" or source == "=stdin"
end

--- The lines of the user's own code that led to an error, innermost first, as text below its message.
local function chain(level)
  local lines = {}
  for at = level + 1, math.huge do
    local info = debug.getinfo(at, "Sln")
    if not info then break end
    if info.currentline > 0 and is_users(info.source) then
      local what = info.what == "main" and "the script" or info.name and ("'%s'"):format(info.name) or "a function"
      lines[#lines + 1] = ("  %s:%d: in %s"):format(info.short_src, info.currentline, what)
    end
  end
  if #lines > 12 then lines = table.move(lines, #lines - 2, #lines, 11, table.move(lines, 1, 9, 1, { [10] = "  ..." })) end
  return lines
end

--- An error's message, with the lines of the user's code that led to it unless it names the only one; DGAMLUA_TRACEBACK=1 shows all.
local function handler(e)
  if type(e) ~= "string" then
    e = (getmetatable(e) or {}).__tostring and tostring(e) or "error: " .. require("util.check").show(e)
  end
  if e == "interrupted" then return e end
  if os.getenv("DGAMLUA_TRACEBACK") then return debug.traceback(e, 2) end
  local lines = chain(2)
  local place = lines[1] and lines[1]:match "^  (.-:%d+: )"
  if #lines == 1 and e:sub(1, #place) == place then return e end
  return #lines > 0 and e .. "\n" .. table.concat(lines, "\n") or e
end

--- Runs f(...) to its end: prints an error as one line and returns the exit status.
local function guarded(f, ...)
  local ok, result = xpcall(f, handler, ...)
  if not ok then return complain(result) end
  return math.type(result) == "integer" and result or 0
end

--- The comment that a script begins with, without its dashes; nil if it has none.
local function heading(path)
  local lines = {}
  for line in io.lines(path) do
    local text = line:match "^%-%-%-? ?(.*)$"
    if not text then break end
    lines[#lines + 1] = text
  end
  return #lines > 0 and table.concat(lines, "\n") or nil
end

--- Prints what a script says of itself, if it declares no settings that would answer --help (dgam.config); whether it did.
local function helped(path, args)
  local asked = false
  for _, a in ipairs(args) do asked = asked or a == "--help" or a == "-h" end
  if not asked then return false end
  local f <close> = assert(io.open(path, "rb"))
  if f:read "a":find "%.config%s*[{(]" then return false end
  print(heading(path) or (path .. " has no settings and says nothing of itself"))
  return true
end

--- @param path file; "-" for standard input
local function run_script(path, args)
  if path ~= "-" and helped(path, args) then return 0 end
  local chunk, err
  if path == "-" then chunk, err = load(function() return io.read(65536) end, "=stdin") else chunk, err = loadfile(path) end
  if not chunk then return complain(err) end
  arg = { [0] = path, table.unpack(args) } -- luacheck: globals arg
  return guarded(function(...) chunk(...) end, table.unpack(args))
end

return function(argv)
  local first = argv[1]
  local rest = table.move(argv, 2, #argv, 1, {})
  if next(dgamlua.environment "DGAMLUA_") then require("cli.environment").check(complain) end
  local ok, status, code = dgamlua.catch_interrupt(function()
    if first == nil or first == "-h" or first == "--help" or first == "help" then
      io.stdout:write(usage())
      return 0
    elseif first == "-e" then
      if not rest[1] then return complain("-e expects a line of Lua") end
      local chunk, err = load(rest[1], "=(command line)")
      if not chunk then return complain(err) end
      return guarded(function(...) chunk(...) end, table.unpack(rest, 2))
    elseif first == "-" then
      return run_script("-", rest)
    elseif first:match("^%-") then
      return complain(("unknown option '%s'; dgamlua --help lists what there is"):format(first))
    end
    if first:find "^%l+$" and command(first) then return guarded(require("cli." .. first).run, rest) end
    local script = find_script(first)
    if script then return run_script(script, rest) end
    return complain(("'%s' is neither a command nor a script (looked for %s and %s/lua/%s)%s; dgamlua --help lists the commands")
      :format(first, first, dgamlua.root, first, meant(first)))
  end)
  if ok then return status end
  if status == "interrupted" then
    io.stderr:write("\ninterrupted\n")
    return code
  end
  return complain(tostring(status))
end
