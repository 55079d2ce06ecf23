--- dgam.checkpoint: weights and training state in files.
--
--     local state, meta = checkpoint.load "video_swin_base.pth"     -- name -> tensor, and what else was in it
--     checkpoint.save("model.h5", model:state_dict(), { epoch = 30 })
--     checkpoint.save("model.safetensors", model:state_dict())
--
-- Reads .h5, .safetensors and .pth (torch.save, zip and legacy); which one it is shows in the file, not in its name. No
-- code in a .pth is ever run: one that asks for anything but tensors and containers is refused. Writes .h5 and
-- .safetensors, as a whole or not at all.
--
-- A published checkpoint often wraps its weights: { meta =, state_dict =, optimizer = }. load unwraps it and gives the
-- rest as meta. Tensors keep their type: float16 and bfloat16 are not widened.
local native = require "dgamnative.checkpoint"
local h5 = require "dgam.kernels.h5"
local json = require "util.json"
local check = require "util.check"

local checkpoint = {}

-- Where published checkpoints keep their weights, tried in this order.
local WRAPPERS = { "state_dict", "model_state", "model_state_dict", "model", "net", "network", "params" }

local NAN = 0 / 0 -- what a null in our own meta was

local FORMAT = "dgamlua checkpoint" -- attribute of our own HDF5 files, whose names are taken as they are

--- Whether there is a file at the path.
function checkpoint.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

-- --- the three formats as one: { format, entries = {{name, dtype, shape, read = function}}, meta = function, exact } ---

local function open_native(path, format, reader)
  local entries = {}
  for i = 1, #reader do
    local name, dtype, shape = reader:info(i)
    entries[i] = { name = name, dtype = dtype, shape = shape, read = function() return reader:read(i) end }
  end
  return { path = path, format = format, entries = entries, meta = function() return reader:plain() or {} end,
    close = function() reader:close() end, exact = format == "safetensors" }
end

local function open_h5(path)
  local file = h5.open(path)
  local ours = file:attr "format" == FORMAT
  local entries, total = {}, 0
  for _, name in ipairs(file:walk(ours and "state_dict" or "")) do
    local full = ours and "state_dict/" .. name or name
    local kind, dtype, shape, size = file:stat(full)
    if kind == "numbers" then
      total = total + size
      entries[#entries + 1] = { name = name, dtype = dtype, shape = shape, read = function() return file:read(full) end }
    end
  end
  file:check_size("its tensors together", total)
  local function meta()
    local text = file:attr "meta"
    if ours and text then return (json.decode(text, NAN)) or {} end
    return file:attrs()
  end
  return { path = path, format = "h5", entries = entries, meta = meta, close = function() file:close() end, exact = ours }
end

local Reader = {}
Reader.__index = Reader
function Reader:__close() self.close() end

-- Which format a file has, by its first bytes.
local function sniff(path)
  local f, why = io.open(path, "rb")
  if not f then error(("cannot open checkpoint %s"):format(why), 0) end
  local head = f:read(16)
  f:close()
  if not head then -- empty, or not a file: the readers say so better
    return path:match "%.(%w+)$" or "pth"
  end
  if head:sub(1, 8) == "\x89HDF\r\n\x1a\n" then return "h5" end
  -- The length of a safetensors header comes first, and its low byte may be a pickle's first one; a brace follows it.
  if head:sub(7, 9) == "\0\0{" then return "safetensors" end
  if head:sub(1, 4) == "PK\3\4" or head:byte() == 0x80 then return "pth" end
  local ending = path:match "%.(%w+)$"
  if ending == "safetensors" or ending == "h5" or ending == "hdf5" then return ending end
  return "pth"
end

--- Opens a checkpoint without reading its tensors; libtorch is not loaded.
-- @param path file
-- @param options unknown = "refuse" (default) or "skip": what to do with a .pth that names things we do not know;
--   skipping leaves them out, still without running anything
-- @return reader { format, entries = list of { name, dtype, shape, read() -> tensor }, meta() -> table, close() }; closes
--   with its block
function checkpoint.open(path, options)
  options = check.names("checkpoint.open", options or {}, { "unknown" })
  local unknown = options.unknown or "refuse"
  if unknown ~= "refuse" and unknown ~= "skip" then
    error(("checkpoint.open: unknown is '%s', expected 'refuse' or 'skip'"):format(tostring(unknown)), 2)
  end
  local format = sniff(path)
  local reader
  if format == "h5" or format == "hdf5" then reader = open_h5(path)
  elseif format == "safetensors" then reader = open_native(path, format, native.open_safetensors(path))
  else reader = open_native(path, "pth", native.open_pth(path, unknown == "skip")) end
  return setmetatable(reader, Reader)
end

-- The wrapper whose tensors are the weights: "state_dict/", or "" for a bare file.
local function find_wrapper(reader)
  if reader.exact then return "" end
  local groups = {}
  for _, e in ipairs(reader.entries) do
    local group = e.name:match "^([^/]+)/"
    if group then groups[group] = true end
  end
  for _, name in ipairs(WRAPPERS) do
    if groups[name] then return name .. "/" end
  end
  return ""
end

--- The entries that are weights, with the names they have inside their wrapper.
-- @param prefix the wrapper with its slash ("ema_state_dict/"); default: found out
-- @return list of { name, dtype, shape, read }, the wrapper
function checkpoint.weights(reader, prefix)
  prefix = prefix or find_wrapper(reader)
  local list = {}
  for _, e in ipairs(reader.entries) do
    if e.name:sub(1, #prefix) == prefix then
      list[#list + 1] = { name = e.name:sub(#prefix + 1), dtype = e.dtype, shape = e.shape, read = e.read }
    end
  end
  return list, prefix
end

--- Reads a checkpoint.
-- @param path file
-- @param options prefix: wrapper to take the weights from ("ema_state_dict/"; "" for all tensors under their full
--   names), default: found out; unknown: see open
-- @return state: name -> tensor; meta: table of everything else that is plain (numbers, text, lists)
function checkpoint.load(path, options)
  options = check.names("checkpoint.load", options or {}, { "prefix", "unknown" })
  local reader <close> = checkpoint.open(path, { unknown = options.unknown })
  local list, prefix = checkpoint.weights(reader, options.prefix)
  if #list == 0 and (prefix ~= "" or not reader.exact) then
    error(("'%s' holds no tensors%s"):format(path, prefix ~= "" and " below '" .. prefix .. "'" or ""), 0)
  end
  local state = {}
  for _, e in ipairs(list) do state[e.name] = e.read() end
  local meta = reader.meta()
  if type(meta) ~= "table" then meta = {} end
  if reader.format == "safetensors" and meta.dgam then meta = json.decode(meta.dgam, NAN) or {} end
  if prefix ~= "" then meta[prefix:sub(1, -2)] = nil end
  return state, meta
end

local function sorted_names(state)
  local names = {}
  for name, t in pairs(state) do
    if type(name) ~= "string" or type(t) ~= "userdata" then
      error(("checkpoint.save: '%s' is a %s, expected names with tensors"):format(tostring(name), type(t)), 0)
    end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- HDF5 makes a group of every part of a name but the last.
local function check_parts(names, state)
  local function fail(name, why) error(("checkpoint.save: '%s' %s, expected another name in an HDF5 file"):format(name, why), 0) end
  for _, name in ipairs(names) do
    for part in (name .. "/"):gmatch "([^/]*)/" do
      if part == "" or part == "." then fail(name, ("has the part '%s'"):format(part)) end
    end
    for at in name:gmatch "()/" do
      local group = name:sub(1, at - 1)
      if state[group] then fail(group, ("is a tensor and the group of '%s'"):format(name)) end
    end
  end
end

-- "h5" or "safetensors", by a path's ending.
local function format_of(path)
  local ending = path:match "%.([^./]+)$"
  if ending == "h5" or ending == "hdf5" then return "h5" end
  if ending == "safetensors" then return ending end
  if ending == "pth" or ending == "pt" then
    error(("cannot write '%s': PyTorch's own format is read only here; .safetensors is what PyTorch reads"):format(path), 0)
  end
  error(("cannot write '%s': expected a name that ends in .h5 or .safetensors"):format(path), 0)
end

--- An error if no checkpoint can be written there: what takes hours before it saves asks first.
function checkpoint.check_path(path)
  format_of(path)
  local probe = path .. ".probe"
  local file, why = io.open(probe, "wb")
  if not file then error(("cannot write '%s': %s"):format(path, (why:gsub("^.*: ", ""))), 0) end
  file:close()
  os.remove(probe)
end

--- Writes a checkpoint, as a whole or not at all.
-- @param path ends in .h5 or .safetensors
-- @param state name -> tensor
-- @param meta table of plain values that load gives back
function checkpoint.save(path, state, meta)
  local format, names = format_of(path), sorted_names(state)
  if format == "h5" then
    check_parts(names, state)
    local file <close> = h5.create(path)
    file:set_attr("format", FORMAT)
    if meta then file:set_attr("meta", json.encode(meta)) end
    file:make_group "state_dict"
    for _, name in ipairs(names) do file:write("state_dict/" .. name, state[name]) end
    file:close()
  else
    local tensors = {}
    for i, name in ipairs(names) do tensors[i] = state[name]:plain() end
    native.write_safetensors(path, names, tensors, { format = "pt", dgam = meta and json.encode(meta) or nil })
  end
end

return checkpoint
