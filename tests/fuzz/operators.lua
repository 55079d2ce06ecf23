--- Calls every operator with arguments chosen at random, in processes of their own, and counts those that end by a signal: an
-- operator may refuse what it is given, it may not read or write memory that is not its own.
--
--     ./dgamlua tests/fuzz/operators.lua [CALLS [SEED [PATTERN]]]       CALLS of every operator, 4 by default, also less than 1
--     ./dgamlua tests/fuzz/operators.lua one SEED NUMBER                one call again
--
-- Exit status 1 if there was a signal. What takes too long is told and does not count.
local torch = require "torch"
local native = require "dgamtorch"
local shell = require "util.shell"

local fuzz = {}

-- What reads or writes files, waits for others, or ends the process as it should.
local LEFT_OUT = { "^aten::from_file$", "^aten::_assert_async$", "^aten::_cufft", "^aten::_cuda" }

function fuzz.operators(pattern)
  local list = {}
  for _, name in ipairs(native.names()) do
    local wanted = name:find "^aten::" and name:find(pattern or "")
    for _, p in ipairs(LEFT_OUT) do wanted = wanted and not name:find(p) end
    if wanted then list[#list + 1] = name end
  end
  return list
end

-- A schema's arguments: lists of { type, name, has_default }.
local function arguments(schema)
  local inside, list = schema:match "%((.*)%) %->", {}
  inside = inside:gsub("%b[]", function(s) return (s:gsub(", ", ",")) end):gsub("%([a-z]!?[^)]*%)", "")
  for piece in (inside .. ", "):gmatch "(.-), " do
    local type, name, default = piece:match "^(%S+) ([%w_]+)(.*)$"
    if type then list[#list + 1] = { type = type, name = name, default = default ~= "" } end
  end
  return list
end

local random = math.random
local function chance(p) return random() < p end
local function pick(list) return list[random(#list)] end

local function shape(base)
  if base and chance(0.6) then return base end
  local s = {}
  for i = 1, pick { 0, 1, 1, 2, 2, 3, 4, 5 } do s[i] = pick { 0, 1, 1, 2, 2, 3, 4, 5 } end
  return s
end

local DTYPES = {
  "float32", "float32", "float32", "float32", "float64", "int64", "int64", "int32", "uint8", "bool", "complex64", "bfloat16",
}

local function whole(dtype, s)
  local low, high = -2, 6
  if chance(0.1) then low, high = -2 ^ 31 // 1 | 0, 2 ^ 31 // 1 | 0 end
  if chance(0.4) then low, high = 1, 3 end
  return torch.randint(low, high + 1, s):to(dtype)
end

local function tensor(name, base)
  local s = shape(base)
  local index = name:find "ind" or name:find "idx" or name:find "target" or name:find "offset" or name:find "length" or name:find "bag"
  local dtype = index and chance(0.8) and "int64" or pick(DTYPES)
  local t = dtype:find "int" and whole(dtype, s) or torch.randn(s):to(dtype)
  if chance(0.03) then t = t:to_sparse() end
  if chance(0.05) and t.layout == "strided" and t.ndim > 1 then t = t:transpose(1, 2) end
  if chance(0.05) and t.layout == "strided" then t = t:expand(2, table.unpack(t.shape)) end
  return t
end

local INTEGERS = { -3, -2, -1, -1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 100, 2 ^ 31 | 0, math.maxinteger, math.mininteger }
local STRINGS = { "mean", "sum", "reflect", "valid", "same", "L", "none", "tanh", "ij", "x", "N", "amax", "right" }

local value

local function list(kind, n, name, base)
  local items = {}
  n = n or pick { 0, 1, 2, 2, 3, 4 }
  for i = 1, n do items[i] = value(kind, name, base) end
  return items
end

function value(kind, name, base)
  if kind:find "%?$" then
    if chance(0.4) then return torch.none end
    kind = kind:sub(1, -2)
  end
  local item, n = kind:match "^(.-)%[(%d*)%]$"
  if item then
    if n ~= "" and chance(0.3) then return value(item, name, base) end
    return list(item, chance(0.9) and tonumber(n) or nil, name, base)
  end
  if kind == "Tensor" then
    if chance(0.03) then return random(-3, 3) end
    return tensor(name, base)
  end
  if kind == "int" or kind == "SymInt" then return pick(INTEGERS) end
  if kind == "float" then return pick { -1.0, 0.0, 0.5, 1.0, 2.0, 1e30, 0 / 0, 1 / 0 } end
  if kind == "Scalar" then return pick { -1, 0, 1, 2, 0.5, -2.5, true, 1e30 } end
  if kind == "bool" then return chance(0.5) end
  if kind == "str" then return pick(STRINGS) end
  if kind == "ScalarType" then return pick(DTYPES) end
  if kind == "Layout" then return pick { "strided", "sparse_coo", "sparse_csr", "mkldnn" } end
  if kind == "MemoryFormat" then return pick { "contiguous_format", "preserve_format", "channels_last", "channels_last_3d" } end
  if kind == "Device" then return pick { "cpu", "cpu", "meta" } end
  if kind == "Generator" then return torch.generator(1) end
  return torch.none
end

local function text(v)
  if torch.is_tensor(v) then
    local values = v.layout == "strided" and v:numel() <= 6 and v.device == "cpu" and tostring(v):gsub("\n.*", "") or ""
    return ("<%s [%s] %s>"):format(v.dtype, table.concat(v.shape, ","), values)
  end
  if type(v) ~= "table" then return v == torch.none and "none" or type(v) == "string" and ("%q"):format(v) or tostring(v) end
  local parts = {}
  for i, item in ipairs(v) do parts[i] = text(item) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- Call number `number` of a run: the operator's name, its arguments as a table of names, and both as text.
function fuzz.call(operators, seed, number)
  math.randomseed(seed, number)
  torch.manual_seed(seed * 1000003 + number)
  local name = operators[number * 613 % #operators + 1] -- a prime number apart, so that a part of a run is of all kinds
  local schemas = {}
  for schema in native.schemas(name):gmatch "[^\n]+" do schemas[#schemas + 1] = schema end
  local named, words, base = {}, {}, shape()
  for _, a in ipairs(arguments(pick(schemas))) do
    if not (a.default and chance(0.5)) then
      named[a.name] = value(a.type, a.name, base)
      words[#words + 1] = a.name .. "=" .. text(named[a.name])
    end
  end
  return name, named, ("%d %s{%s}"):format(number, name, table.concat(words, ", "))
end

-- What is done with results: a value that cannot be looked at is as bad.
local function look(...)
  for _, r in ipairs { ... } do
    if type(r) == "table" then look(table.unpack(r)) end
    if torch.is_tensor(r) then pcall(r.totable, r) end
  end
end

--- The calls first .. last, each told before it is made.
function fuzz.run(operators, seed, first, last, skipped)
  io.stdout:setvbuf "line"
  for number = first, last do
    local made, name, named, words = pcall(fuzz.call, operators, seed, number) -- some of the tensors cannot be made
    if made and not skipped[name] then
      print(words)
      local f = native.op(name)
      pcall(function() look(f(named)) end)
    end
  end
end

-- The C library looks at each block when it is freed: what wrote past its end ends the process there.
local HEAP_CHECKED = "export LD_PRELOAD=libc_malloc_debug.so.0 GLIBC_TUNABLES=glibc.malloc.check=3 OMP_NUM_THREADS=1; "

local self = debug.getinfo(1, "S").source:sub(2)

-- Runs numbers first .. last; the number and text of the call during which the process ended, and how; nil if it did not.
local function child(o, first, last, skipped)
  local command = HEAP_CHECKED .. "ulimit -v 8000000; ulimit -c 0; exec timeout -k 1 %d %s %s child '%s' %d %d %d '%s' 2>/dev/null"
  command = command:format(o.limit, shell.program(), shell.quote(self), o.pattern or "", o.seed, first, last, table.concat(skipped, ","))
  local pipe, told = assert(io.popen(command)), nil
  for line in pipe:lines() do told = line end
  local ok, how, code = pipe:close()
  if ok then return nil end
  return tonumber(told and told:match "^%d+") or first, told or "(nothing was called)", how == "signal" and 128 + code or code
end

local SIGNALS = { [132] = "SIGILL", [134] = "SIGABRT", [135] = "SIGBUS", [136] = "SIGFPE", [139] = "SIGSEGV" }

--- fuzz.all{calls=, seed=, pattern=, limit=}: list of texts, one a signal: the call and what it was ended by. An operator that has
-- ended a process is not called again.
function fuzz.all(o)
  local operators, signals, skipped = fuzz.operators(o.pattern), {}, {}
  local first, last = 1, math.ceil(#operators * o.calls)
  while first <= last do
    local number, words, code = child(o, first, math.min(last, first + 999), skipped)
    if not number then
      first = first + 1000
    else
      local name = words:match "^%d+ ([%w_:]+)"
      skipped[#skipped + 1] = name
      if code == 124 or code == 137 then -- as timeout ends it
        io.stderr:write("longer than ", o.limit, " seconds: ", words, "\n")
      else
        signals[#signals + 1] = ("%s: %s"):format(SIGNALS[code] or "status " .. code, words)
        if o.tell then o.tell(signals[#signals]) end
      end
      first = number + 1
    end
  end
  return signals
end

if arg and arg[0] and arg[0]:find "operators%.lua$" then
  if arg[1] == "child" then
    local skipped = {}
    for name in arg[6]:gmatch "[^,]+" do skipped[name] = true end
    fuzz.run(fuzz.operators(arg[2]), tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5]), skipped)
  elseif arg[1] == "one" then
    local name, named, words = fuzz.call(fuzz.operators(), tonumber(arg[2]), tonumber(arg[3]))
    print(words)
    print(pcall(function() look(native.op(name)(named)) end))
  else
    local signals = fuzz.all { calls = tonumber(arg[1] or 4), seed = tonumber(arg[2] or 1), pattern = arg[3], limit = 120, tell = print }
    print(("%d signals"):format(#signals))
    os.exit(#signals == 0)
  end
end

return fuzz
