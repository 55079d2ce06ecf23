--- dgam.bytecode: what a function does, as text that stays the same when it is moved in its file.
--
-- string.dump(f, true) leaves out names and line tables but keeps the lines where each function begins and ends, so a
-- comment at the top of a script would change it. This walks Lua 5.4's dump (ldump.c) and drops those two numbers. On
-- the way it notes which upvalues are assigned to (counters and the like, which tell what was done, not what is done), and
-- which fields of upvalues are read and written by name, which is what global variables are: fields of the upvalue _ENV.
local bytecode = {}

local HEADER = "\27Lua\x54\0\x19\x93\r\n\x1a\n" -- Lua 5.4, format 0

local SETUPVAL = 10 -- opcode; the upvalue's index is in the third byte
local GETTABUP = 11 -- upvalue in the third byte, name in the fourth (index of a constant)
local SETTABUP = 15 -- upvalue in the eight bits after the opcode's seven, name in the third byte

--- The code of a Lua function. With another Lua than 5.4 the dump as it is.
-- @return code, set of the numbers (from 1, as debug.getupvalue counts) of upvalues that it assigns to, number of an upvalue ->
--   set of the names that it only reads from it, list of the text constants
function bytecode.of(f)
  local dump = string.dump(f, true)
  if dump:sub(1, #HEADER) ~= HEADER then return dump, {}, {}, {} end
  local parts, at, from, texts = {}, #HEADER + 1, 1, {}

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
    return n > 0 and dump:sub(at - n + 1, at - 1) or ""
  end

  local PAYLOAD = { [0x00] = 0, [0x01] = 0, [0x11] = 0, [0x03] = 8, [0x13] = 8 } -- nil, false, true, integer, float

  local function proto()
    text() -- source; empty
    parts[#parts + 1] = dump:sub(from, at - 1)
    int() -- first and last line
    int()
    from = at
    at = at + 3 -- parameters, vararg, stack
    local assigned, fields = {}, {} -- fields: { upvalue, constant, whether it is written }
    for _ = 1, int() do
      local a, b, c, d = dump:byte(at, at + 3)
      local op = a & 0x7f
      if op == SETUPVAL then assigned[c] = true end
      if op == GETTABUP then fields[#fields + 1] = { c, d, false } end
      if op == SETTABUP then fields[#fields + 1] = { (a >> 7 | b << 1) & 0xff, c, true } end
      at = at + 4
    end
    local constants = {}
    for k = 0, int() - 1 do
      local size = PAYLOAD[dump:byte(at)]
      at = at + 1
      if size then
        at = at + size
      else
        constants[k] = text()
        texts[#texts + 1] = constants[k]
      end
    end
    local names = {} -- upvalue -> name -> whether it is written
    for _, field in ipairs(fields) do
      local upvalue, constant, written = table.unpack(field)
      names[upvalue] = names[upvalue] or {}
      names[upvalue][constants[constant]] = names[upvalue][constants[constant]] or written
    end
    local outer = {} -- for each upvalue, its index in the enclosing function's, if it is one of those
    for i = 0, int() - 1 do
      local in_stack, index = dump:byte(at, at + 1)
      if in_stack == 0 then outer[i] = index end
      at = at + 3
    end
    for _ = 1, int() do
      local theirs, read = proto()
      for index in pairs(theirs) do assigned[index] = true end
      for index, of in pairs(read) do
        names[index] = names[index] or {}
        for name, written in pairs(of) do names[index][name] = names[index][name] or written end
      end
    end
    for _ = 1, 4 do -- line info, absolute line info, local variables, upvalue names: all stripped
      if int() ~= 0 then error("bytecode: the dump is not stripped") end
    end
    local above, names_above = {}, {}
    for i in pairs(assigned) do
      if outer[i] then above[outer[i]] = true end
    end
    for i, of in pairs(names) do
      if outer[i] then names_above[outer[i]] = of end
    end
    return above, names_above, assigned, names
  end

  at = at + 3 + 8 + 8 + 1 -- sizes of an instruction, an integer and a number; one of each; number of upvalues
  local ok, _, _, assigned, names = pcall(proto)
  if not ok or at ~= #dump + 1 then return dump, {}, {}, {} end
  parts[#parts + 1] = dump:sub(from)
  local numbers, read = {}, {}
  for i in pairs(assigned) do numbers[i + 1] = true end
  for i, of in pairs(names) do
    read[i + 1] = {}
    for name, written in pairs(of) do read[i + 1][name] = not written or nil end
  end
  return table.concat(parts), numbers, read, texts
end

return bytecode
