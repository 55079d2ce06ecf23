-- Checkpoints: files of PyTorch against the values it put there, refusals, and round trips of our own.
local lfs = require "lfs"
local json = require "util.json"
local checkpoint = require "dgam.train.checkpoint"
local h5 = require "dgam.kernels.h5"
local support = require "support"
local fails = support.fails

local GOLDEN = dgamlua.root .. "/tests/golden/checkpoints/"

describe("dgam.checkpoint", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("lists a file without libtorch", function()
    local reader <close> = checkpoint.open(GOLDEN .. "mmcv_zip.pth")
    assert.equal("pth", reader.format)
    assert.equal(13, #reader.entries)
    local weights, prefix = checkpoint.weights(reader)
    assert.equal("state_dict/", prefix)
    assert.equal(12, #weights)
    assert.equal("backbone.patch_embed.proj.weight", weights[1].name)
    assert.same({ 4, 3, 2, 4, 4 }, weights[1].shape)
    assert.equal("float32", weights[1].dtype)
    assert.equal(7, reader.meta().meta.epoch)
    assert.is_nil(package.loaded.torch)
  end)

  it("refuses what is damaged or wants to run", function()
    os.remove "/tmp/dgamlua_pwned"
    fails("posix.system", checkpoint.load, GOLDEN .. "malicious_zip.pth")
    fails("posix.system", checkpoint.load, GOLDEN .. "malicious_legacy.pth")
    fails("cut off", checkpoint.load, GOLDEN .. "truncated_zip.pth")
    fails("cut off", checkpoint.load, GOLDEN .. "truncated_legacy.pth")
    fails("missing.pth", checkpoint.load, GOLDEN .. "missing.pth")
    fails("regular file", checkpoint.load, GOLDEN)
    fails("no checkpoint", checkpoint.load, GOLDEN .. "../../lua/checkpoint_spec.lua")
    local reader <close> = checkpoint.open(GOLDEN .. "malicious_zip.pth", { unknown = "skip" })
    assert.equal(12, #reader.entries)
    assert.is_nil(lfs.attributes "/tmp/dgamlua_pwned")
  end)

  it("reads what PyTorch wrote, type by type", function()
    local torch = require "torch"
    local want <close> = h5.open(GOLDEN .. "expected.h5")
    for _, name in ipairs { "mmcv_zip.pth", "mmcv_legacy.pth", "state_dict_zip.pth", "model.safetensors", "expected.h5" } do
      local state = checkpoint.load(GOLDEN .. name)
      local count = 0
      for key, t in pairs(state) do
        local ref = want:read(key)
        count = count + 1
        assert.same(ref.shape, t.shape)
        assert.is_true(torch.equal(ref, t:to(ref.dtype)), name .. " " .. key)
      end
      assert.equal(12, count)
      if name ~= "expected.h5" then
        assert.equal("float16", state.half.dtype)
        assert.equal("bfloat16", state.bf16.dtype)
      end
    end
    local _, meta = checkpoint.load(GOLDEN .. "mmcv_zip.pth")
    assert.equal(1234, meta.meta.iter)
    assert.same({ 0.0003, 3e-05 }, meta.meta.lr)
    assert.is_nil(meta.state_dict)
    assert.equal(0.0003, meta.optimizer.param_groups[1].lr)
    local all = checkpoint.load(GOLDEN .. "mmcv_zip.pth", { prefix = "" })
    assert.truthy(all["optimizer/state/0/exp_avg"])
    fails("optimiser/", checkpoint.load, GOLDEN .. "mmcv_zip.pth", { prefix = "optimiser/" })
  end)

  it("gives back what was saved, to the last bit", function()
    local torch = require "torch"
    local state = { ["model/a.weight"] = torch.randn(3, 4):transpose(1, 2), ["model/b"] = torch.randn(5):to "bfloat16",
      rng = torch.rng_state(), step = torch.tensor(7), none = torch.zeros(0, 2), ["state_dict/x"] = torch.ones(2) }
    local meta = { epoch = 3, history = { { loss = 0.1 + 0.2, top1 = 1 / 3 } }, best = { loss = math.huge, n = 2.0 }, name = "ä\n\"" }
    for _, ending in ipairs { "h5", "safetensors" } do
      local path = folder .. "/state." .. ending
      checkpoint.save(path, state, meta)
      local got, more = checkpoint.load(path)
      for name, t in pairs(state) do
        assert.equal(t.dtype, got[name].dtype)
        assert.is_true(torch.equal(t, got[name]), name)
      end
      for name in pairs(got) do assert.truthy(state[name]) end
      assert.same(meta, more)
      assert.equal(0.1 + 0.2, more.history[1].loss)
      assert.equal("float", math.type(more.best.n))
      local first = require("dgamnative.fs").sha256_file(path)
      checkpoint.save(path, state, meta)
      assert.equal(first, require("dgamnative.fs").sha256_file(path))
    end
    for length = 1, 300, 7 do -- a header may have any length, also one whose first byte looks like a pickle's
      checkpoint.save(folder .. "/x.safetensors", { [("n"):rep(length)] = torch.ones(1) })
      assert.truthy(checkpoint.load(folder .. "/x.safetensors")[("n"):rep(length)])
    end
    fails("read only", checkpoint.save, folder .. "/state.pth", state)
    fails(".safetensors", checkpoint.save, folder .. "/state", state)
    fails("expected names with tensors", checkpoint.save, folder .. "/state.h5", { a = 1 })
    fails("none/state.h5", checkpoint.save, folder .. "/none/state.h5", state)
    assert.is_true(checkpoint.exists(folder .. "/state.h5"))
    checkpoint.check_path(folder .. "/new.h5")
    assert.is_false(checkpoint.exists(folder .. "/new.h5"))
    fails("cannot write '" .. folder .. "/none/new.h5': No such file", checkpoint.check_path, folder .. "/none/new.h5")
    fails(".safetensors", checkpoint.check_path, folder .. "/new")
    assert.is_false(checkpoint.exists(folder .. "/state.pth"))
  end)

  it("gives back NaN in what goes with the weights", function()
    local torch = require "torch"
    for _, ending in ipairs { "h5", "safetensors" } do
      local path = folder .. "/nan." .. ending
      checkpoint.save(path, { a = torch.ones(1) }, { loss = 0 / 0, list = { 1, 0 / 0, 3 } })
      local _, meta = checkpoint.load(path)
      assert.is_true(meta.loss ~= meta.loss)
      assert.is_true(#meta.list == 3 and meta.list[2] ~= meta.list[2])
    end
  end)

  it("refuses names that HDF5 has no place for, before it writes", function()
    local path, t = folder .. "/names.h5", require "torch".ones(1)
    for name, why in pairs { [""] = "'' has the part ''", ["."] = "'.' has the part '.'", ["a//b"] = "'a//b' has the part ''",
      ["/a"] = "'/a' has the part ''" } do
      fails("checkpoint.save: " .. why .. ", expected another name in an HDF5 file", checkpoint.save, path, { [name] = t })
    end
    fails("'a' is a tensor and the group of 'a/b'", checkpoint.save, path, { a = t, ["a-"] = t, ["a/b"] = t })
    assert.is_false(checkpoint.exists(path))
    local names = { a = t, ["a/b"] = t, ["."] = t }
    checkpoint.save(folder .. "/names.safetensors", names) -- which has no groups
    for name in pairs(names) do assert.truthy(checkpoint.load(folder .. "/names.safetensors")[name]) end
    checkpoint.save(path, { ["a/b"] = t, ["a/c..d"] = t, ab = t })
    assert.truthy(checkpoint.load(path)["a/c..d"])
  end)
end)

describe("dgam.json", function()
  it("gives back numbers and text exactly, with sorted keys", function()
    local value = { b = { 1, 2.0, 0.1, 1e300, -1e-300, 2 ^ 53 + 1, math.maxinteger }, a = "x\"\\\n\1ä", c = { t = true, f = false } }
    local text = json.encode(value)
    assert.equal(text, json.encode(json.decode(text)))
    local back = json.decode(text)
    assert.same(value, back)
    for i, v in ipairs(value.b) do assert.equal(math.type(v), math.type(back.b[i])) end
    assert.equal('{"a":1,"b":[],"c":2.0}', json.encode { c = 2.0, b = {}, a = 1 })
    assert.equal(math.huge, json.decode(json.encode { x = math.huge }).x)
    assert.is_nil(json.decode(json.encode { x = 0 / 0 }).x)
    assert.equal("none", json.decode(json.encode { x = 0 / 0 }, "none").x)
  end)

  it("refuses what JSON cannot hold", function()
    assert.has_error(function() json.encode { f = print } end, "json: value.f is a function, which JSON cannot hold")
    local loop = {}
    loop.loop = loop
    assert.is_false(pcall(json.encode, loop))
    local value, problem = json.decode "{nope"
    assert.is_nil(value)
    assert.truthy(problem:find "not JSON")
  end)
end)
