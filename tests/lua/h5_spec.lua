-- HDF5 files from Lua: what goes in comes out, nothing is half there, errors name file and object.
local lfs = require "lfs"
local h5 = require "dgam.kernels.h5"
local fs = require "dgamnative.fs"
local support = require "support"
local fails = support.fails

describe("dgam.h5", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function files()
    local names = {}
    for name in lfs.dir(folder) do
      if name ~= "." and name ~= ".." then names[#names + 1] = name end
    end
    table.sort(names)
    return table.concat(names, " ")
  end

  it("keeps numbers, text, lists and attributes without libtorch", function()
    local path = folder .. "/a.h5"
    local f = h5.create(path)
    f:write("metrics/top1", 38.42)
    f:write("metrics/n", 2418)
    f:write("metrics/done", true)
    f:write("curves/loss", { 2.5, 1, 0.5 })
    f:write("curves/epochs", { 1, 2, 3 })
    f:write("matrix", { { 1, 2, 3 }, { 4, 5, 6 } }, { deflate = 4 })
    f:write("empty", {})
    f:write("classes", { "Walking", "", "Stühle" })
    f:write("note", "one line")
    f:set_attr("seed", 3)
    f:set_attr("lr", 1e-3)
    f:set_attr("name", "dual")
    f:set_attr("gammas", { 1, 1.5, 2 })
    f:set_attr("words", { "a", "b" })
    f:set_attr("ok", false)
    f:set_attr("unit", "percent", "metrics/top1")
    f:close()
    assert.equal("a.h5", files())

    local r <close> = h5.open(path)
    assert.equal(38.42, r:value "metrics/top1")
    assert.equal("integer", math.type(r:value "metrics/n"))
    assert.is_true(r:value "metrics/done")
    assert.same({ 2.5, 1.0, 0.5 }, r:numbers "curves/loss")
    assert.same({ 1, 2, 3 }, r:numbers "curves/epochs")
    assert.same({ 2, 3 }, r:shape "matrix")
    assert.same({ 2, 3, 5, 6 }, r:numbers("matrix", { start = { 1, 2 }, count = { 2, 2 } }))
    assert.same({}, r:numbers "empty")
    assert.same({ "Walking", "", "Stühle" }, r:read "classes")
    assert.equal("one line", r:read "note")
    assert.equal(3, r:attr "seed")
    assert.equal(1e-3, r:attr "lr")
    assert.same({ 1.0, 1.5, 2.0 }, r:attr "gammas")
    assert.same({ "a", "b" }, r:attr "words")
    assert.is_false(r:attr "ok")
    assert.is_nil(r:attr "nothing")
    assert.equal("percent", r:attr("unit", "metrics/top1"))
    assert.equal(6, #(function(t) local k = {} for n in pairs(t) do k[#k + 1] = n end return k end)(r:attrs()))
    assert.same({ "done", "n", "top1" }, r:list "metrics")
    assert.same({ "epochs", "loss" }, r:walk "curves")
    assert.equal("group", (r:stat "metrics"))
    assert.is_true(r:has "metrics/top1")
    assert.is_false(r:has "metrics/top2/below")
    assert.is_nil(package.loaded.torch)
  end)

  it("shows a file only when it is finished", function()
    local path = folder .. "/a.h5"
    fs.write(path, "the old one")
    local function content()
      local f <close> = assert(io.open(path, "rb"))
      return f:read "a"
    end
    local f = h5.create(path)
    f:write("x", 1)
    assert.equal("the old one", content())
    f:discard()
    assert.equal("the old one", content())
    pcall(function()
      local g <close> = h5.create(path)
      g:write("x", 1)
      error "stop"
    end)
    assert.equal("the old one", content())
    do
      local lost = h5.create(path)
      lost:write("x", 1)
    end
    collectgarbage()
    collectgarbage()
    assert.equal("a.h5", files())
    assert.equal("the old one", content())
    do
      local g <close> = h5.create(path)
      g:write("x", 7)
    end
    do
      local g <close> = h5.update(path)
      g:write("y", 8)
    end
    local r <close> = h5.open(path)
    assert.same({ 7, 8 }, { r:value "x", r:value "y" })
    assert.equal("a.h5", files())
  end)

  it("names file and object in errors", function()
    local path = folder .. "/a.h5"
    fails("missing.h5", h5.open, folder .. "/missing.h5")
    fs.write(path, "no numbers here")
    fails("not an HDF5 file", h5.open, path)
    fails("a.h5", h5.open, path)
    assert.is_false(h5.is_file(path))
    fails("none/a.h5", h5.create, folder .. "/none/a.h5")
    local f = h5.create(path)
    f:write("group/values", { 1, 2 })
    fails("group/values", f.write, f, "group/values", 1)
    fails("ragged", f.write, f, "r", { { 1, 2 }, { 3 } })
    fails("function", f.write, f, "r", print)
    fails("zero byte", f.write, f, "z", "a\0b")
    fails("deflat", f.write, f, "d", { 1 }, { deflated = 3 })
    fails("level 11", f.write, f, "d", { 1 }, { deflate = 11 })
    f:close()
    f:close()
    fails("closed", f.write, f, "x", 1)
    local r <close> = h5.open(path)
    fails("did you mean 'group/values'", r.read, r, "group/value")
    fails("is a group", r.numbers, r, "group")
    fails("expected one", r.value, r, "group/values")
    fails("outside", r.numbers, r, "group/values", { start = { 2 }, count = { 2 } })
    fails("expected 1 or more", r.numbers, r, "group/values", { start = { 0 }, count = { 2 } })
    fails("expected 1 of each", r.numbers, r, "group/values", { start = { 1, 1 }, count = { 1, 1 } })
    fails("to read", r.write, r, "x", 1)
    assert.is_nil(package.loaded.torch)
  end)

  it("ends where links or lists have no end", function()
    do -- 14 groups, each with two links to the next: 2^14 ways to the number at the end
      local f <close> = h5.open(dgamlua.root .. "/tests/golden/links.h5")
      support.fails_like("more than 10%d%d paths", f.walk, f)
      assert.same({ "x" }, f:walk(("a/"):rep(13) .. "a"))
    end
    support.fails_like("more than 10%d%d paths", require "dgam.train.checkpoint".open, dgamlua.root .. "/tests/golden/links.h5")
    local f <close> = h5.create(folder .. "/a.h5")
    local t = {}
    t[1] = t
    fails("'x' has lists nested more than 12 levels deep", f.write, f, "x", t)
  end)

  it("says of a link to nothing that it is one", function()
    local r <close> = h5.open(dgamlua.root .. "/tests/golden/links.h5")
    fails("'none' is a link to nothing in this file", r.read, r, "none")
  end)

  it("refuses what nobody wrote and no memory holds", function()
    local path = folder .. "/a.h5"
    do
      local f <close> = h5.create(path)
      f:make("state_dict/huge", "float32", { 1 << 33 }, { deflate = 1 })
      f:set_attr("format", "dgamlua checkpoint")
      for i = 1, 40 do f:make("some/" .. i, "float32", { 1 << 23 }, { deflate = 1 }) end
    end
    local r <close> = h5.open(path)
    fails("'state_dict/huge' would take 34359738368 bytes, more than a file of", r.read, r, "state_dict/huge")
    fails("'state_dict/huge' would take 34359738368 bytes, more than a file of", r.numbers, r, "state_dict/huge")
    assert.same({ 0.0, 0.0 }, r:numbers("state_dict/huge", { start = { 1 << 32 }, count = { 2 } }))
    fails("its tensors together would take 34359738368 bytes", require "dgam.train.checkpoint".load, path)
  end)

  it("keeps tensors of every type", function()
    local torch = require "torch"
    local path = folder .. "/t.h5"
    local types = { "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool", "bfloat16" }
    local f = h5.create(path)
    local source = torch.arange(0, 24):view(2, 3, 4)
    for _, dtype in ipairs(types) do
      f:write("t/" .. dtype, source:to(dtype):transpose(1, 3), { deflate = 1 })
    end
    f:write("scalar", torch.tensor(2.5))
    f:write("none", torch.zeros(0, 3))
    f:make("slabs", "float32", { 3, 4 })
    f:write_slab("slabs", torch.ones(1, 4), { 2, 1 })
    f:close()
    local r <close> = h5.open(path)
    for _, dtype in ipairs(types) do
      local t = r:read("t/" .. dtype)
      assert.equal(dtype, t.dtype)
      assert.same({ 4, 3, 2 }, t.shape)
      assert.is_true(torch.equal(source:to(dtype):transpose(1, 3), t))
    end
    assert.same({}, r:read("scalar").shape)
    assert.equal(2.5, r:read("scalar"):item())
    assert.same({ 0, 3 }, r:read("none").shape)
    assert.equal(4, r:read("slabs"):sum():item())
    assert.equal(4, r:read("slabs", { start = { 2, 1 }, count = { 1, 4 } }):sum():item())
    assert.equal("float64", r:read("t/int32", { dtype = "float64" }).dtype)
  end)
end)
