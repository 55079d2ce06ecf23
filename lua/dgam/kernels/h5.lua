--- dgam.h5: HDF5 files with tensors, numbers, text and attributes; any HDF5 tool reads them.
--
--     local f <close> = h5.create "features.h5"           -- nobody sees it before it is finished
--     f:write("train/logits", tensor, { deflate = 4 })    -- groups on the way are made
--     f:write("classes", { "Walking", "Running" })
--     f:set_attr("gammas", { 1.0, 1.5 })
--     f:close()                                           -- flushed, synced and renamed: there, whole
--
--     local f <close> = h5.open "features.h5"
--     local t = f:read "train/logits"                     -- a tensor
--     local row = f:read("train/logits", { start = { 7, 1, 1 }, count = { 1, 5, 12 } })
--     local list = f:numbers "curves/loss"                -- Lua numbers; libtorch is not loaded
--
-- A file being written exists under a temporary name until it is closed. Leaving its block through an error, or losing
-- the handle, throws it away and leaves the old file as it was. Element types are the tensors'; bfloat16 is kept as a
-- 16-bit float that h5py widens to float32.
local lfs = require "lfs"
local native = require "dgamnative.h5"
local check = require "util.check"
local suggest = require "util.suggest"

local h5 = {}
local File = {}
File.__index = File

local LEAST_BYTES = 64 -- that an object takes in a file
local MAX_DEPTH = 12 -- of nested lists; as many dimensions as a dataset may have

local function wrap(handle, writing) return setmetatable({ handle = handle, writing = writing }, File) end

--- Opens a file to read. Errors name the file: missing, not HDF5, damaged.
function h5.open(path) return wrap(native.open(path), false) end

--- Starts a new file, which replaces an old one when it is closed.
function h5.create(path) return wrap(native.create(path), true) end

--- Starts a new version of an existing file: its contents are there, more can be added.
function h5.update(path) return wrap(native.update(path), true) end

--- Whether there is a file that can be opened as HDF5.
function h5.is_file(path)
  local ok, handle = pcall(native.open, path)
  if ok then handle:close() end
  return ok
end

-- A binding's error is about the file; say it where the file was used.
local function raise(message) error(message, 0) end

--- The path the file was opened by.
function File:path() return self.handle:path() end

--- What an object is: "none", "group", "text", "other", or "numbers", and its dtype and shape.
-- @return kind, dtype, shape, bytes of all elements
function File:stat(name) return self.handle:stat(name) end

--- An error if a file of this size cannot hold so many bytes of elements; reading asks for what it reads.
-- @param what they are, for the message
function File:check_size(what, bytes) self.handle:check_size(what, bytes) end

--- Whether there is an object of that name.
function File:has(name) return self.handle:stat(name) ~= "none" end

local function must_exist(self, name)
  local kind, dtype, shape = self.handle:stat(name)
  if kind ~= "none" then return kind, dtype, shape end
  local group = name:match "^(.*)/[^/]*$" or ""
  local known, last = self.handle:stat(group) == "group" and self.handle:list(group) or {}, name:match "[^/]*$"
  for _, k in ipairs(known) do
    if k == last then raise(("'%s': '%s' is a link to nothing in this file"):format(self:path(), name)) end
  end
  local near = suggest.nearest(last, known)
  raise(("'%s' has no '%s'%s"):format(self:path(), name, near and ("; did you mean '%s'?"):format(
    group == "" and near or group .. "/" .. near) or ""))
end

--- The shape of a dataset, as a list.
function File:shape(name)
  local _, _, shape = must_exist(self, name)
  return shape or raise(("'%s': '%s' has no shape"):format(self:path(), name))
end

--- The element type of numbers ("float32"), or nil.
function File:dtype(name)
  local _, dtype = must_exist(self, name)
  return dtype
end

--- Names in a group (default: the root), sorted.
function File:list(group)
  if group and group ~= "" then must_exist(self, group) end
  return self.handle:list(group)
end

--- Paths of all datasets below a group, relative to it, sorted.
function File:walk(group)
  -- A few links can lead to one object on billions of ways; some more than there can be objects are fine.
  local size = lfs.attributes(self:path(), "size") or 0
  local paths, visits, most = {}, 0, 1024 + size // LEAST_BYTES
  local function visit(full, prefix, depth)
    if depth > 64 then raise(("'%s' is nested more than 64 levels deep"):format(self:path())) end
    for _, name in ipairs(self.handle:list(full)) do
      visits = visits + 1
      if visits > most then
        raise(("'%s' has more than %d paths to its objects, the limit for a file of %d bytes"):format(self:path(), most, size))
      end
      local child = full == "" and name or full .. "/" .. name
      if self.handle:stat(child) == "group" then visit(child, prefix .. name .. "/", depth + 1)
      else paths[#paths + 1] = prefix .. name end
    end
  end
  visit(group or "", "", 0)
  return paths
end

-- start (from 1) and count, checked, as the binding wants them (from 0).
local function slab(options)
  if not options or not (options.start or options.count) then return nil end
  if type(options.start) ~= "table" or type(options.count) ~= "table" then
    error("h5: a slab needs start and count, lists with one number per dimension", 3)
  end
  local start = {}
  for d, s in ipairs(options.start) do
    if math.type(s) ~= "integer" or s < 1 then error(("h5: start is %s in dimension %d, expected 1 or more"):format(tostring(s), d), 3) end
    start[d] = s - 1
  end
  return start, options.count
end

--- Reads a dataset: numbers as a tensor, text as a string (or a list of strings if it has a dimension).
-- @param name path
-- @param options start and count: lists, one entry per dimension, from 1 (default: everything); dtype: convert to it
function File:read(name, options)
  if options then check.names("h5 read", options, { "start", "count", "dtype" }) end
  local kind, _, shape = must_exist(self, name)
  if kind == "text" then
    local list = self.handle:texts(name)
    if #shape == 0 then return list[1] end
    return list
  end
  return self.handle:read(name, options and options.dtype, slab(options))
end

--- Reads numbers as a flat list (row-major) of Lua integers, floats or booleans, without libtorch.
-- @param options start and count as in read
-- @return list
function File:numbers(name, options)
  must_exist(self, name)
  return self.handle:numbers(name, slab(options))
end

--- Reads a dataset with one element as a Lua number, boolean or string.
function File:value(name)
  if must_exist(self, name) == "text" then return self.handle:texts(name)[1] end
  local list = self.handle:numbers(name)
  if #list ~= 1 then raise(("'%s': '%s' has %d elements, expected one"):format(self:path(), name, #list)) end
  return list[1]
end

-- A rectangular, possibly nested list of numbers or booleans: flat list and shape.
local function flatten(value, name)
  local shape, flat, probe = {}, {}, value
  while type(probe) == "table" do
    if #shape == MAX_DEPTH then
      error(("h5: '%s' has lists nested more than %d levels deep"):format(name, MAX_DEPTH), 3)
    end
    shape[#shape + 1] = #probe
    probe = probe[1]
  end
  local function visit(v, depth)
    if depth > #shape then
      if type(v) == "table" then error(("h5: '%s' is a ragged list"):format(name), 4) end
      flat[#flat + 1] = v
      return
    end
    if type(v) ~= "table" or #v ~= shape[depth] then error(("h5: '%s' is a ragged list"):format(name), 4) end
    for _, item in ipairs(v) do visit(item, depth + 1) end
  end
  visit(value, 1)
  return flat, shape
end

local function list_dtype(flat, name)
  local dtype
  for _, v in ipairs(flat) do
    local t = type(v) == "boolean" and "bool" or math.type(v) == "integer" and "int64" or type(v) == "number" and "float64"
    if not t or (dtype and (t == "bool") ~= (dtype == "bool")) then
      error(("h5: '%s' holds a %s among its values"):format(name, type(v)), 4)
    end
    if t ~= "int64" or not dtype then dtype = t end
  end
  return dtype or "float64"
end

--- Writes a new dataset; an existing name is an error.
-- @param name path
-- @param value tensor (any device, any strides), number, boolean, string, list of strings, or (nested) list of numbers
-- @param options deflate = 0..9 (default 0: not compressed)
function File:write(name, value, options)
  local deflate = options and check.names("h5 write", options, { "deflate" }).deflate or 0
  local kind = type(value)
  if kind == "string" then
    self.handle:write_texts(name, { value }, 0)
  elseif kind == "table" and type(value[1]) == "string" then
    self.handle:write_texts(name, value, 1)
  elseif kind == "table" or kind == "number" or kind == "boolean" then
    local flat, shape = flatten(value, name)
    self.handle:write_numbers(name, list_dtype(flat, name), flat, shape, deflate)
  elseif kind == "userdata" then
    self.handle:write(name, value:plain(), deflate)
  else
    error(("h5: '%s' is a %s, expected a tensor, number, text or list"):format(name, kind), 2)
  end
end

--- Makes a dataset filled with zeros, to be written in slabs.
-- @param dtype "float32" ...; shape list; options deflate = 0..9
function File:make(name, dtype, shape, options)
  local deflate = options and check.names("h5 make", options, { "deflate" }).deflate or 0
  self.handle:make(name, dtype, shape, deflate)
end

--- Overwrites a part of a dataset with a tensor of the same number of dimensions.
-- @param start list, from 1
function File:write_slab(name, value, start)
  local from = slab { start = start, count = value.shape }
  self.handle:write_slab(name, value:plain(), from)
end

--- Makes a group (and those on the way); fine if it is there.
function File:make_group(name) self.handle:make_group(name) end

--- An attribute of an object (default: the root): number, boolean, text, a list of them, or nil if there is none.
function File:attr(name, object) return self.handle:attr(object or "", name) end

--- Sets an attribute of an object (default: the root): number, boolean, text or a list of them. Tables go in as JSON text
-- (dgam.json).
function File:set_attr(name, value, object) self.handle:set_attr(object or "", name, value) end

--- All attributes of an object (default: the root) as a table. Those of other types than numbers and text are left out.
function File:attrs(object)
  local all = {}
  for _, name in ipairs(self.handle:attrs(object or "")) do
    local ok, value = pcall(self.handle.attr, self.handle, object or "", name)
    if ok then all[name] = value end
  end
  return all
end

--- Closes. A file being written is finished: flushed, synced, given its name; a full disk is an error here or before,
-- and leaves the old file. Closing twice is fine.
function File:close()
  if self.closed then return end
  self.closed = true
  if self.writing then self.handle:commit() else self.handle:close() end
end

--- Closes; what was written is thrown away.
function File:discard()
  self.closed = true
  self.handle:close()
end

function File.__close(self, problem)
  if problem ~= nil then self:discard() else self:close() end
end

function File:__tostring() return ("h5 file '%s'"):format(self.closed and "closed" or self:path()) end

return h5
