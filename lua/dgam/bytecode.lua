--- dgam.bytecode: what a function does, as text that stays the same when it is moved in its file.
--
-- string.dump(f, true) leaves out names and line tables but keeps the lines where each function begins and ends, so a
-- comment at the top of a script would change it. This walks Lua 5.4's dump (ldump.c) and drops those two numbers. On
-- the way it notes which upvalues are assigned to: counters and the like, which tell what was done, not what is done.
local bytecode = {}

local HEADER = "\27Lua\x54\0\x19\x93\r\n\x1a\n" -- Lua 5.4, format 0

local SETUPVAL = 10 -- opcode; the upvalue's index is in the third byte

--- The code of a Lua function. With another Lua than 5.4 the dump as it is.
-- @return code, set of the numbers (from 1, as debug.getupvalue counts) of upvalues that it assigns to
function bytecode.of(f)
  local dump = string.dump(f, true)
  if dump:sub(1, #HEADER) ~= HEADER then return dump, {} end
  local parts, at, from = {}, #HEADER + 1, 1

  local function int() -- seven bits a byte, the last one has its top bit set
    local n = 0
    while true do
      local b = dump:byte(at)
      at, n = at + 1, n << 7 | b & 0x7f
      if b >= 0x80 then return n end
    end
  end
  local function text()
    local n = int()
    if n > 0 then at = at + n - 1 end
  end

  local PAYLOAD = { [0x00] = 0, [0x01] = 0, [0x11] = 0, [0x03] = 8, [0x13] = 8 } -- nil, false, true, integer, float

  local function proto()
    text() -- source; empty
    parts[#parts + 1] = dump:sub(from, at - 1)
    int() -- first and last line
    int()
    from = at
    at = at + 3 -- parameters, vararg, stack
    local assigned = {}
    for _ = 1, int() do
      if dump:byte(at) & 0x7f == SETUPVAL then assigned[dump:byte(at + 2)] = true end
      at = at + 4
    end
    for _ = 1, int() do
      local size = PAYLOAD[dump:byte(at)]
      at = at + 1
      if size then at = at + size else text() end
    end
    local outer = {} -- for each upvalue, its index in the enclosing function's, if it is one of those
    for i = 0, int() - 1 do
      local in_stack, index = dump:byte(at, at + 1)
      if in_stack == 0 then outer[i] = index end
      at = at + 3
    end
    for _ = 1, int() do
      for index in pairs(proto()) do assigned[index] = true end
    end
    for _ = 1, 4 do -- line info, absolute line info, local variables, upvalue names: all stripped
      if int() ~= 0 then error("bytecode: the dump is not stripped") end
    end
    local above = {}
    for i in pairs(assigned) do
      if outer[i] then above[outer[i]] = true end
    end
    return above, assigned
  end

  at = at + 3 + 8 + 8 + 1 -- sizes of an instruction, an integer and a number; one of each; number of upvalues
  local ok, _, assigned = pcall(proto)
  if not ok or at ~= #dump + 1 then return dump, {} end
  parts[#parts + 1] = dump:sub(from)
  local numbers = {}
  for i in pairs(assigned) do numbers[i + 1] = true end
  return table.concat(parts), numbers
end

return bytecode
