-- The rooms of lua/ and who may know whom: arrows go one way.
local lfs = require "lfs"
local keys_of = require "util.keys"

local ROOT = dgamlua.root .. "/lua"

-- From the lowest room to the highest. A file may require its own room and what is listed for it; native modules and
-- libraries anybody. What is said of `dgam` (the list of public names) holds for scripts: the rooms of the library do not use it.
local KNOWS = {
  ["util"] = {},
  ["torch"] = { "util" },
  ["dgam/kernels"] = { "util", "torch" },
  ["dgam/nn"] = { "util", "torch", "dgam/kernels" },
  ["dgam/show"] = { "util", "torch", "dgam/kernels" },
  ["dgam/data"] = { "util", "torch", "dgam/kernels", "dgam/nn", "dgam/show" },
  ["dgam/train"] = { "util", "torch", "dgam/kernels", "dgam/nn", "dgam/show", "dgam/data" },
  ["dgam/trial"] = { "util", "torch", "dgam/kernels", "dgam/nn", "dgam/show", "dgam/data", "dgam/train" },
  ["dgam"] = { "util", "models" }, -- the door for scripts: dgam.load
  ["models"] = { "util", "torch", "dgam/kernels", "dgam/nn", "dgam/data", "dgam/train" },
  ["experiments"] = { "util", "torch", "dgam", "dgam/kernels", "dgam/nn", "dgam/show", "dgam/data", "dgam/train", "dgam/trial", "models" },
}
local ABOVE = { "bench", "cli" } -- the program: both know everything below, the command line the benchmarks too
for i, room in ipairs(ABOVE) do
  KNOWS[room] = table.move(ABOVE, 1, i - 1, 1, {})
  for below in pairs(KNOWS) do
    if below ~= "bench" and below ~= "cli" then table.insert(KNOWS[room], below) end
  end
end

-- The room of a file below lua/ (dgam/data/builtin belongs to dgam/data); nil if it is in none.
local function room_of(path)
  local folder = path:match "^(.*)/[^/]*$" or ""
  while folder ~= "" and not KNOWS[folder] do folder = folder:match "^(.*)/[^/]*$" or "" end
  return KNOWS[folder] and folder
end

local function files(folder, into)
  for entry in lfs.dir(ROOT .. "/" .. folder) do
    local path = folder == "" and entry or folder .. "/" .. entry
    if entry:sub(1, 1) == "." then goto continue end
    if lfs.attributes(ROOT .. "/" .. path, "mode") == "directory" then files(path, into)
    elseif entry:find "%.lua$" then into[#into + 1] = path end
    ::continue::
  end
  return into
end

-- The modules of ours that a source requires, by the texts in it; comments do not count. `require("room." .. name)` gives the room.
local function required(source)
  local names = {}
  source = source:gsub("%-%-%[(=*)%[.-%]%1%]", ""):gsub("%-%-[^\n]*", "")
  for name in source:gmatch "require%s*%(?%s*[\"']([%w_.]+)[\"']" do names[name:gsub("%.$", "")] = true end
  for name in source:gmatch "[\"']([%w_.]+)%.[\"']%s*%.%." do names[name] = true end
  return keys_of(names)
end

-- The file below lua/ of a module, or nil: not ours.
local function file_of(name)
  local path = name:gsub("%.", "/")
  for _, candidate in ipairs { path .. ".lua", path .. "/init.lua" } do
    if lfs.attributes(ROOT .. "/" .. candidate, "mode") == "file" then return candidate end
  end
  return lfs.attributes(ROOT .. "/" .. path, "mode") == "directory" and path .. "/x" or nil
end

local function arrows(path, source)
  local from, wrong = room_of(path), {}
  for _, name in ipairs(required(source)) do
    local file = file_of(name)
    local to = file and room_of(file)
    local allowed = not file or to == from
    for _, known in ipairs(KNOWS[from] or {}) do allowed = allowed or known == to end
    if not allowed then wrong[#wrong + 1] = ("%s (%s) requires %s (%s)"):format(path, from, name, to or "no room") end
  end
  return wrong
end

describe("the rooms of lua/", function()
  local all = files("", {})

  it("hold every file", function()
    local homeless = {}
    for _, path in ipairs(all) do
      if not room_of(path) then homeless[#homeless + 1] = path end
    end
    assert.same({}, homeless)
    assert.is_true(#all > 60)
  end)

  it("know only what is below them", function()
    local wrong = {}
    for _, path in ipairs(all) do
      local f <close> = assert(io.open(ROOT .. "/" .. path, "rb"))
      for _, text in ipairs(arrows(path, f:read "a")) do wrong[#wrong + 1] = text end
    end
    assert.same({}, wrong)
  end)

  it("are told apart by what a file requires", function() -- the check itself finds what it should
    assert.same({ "util/a.lua (util) requires torch (torch)" }, arrows("util/a.lua", 'local t = require "torch"'))
    assert.same({ "dgam/nn/a.lua (dgam/nn) requires dgam.train (dgam/train)" }, arrows("dgam/nn/a.lua", "require('dgam.train')"))
    assert.same({ "dgam/data/a.lua (dgam/data) requires bench (bench)" }, arrows("dgam/data/a.lua", 'require("bench." .. name)'))
    assert.same({}, arrows("dgam/nn/a.lua", '-- require "dgam.train"\nrequire "lfs"'))
  end)
end)
