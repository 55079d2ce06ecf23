--- What runs before the library: the global `dgamlua`, where modules are found, and pcall, xpcall and coroutines that pass an
-- interrupt on (see main.c, which this file is part of: the build puts it into the executable).
--
-- @param native main.c's own functions, by name
-- @param root folder that holds lua/ and data/
-- @param libs folder of the modules in C
-- @param version of the program
-- @return how the sources of the library's chunks begin. A message names the innermost line of none of these: the script's
local native, root, libs, version = ...

-- Folders of lua/ that are the library. What is in others, such as experiments/, is a script.
local LIBRARY = { "util", "torch", "dgam", "models", "cli", "bench" }

package.path = ("%s/lua/?.lua;%s/lua/?/init.lua;%s"):format(root, root, package.path)
package.cpath = ("%s/?.so;%s"):format(libs, package.cpath)

local interrupted, setrunning = native.interrupted, native.setrunning
local pcall_, xpcall_, resume_, create_, yield_ = pcall, xpcall, coroutine.resume, coroutine.create, coroutine.yield
local error_, running, type_ = error, coroutine.running, type -- scripts may change the globals

local function pass(ok, ...)
  if not ok and interrupted() then error_("interrupted", 0) end
  return ok, ...
end

function pcall(f, ...) return pass(pcall_(f, ...)) end
function xpcall(f, handler, ...) return pass(xpcall_(f, handler, ...)) end

local function resumed(before, ok, ...)
  setrunning(before)
  return pass(ok, ...)
end

function coroutine.resume(co, ...)
  if type_(co) ~= "thread" then return resume_(co, ...) end
  return resumed(setrunning(co), resume_(co, ...))
end

local function unwrap(ok, ...)
  if not ok then error_((...), 0) end
  return ...
end

local resume = coroutine.resume
function coroutine.wrap(f)
  local co = create_(f)
  return function(...) return unwrap(resume(co, ...)) end
end

local holds = setmetatable({}, { __mode = "k" }) -- coroutine -> how many calls of hold run in it
local holding = setmetatable({}, { __close = function()
  local co = running()
  holds[co] = holds[co] - 1
  native.end_hold()
end })

function coroutine.yield(...)
  if (holds[running()] or 0) > 0 then error_("what dgamlua.hold runs cannot yield", 2) end
  return yield_(...)
end

--- The program itself.
dgamlua = {
  root = root,
  version = version,
  --- dgamlua.interrupted(): whether Ctrl-C was pressed, or the like, and not yet answered.
  interrupted = interrupted,
  --- dgamlua.catch_signals(): once more, after a library was loaded that may have taken them.
  catch_signals = native.catch_signals,
  --- dgamlua.environment(prefix): name -> value of the environment's variables that begin so.
  environment = native.environment,
  --- dgamlua.unset(name): takes a variable out of the environment.
  unset = native.unset,
}

--- dgamlua.hold(f, ...): f(...) to its end; an interrupt is answered after it. f cannot yield.
function dgamlua.hold(f, ...)
  local co = running()
  holds[co] = (holds[co] or 0) + 1
  native.begin_hold()
  local _ <close> = holding
  return f(...)
end

--- dgamlua.catch_interrupt(f, ...): as pcall, but it also ends an interrupt.
-- @return what pcall returns; or nil, "interrupted", the exit status that tells of it
function dgamlua.catch_interrupt(f, ...)
  local function answered(ok, ...)
    if ok or not interrupted() then return ok, ... end
    return nil, "interrupted", native.clear()
  end
  return answered(pcall_(f, ...))
end

local beginnings = { "=prelude" }
for _, folder in ipairs(LIBRARY) do beginnings[#beginnings + 1] = ("@%s/lua/%s/"):format(root, folder) end
return beginnings
