-- Results: stored trials are found again, damaged ones named, nothing is lost; the commands that show them.
local lfs = require "lfs"
local fs = require "dgamnative.fs"
local h5 = require "dgam.kernels.h5"
local results = require "dgam.trial.results"
local support = require "support"
local fails = support.fails

describe("dgam.results", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function record(seed, label)
    return { experiment = "demo", label = label or "dual", seed = seed, key = results.key { seed, label }, config = { lr = 0.1 },
      metrics = { top1 = 100 / 3 + seed, n = 2418 }, curves = { loss = { 2.5, 1, 1 / 3 } }, created = ("2024-01-0%d"):format(seed) }
  end

  it("makes keys of content, not of order or place", function()
    local key = results.key
    assert.equal(16, #key {})
    assert.equal(key { a = 1, b = { 2, 3 } }, key { b = { 2, 3 }, a = 1.0 })
    assert.not_equal(key { a = 1 }, key { a = "1" })
    assert.not_equal(key { a = 1 }, key { a = 1 + 2 ^ -52 })
    assert.not_equal(key { 1, 2 }, key { 2, 1 })
    assert.not_equal(key { a = true }, key { a = "true" })
    assert.not_equal(key { ["1"] = 5 }, key { [1] = 5 })
    local function add(x) return x + 1 end
    local function same(y) return y + 1 end
    local function other(x) return x + 2 end
    assert.equal(key { f = add }, key { f = same })
    assert.not_equal(key { f = add }, key { f = other })
    local text = "local n, s = 1.5, 'x' return function(a) local function g() return a .. s end return g, n, nil, true, 77, 1e300 end"
    local moved = load("\n-- a comment\n\n" .. text)()
    assert.equal(key { f = load(text)() }, key { f = moved })
    assert.not_equal(string.dump(load(text)(), true), string.dump(moved, true))
    assert.not_equal(key { f = moved }, key { f = load((text:gsub("77", "78")))() })
    local n, k = 0, 1
    local function counts() return function() n = n + k end end -- a counter does not count, a constant does
    local before = key { f = counts }
    n = 5
    assert.equal(before, key { f = counts })
    k = 2
    assert.not_equal(before, key { f = counts })
    k = n - 4
    local function calls(g) return function() return g(1) end end
    assert.not_equal(key { f = calls(add) }, key { f = calls(other) })
    local class = { forward = add }
    class.__index = class
    assert.equal(16, #key { gate = class })
    fails("config.gate", key, { config = { gate = io.stdout } })
  end)

  it("stores a trial that comes back exactly", function()
    local path = results.path(folder, "demo", "0123")
    local r = record(1)
    r.texts = { classes = { "walk", "Zoë's run" } }
    results.save(path, r)
    do
      local file <close> = h5.open(path)
      assert.same({ "walk", "Zoë's run" }, file:read "texts/classes")
    end
    local got = results.load(path)
    assert.equal(100 / 3 + 1, got.metrics.top1)
    assert.same({ 2.5, 1.0, 1 / 3 }, got.curves.loss)
    for _, name in ipairs { "experiment", "label", "seed", "key", "created" } do assert.equal(r[name], got[name]) end
    assert.same(r.config, got.config)
    assert.is_nil(package.loaded.torch)
  end)

  it("refuses what it cannot store and leaves nothing", function()
    local path = results.path(folder, "demo", "0123")
    fails("results: label is 1.5, expected text", results.save, path, { experiment = "x", label = 1.5, seed = 1, config = {} })
    fails("metrics/top1 is high, expected a number", results.save, path,
      { experiment = "x", label = "y", seed = 1, config = {}, metrics = { top1 = "high" } })
    fails("curves/loss", results.save, path, { experiment = "x", label = "y", seed = 1, config = {}, curves = { loss = { more = 2 } } })
    fails("curves/loss", results.save, path, { experiment = "x", label = "y", seed = 1, config = {}, curves = { loss = { "a" } } })
    for _, wrong in ipairs { {}, { 1 }, "walk" } do
      fails("texts/classes", results.save, path, { experiment = "x", label = "y", seed = 1, config = {}, texts = { classes = wrong } })
    end
    fails("a/b", results.save, path, { experiment = "x", label = "y", seed = 1, config = {}, metrics = { ["a/b"] = 1 } })
    fails("function", results.save, path, { experiment = "x", label = "y", seed = 1, config = { f = print } })
    for name in lfs.dir(folder) do assert.truthy(name == "." or name == "..", name) end
  end)

  it("scans a folder, names unreadable files, and rebuilds its index", function()
    for seed = 1, 3 do results.save(results.path(folder, "demo", "k" .. seed), record(seed)) end
    fs.write(folder .. "/bad.h5", "not HDF5")
    local other <close> = h5.create(folder .. "/other.h5")
    other:close()
    fs.write(folder .. "/index.lua", "while true do end") -- nothing in the folder is run
    for round = 1, 3 do
      local list, problems = results.scan(folder)
      assert.equal(3, #list)
      assert.equal(2, #problems)
      assert.truthy(problems[1]:find("bad.h5", 1, true))
      assert.truthy(problems[2]:find("other.h5", 1, true))
      assert.same({ 1, 2, 3 }, { list[1].seed, list[2].seed, list[3].seed })
      assert.equal(100 / 3 + 2, list[2].metrics.top1)
      assert.equal(folder .. "/demo-k2.h5", list[2].path)
      assert.equal("file", lfs.attributes(folder .. "/index.json", "mode"))
      if round == 2 then fs.write(folder .. "/index.json", "return { version = 1, files = 'nonsense'") end
    end
    results.save(results.path(folder, "demo", "k2"), record(7)) -- a file that changed is read again
    os.remove(results.path(folder, "demo", "k1"))
    local list = results.scan(folder)
    assert.equal(2, #list)
    assert.same({ 3, 7 }, { list[1].seed, list[2].seed })
    assert.same({}, (results.scan(folder .. "/none")))
  end)

  it("names files whose fields are not a trial's, and shows the others", function()
    results.save(results.path(folder, "demo", "good"), record(1))
    local function odd(name, change)
      local path = results.path(folder, "odd", name)
      local f <close> = h5.create(path)
      f:set_attr("experiment", "odd")
      f:set_attr("label", "x")
      f:set_attr("seed", 1)
      f:write("metrics/top1", 1)
      if change then change(f) end
      f:close()
      return path
    end
    assert.equal(1, results.load(odd "fine").metrics.top1)
    for expected, change in pairs {
      ["its 'label' is 3, expected text"] = function(f) f:set_attr("label", 3) end,
      ["its 'seed' is nan, expected a finite number"] = function(f) f:set_attr("seed", math.abs(0 / 0)) end,
      ["its 'seed' is one, expected a finite number"] = function(f) f:set_attr("seed", "one") end,
      ["its 'experiment' is {a, b}, expected text"] = function(f) f:set_attr("experiment", { "a", "b" }) end,
      ["its 'config' is 3, expected a table"] = function(f) f:set_attr("config", 3) end,
      ["its 'config' is nil, expected a table"] = function(f) f:set_attr("config", "{nope") end,
      ["its 'seconds' is long, expected a finite number"] = function(f) f:set_attr("seconds", "long") end,
      ["its metric 'high' is much, expected a number"] = function(f) f:write("metrics/high", "much") end,
      ["its metric 'high' is true, expected a number"] = function(f) f:write("metrics/high", true) end,
      ["its curve 'on' is {true, false}, expected a list of numbers"] = function(f) f:write("curves/on", { true, false }) end,
    } do
      local path = odd("bad", change)
      fails(path, results.load, path)
      fails(expected, results.load, path)
      local list, problems = results.scan(folder)
      assert.equal(2, #list)
      assert.equal(1, #problems)
      os.remove(path)
    end
    local path = results.path(folder, "odd", "bare")
    local f <close> = h5.create(path)
    f:set_attr("experiment", "odd")
    f:close()
    fails("its 'label' is nil, expected text", results.load, path)
    os.remove(path)
    results.scan(folder)
    local text = support.bytes(folder .. "/index.json"):gsub('"label":"x"', '"label":["x"]')
    fs.write(folder .. "/index.json", text) -- an index is believed no more than a file
    for _, r in ipairs(results.scan(folder)) do assert.is_string(r.label) end
  end)

  it("removes what a killed process left, and only that", function()
    local f <close> = assert(io.open "/proc/sys/kernel/hostname")
    local host = f:read "l"
    local dead, alive, elsewhere, fresh = (".a.h5.%s.999999999.0.tmp"):format(host), (".a.h5.%s.1.0.tmp"):format(host),
      ".a.h5.other-machine.999999999.0.tmp", (".b.h5.%s.999999999.0.tmp"):format(host)
    for _, name in ipairs { dead, alive, elsewhere, fresh, "a.h5" } do
      fs.write(folder .. "/" .. name, "x")
      if name ~= fresh then lfs.touch(folder .. "/" .. name, os.time() - 3600) end
    end
    results.clean(folder)
    assert.is_nil(lfs.attributes(folder .. "/" .. dead))
    for _, name in ipairs { alive, elsewhere, fresh, "a.h5" } do assert.truthy(lfs.attributes(folder .. "/" .. name), name) end
  end)

  describe("on the command line", function()
    local function capture(module, ...)
      local out, real, write = {}, print, io.stdout
      _G.print = function(...) -- luacheck: ignore
        for _, v in ipairs { ... } do out[#out + 1] = tostring(v) .. "\n" end
      end
      io.stdout = { write = function(_, ...) for _, v in ipairs { ... } do out[#out + 1] = v end end } -- luacheck: ignore
      local ok, status = pcall(require("cli." .. module).run, { ... })
      _G.print, io.stdout = real, write -- luacheck: ignore
      if not ok then error(status, 0) end
      return table.concat(out), status
    end

    before_each(function()
      for seed = 1, 3 do
        for _, label in ipairs { "dual", "w/o gate" } do
          local r = record(seed, label)
          r.metrics.top1_ll = 50 + seed
          results.save(results.path(folder, "demo", label:sub(1, 1) .. seed), r)
        end
      end
      local other = record(1, "dual")
      other.config = { lr = 0.2 }
      results.save(results.path(folder, "demo", "other"), other)
    end)

    it("tables, filters and exports", function()
      local text, status = capture("results", "--folder", folder)
      assert.equal(0, status)
      assert.truthy(text:find("dual [lr=0.1]", 1, true))
      assert.truthy(text:find("dual [lr=0.2]", 1, true))
      assert.truthy(text:find("35.33 ± 2.48", 1, true))
      local csv = capture("results", "gate", "--folder", folder, "--csv", "--columns", "top1")
      assert.equal("variant,top1,top1_ci95\nw/o gate,35.3333,2.48417\n", csv)
      assert.equal(csv, (capture("results", "gate", "--folder", folder, "--csv", "--columns", " Top-1 ")))
      assert.has_error(function() capture("results", "gate", "--folder", folder, "--columns", "top1,top11") end,
        "--columns: unknown metric 'top11'; did you mean 'top1'?")
      local list = require("dkjson").decode((capture("results", "--folder", folder, "--json")))
      assert.equal(3, #list)
      assert.truthy(capture("results", "--folder", folder, "--html"):find("</table>", 1, true))
      local _, none = capture("results", "nothing", "--folder", folder)
      assert.equal(1, none)
      assert.is_nil(package.loaded.torch)
    end)

    it("writes a page that shows names as they are, and each experiment's own numbers", function()
      for i, label in ipairs { "<script>alert(1)</script>", "it's \"5% & more\"" } do
        local r = record(1, label)
        r.experiment, r.metrics = "other", { luma_x = 4.5, luma = 3.25 }
        results.save(results.path(folder, "other", "x" .. i), r)
      end
      local page = capture("results", "--folder", folder, "--html")
      assert.is_nil(page:find("<script", 1, true))
      assert.truthy(page:find("&lt;script&gt;alert(1)&lt;/script&gt;", 1, true))
      assert.truthy(page:find("it&#39;s &quot;5% &amp; more&quot;", 1, true))
      assert.truthy(page:find("<caption>mean ± 95% interval over seeds</caption>", 1, true))
      assert.truthy(page:find('<td>35.33 <span class="half">± 2.48</span></td>', 1, true))
      assert.truthy(page:find("<td>3.25</td><td>4.50</td>", 1, true))
      local _, rules = page:gsub('<tr class="rule">', "")
      assert.equal(1, rules)
      local _, opened = page:gsub("<tr", "")
      local _, closed = page:gsub("</tr>", "")
      assert.equal(closed, opened)
      local csv = capture("results", "other", "--folder", folder, "--csv")
      assert.truthy(csv:find('"it\'s ""5% & more"""', 1, true), csv)
      local list = require("dkjson").decode((capture("results", "other", "--folder", folder, "--json")))
      assert.equal(2, #list)
      assert.truthy(list[1].variant == "<script>alert(1)</script>" or list[2].variant == "<script>alert(1)</script>")
    end)

    it("makes of a name that is no text something that can be read", function()
      local r = record(1, "bad \xff\27[31m\nname")
      r.experiment = "broken"
      results.save(results.path(folder, "broken", "x"), r)
      local shown = "bad \u{FFFD} [31m name"
      for _, mode in ipairs { "--csv", "--html", "--columns=top1" } do
        local text = capture("results", "broken", "--folder", folder, mode)
        assert.truthy(text:find(shown, 1, true) and utf8.len(text) and not text:find "\27", mode)
      end
      local list = require("dkjson").decode((capture("results", "broken", "--folder", folder, "--json")))
      assert.equal(shown, list[1].variant)
    end)

    it("says what is in a file", function()
      assert.truthy(capture("info", folder .. "/demo-other.h5"):find("top1", 1, true))
      assert.truthy(capture("info", folder):find("trials", 1, true))
      local golden = dgamlua.root .. "/tests/golden/checkpoints/"
      for _, name in ipairs { "mmcv_zip.pth", "mmcv_legacy.pth", "model.safetensors", "malicious_zip.pth" } do
        local text = capture("info", golden .. name)
        assert.truthy(text:find("12 tensors, 499 values", 1, true), name)
        assert.truthy(text:find("backbone.patch_embed.proj.weight  float32   [4, 3, 2, 4, 4]", 1, true), name)
      end
      assert.truthy(capture("info", golden .. "expected.h5"):find("12 datasets", 1, true))
      fails("cut off", capture, "info", golden .. "truncated_zip.pth")
      fails("no such file", capture, "info", golden .. "none.pth")
      fs.write(folder .. "/empty.h5", "")
      fails("empty", capture, "info", folder .. "/empty.h5")
      assert.is_nil(package.loaded.torch)
    end)

    it("converts checkpoints both ways", function()
      local golden = dgamlua.root .. "/tests/golden/checkpoints/"
      capture("convert", golden .. "mmcv_zip.pth", folder .. "/a.h5")
      capture("convert", folder .. "/a.h5", folder .. "/b.safetensors")
      capture("convert", folder .. "/b.safetensors", folder .. "/c.h5")
      assert.equal(fs.sha256_file(folder .. "/a.h5"), fs.sha256_file(folder .. "/c.h5"))
      fails("posix.system", capture, "convert", golden .. "malicious_zip.pth", folder .. "/d.h5")
      fails("read only", capture, "convert", golden .. "mmcv_zip.pth", folder .. "/d.pth")
      assert.is_nil(lfs.attributes(folder .. "/d.h5"))
    end)
  end)
end)
