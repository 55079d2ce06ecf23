--- What a Lua function does, as text that stays the same when it is moved in its file.
--
-- string.dump(f, true) leaves out comments, names and line tables, but keeps the lines where each function begins and ends, and
-- where in the enclosing function its upvalues lie. This walks the dump of Lua 5.4 (ldump.c) and leaves these out too.
local bytecode = {}

local HEADER = "\27Lua\x54\0\x19\x93\r\n\x1a\n" -- Lua 5.4, format 0

local LOADK, GETTABUP = 3, 11 -- opcodes (lopcodes.h)
local PAYLOAD = { [0x00] = 0, [0x01] = 0, [0x11] = 0, [0x03] = 8, [0x13] = 8 } -- nil, false, true, integer, float

-- The names in `require "NAME"`, which compiles to GETTABUP a _ENV "require"; LOADK a+1 "NAME".
local function add_required(into, code, constants)
  local previous
  for at = 1, #code, 4 do
    local word = string.unpack("<I4", code, at)
    local op, a = word & 0x7f, word >> 7 & 0xff
    if op == LOADK and previous and a == previous + 1 then into[constants[word >> 15] or ""] = true end
    previous = op == GETTABUP and constants[word >> 24] == "require" and a or nil
  end
end

--- The code of a Lua function with the functions in it.
-- @return code (text); set of the module names that it requires, as far as they stand in the code; set of its text constants
function bytecode.of(f)
  local dump = string.dump(f, true)
  if dump:sub(1, #HEADER) ~= HEADER then error("bytecode: expected that of Lua 5.4", 0) end
  local parts, from, at = {}, 1, #HEADER + 1
  local required, texts = {}, {}

  local function keep_until_here() parts[#parts + 1] = dump:sub(from, at - 1) end
  local function int() -- seven bits a byte, the last one has its top bit set
    local n = 0
    while true do
      local b = dump:byte(at)
      at, n = at + 1, n << 7 | b & 0x7f
      if b >= 0x80 then return n end
    end
  end
  local function skip(n)
    at = at + n
    return dump:sub(at - n, at - 1)
  end
  local function text() return skip(math.max(0, int() - 1)) end

  local function proto(depth)
    text() -- source; empty
    keep_until_here()
    int() -- first and last line
    int()
    from = at
    skip(3) -- parameters, vararg, stack
    local code, constants = skip(4 * int()), {}
    for k = 0, int() - 1 do
      local size = PAYLOAD[skip(1):byte()]
      constants[k] = size and skip(size) and "" or not size and text()
      texts[constants[k]] = true
    end
    add_required(required, code, constants)
    local upvalues = int()
    if depth == 0 then keep_until_here() end
    skip(3 * upvalues) -- where they are
    if depth == 0 then from = at end
    for _ = 1, int() do proto(depth + 1) end
    for _ = 1, 4 do -- line info, absolute line info, local variables, upvalue names
      if int() ~= 0 then error("bytecode: the dump is not stripped", 0) end
    end
  end

  skip(3 + 8 + 8 + 1) -- sizes of an instruction, an integer and a number; one of each; number of upvalues
  proto(0)
  if at ~= #dump + 1 then error("bytecode: the dump is longer than its function", 0) end
  keep_until_here()
  return table.concat(parts), required, texts
end

return bytecode
