-- darken: bright videos seen by the camera model in the dark.
local fs = require "dgamnative.fs"
local lfs = require "lfs"
local lists = require "dgam.data.lists"
local torch = require "torch"
local scene = require "dgam.kernels.scene"
local video = require "dgam.kernels.video"
local darken = require "dgam.data.darken"
local cli = require "cli.darken"
local shell = require "util.shell"
local support = require "support"
local message = support.message
local bytes = support.bytes

local quiet = { advance = function() end, finish = function() end }

local folder

local function luma(path)
  local v <close> = video.open(path)
  return v:frames(1, v:count()):float():mean():item()
end

describe("darken", function()
  setup(function()
    folder = support.folder()
    assert(lfs.mkdir(folder .. "/in") and lfs.mkdir(folder .. "/in/a b"))
    scene.write {
      { action = "wave", width = 96, height = 64, frames = 9, every = 1, fps = 30, lux = 400, path = folder .. "/in/a b/wave.avi" },
      { action = "jump", width = 65, height = 49, frames = 7, every = 1, fps = 30, lux = 400, path = folder .. "/in/jump.avi" },
    }
    local f = assert(io.open(folder .. "/in/broken.mp4", "wb"))
    f:write "no video"
    f:close()
  end)
  teardown(function() support.remove(folder) end)

  it("undoes sRGB and averages blocks", function()
    local x = torch.tensor { { { { 0, 255 }, { 128, 10 } } } }:to "uint8":expand(1, 3, 2, 2)
    local want = (0 + 1 + ((128 / 255 + 0.055) / 1.055) ^ 2.4 + 10 / 255 / 12.92) / 4
    assert.is_true(math.abs(darken.light(x, 2):max():item() - want) < 1e-6)
    local all = torch.arange(0, 256):to "uint8":view(1, 1, 16, 16):expand(2, 3, 16, 16)
    local v = all:float() / 255
    v = torch.where(v:le(0.04045), v / 12.92, ((v + 0.055) / 1.055):pow(2.4))
    assert.is_true((darken.light(all, 1) - v):abs():max():item() < 1e-6)
  end)

  it("keeps length, rate and names, and writes down what was used", function()
    local out = folder .. "/one.avi"
    local how = darken.file(folder .. "/in/a b/wave.avi", out, { camera = "brio", lux = 0.5 })
    local info = video.info(out)
    assert.same({ 48, 32, 9, 30 }, { info.width, info.height, info.frames, math.floor(info.fps + 0.5) })
    assert.is_true(luma(out) < 0.25 * luma(folder .. "/in/a b/wave.avi"))
    assert.equal(0.5, how.lux)
    local text = bytes(out .. ".camera.txt")
    for _, line in ipairs { "camera = brio", "lux = 0.5", "gain = 16", "frames = 9", "source = wave.avi" } do
      assert.is_truthy(text:find(line, 1, true), line)
    end
    assert.is_nil(darken.file(folder .. "/in/a b/wave.avi", out, { lux = 0.5 })) -- exists
    local first = bytes(out)
    darken.file(folder .. "/in/a b/wave.avi", out, { camera = "brio", lux = 0.5, overwrite = true })
    assert.is_true(first == bytes(out))
    darken.file(folder .. "/in/a b/wave.avi", out, { camera = "brio", lux = 0.5, overwrite = true, seed = 2 })
    assert.is_false(first == bytes(out))
  end)

  it("gets darker with less light, and noisier without the denoiser", function()
    local function at(options)
      local out = folder .. "/two.avi"
      options.overwrite = true
      darken.file(folder .. "/in/a b/wave.avi", out, options)
      local v <close> = video.open(out)
      local x = v:frames(1, 9):float()
      return x:mean():item(), (x:select(1, 9) - x:select(1, 8)):std():item()
    end
    local bright, noise = at { lux = 2 }
    local dim = at { lux = 0.3 }
    assert.is_true(dim < bright)
    local _, rough = at { lux = 2, stages = { temporal = false, spatial = false, coring = false } }
    assert.is_true(rough > noise)
  end)

  it("holds few frames of a large video", function()
    local path = folder .. "/large.avi"
    local e <close> = video.encoder(path, { width = 1920, height = 1080, fps = 30 })
    for n = 1, 8 do e:write(torch.full({ 3, 1080, 1920 }, 10 * n):to "uint8") end
    e:finish()
    local f <close> = assert(io.open(folder .. "/large.lua", "wb"))
    f:write(([[
      local function kb(name) return io.open "/proc/self/status":read "a":match(name .. ":%%s+(%%d+)") end
      require "torch".ones(1)
      local before = kb "VmRSS"
      require "dgam.data.darken".file(%q, %q, { scale = 8, lux = 1 })
      print(kb "VmHWM" - before)]]):format(path, folder .. "/large dark.avi"))
    f:close()
    local pipe <close> = assert(io.popen(("exec %s '%s/large.lua'"):format(shell.program(), folder)))
    local grown = pipe:read "n" / 1024
    assert.is_true(grown < 700, ("%.0f MB"):format(grown)) -- 8 frames as floats are 190, and so is every step of a formula
  end)

  it("exposes over as many frames as an exposure lasts", function()
    -- Bright and black frames in turn: at 120 a second six of them fall into Brio's 50 ms, at 15 less than one.
    local function flicker(fps)
      local path, out = folder .. "/flicker.avi", folder .. "/exposed.avi"
      local e <close> = video.encoder(path, { width = 32, height = 32, fps = fps, quality = 100 })
      for n = 1, 18 do e:write(torch.full({ 3, 32, 32 }, n % 2 * 200):to "uint8") end
      e:finish()
      local how = darken.file(path, out, { camera = "brio", lux = 2, overwrite = true,
        stages = { shot = false, read = false, pattern = false, temporal = false, spatial = false } })
      assert.is_true(math.abs(how.time - 0.05) < 1e-9)
      local v <close> = video.open(out)
      local means = v:frames(1, 12):float():mean { 2, 3, 4 } -- at the end the last frame stands for those that are missing
      return (means:max() - means:min()):item() / means:mean():item()
    end
    local fast, slow = flicker(120), flicker(15)
    assert.is_true(fast < 0.12, ("120 frames a second: %.3f"):format(fast))
    assert.is_true(slow > 0.25, ("15 frames a second: %.3f"):format(slow))
  end)

  it("does a tree, and goes on past a file that is no video", function()
    local r = darken.tree(folder .. "/in", folder .. "/out", { camera = "c920", light = "LL" }, quiet)
    local again = darken.tree(folder .. "/in", folder .. "/out", { camera = "c920", light = "LL" }, quiet)
    assert.same({ 2, 0, 1 }, { r.done, r.kept, #r.failed })
    assert.equal(folder .. "/in/broken.mp4", r.failed[1]:match "^[^:]*") -- no line of a script before it
    assert.same({ 0, 2 }, { again.done, again.kept })
    local other = message(darken.tree, folder .. "/in", folder .. "/out", { camera = "c920", light = "ELL" }, quiet)
    assert.truthy(other:find("was made with camera=c920 light=LL scale=2, not camera=c920 light=ELL scale=2", 1, true), other)
    assert.is_truthy(lfs.attributes(folder .. "/out/a b/wave.avi", "mode"))
    assert.is_nil(lfs.attributes(folder .. "/out/broken.mp4", "mode"))
    assert.equal(32, video.info(folder .. "/out/jump.avi").width)
  end)

  it("gives every video a name of its own, and goes round no circle", function()
    local function tree(name, files)
      assert(lfs.mkdir(folder .. "/" .. name))
      for _, file in ipairs(files) do
        assert(os.execute(("cp '%s/in/jump.avi' '%s/%s/%s'"):format(folder, folder, name, file)))
      end
      return folder .. "/" .. name
    end
    local function names(path)
      local f <close> = assert(io.popen(("cd '%s' && find . -name '*.avi' | LC_ALL=C sort"):format(path)))
      return f:read "a"
    end
    local bright = tree("names", { "a.avi", "a.webm", "b.webm", "c.webm", "c.wmv" })
    assert(lfs.link(".", bright .. "/loop", true))
    assert(lfs.mkdir(bright .. "/shots.1"))
    local f <close> = assert(io.open(bright .. "/shots.1/1.ppm", "wb"))
    f:write("P6 16 16 255\n", ("x"):rep(3 * 16 * 16))
    f:close()
    local r = darken.tree(bright, folder .. "/names out", {}, quiet)
    assert.same({ 6, {} }, { r.done, r.failed })
    assert.equal("./a.avi\n./a.webm.avi\n./b.avi\n./c.webm.avi\n./c.wmv.avi\n./shots.1.avi\n", names(folder .. "/names out"))
    bright = tree("clash", { "a.avi", "a.webm", "a.webm.avi" })
    assert.matches("a.webm and a.webm.avi would both become a.webm.avi", message(darken.tree, bright, folder .. "/clash out"))
    assert.is_nil(lfs.attributes(folder .. "/clash out"))
  end)

  it("does not darken what it made: OUT inside IN is left out", function()
    local tree = folder .. "/around"
    assert(lfs.mkdir(tree))
    assert(os.execute(("cp '%s/in/jump.avi' '%s/a.avi'"):format(folder, tree)))
    for _, n in ipairs { { 1, 0 }, { 0, 1 } } do
      local r = darken.tree(tree, tree .. "/dark/deep", {}, quiet)
      assert.same(n, { r.done, r.kept })
    end
    local r = darken.tree(tree, tree .. "/dark/deep/../deep/.", { overwrite = true }, quiet)
    assert.same({ 1, {} }, { r.done, r.failed })
    assert.is_nil(lfs.attributes(tree .. "/dark/deep/dark"))
  end)

  it("removes what a killed run left of its videos, and nothing else", function()
    local out = folder .. "/left"
    local pipe <close> = assert(io.popen "sh -c 'echo $$'") -- a process that is gone
    local gone, here = pipe:read "n", lfs.symlinkattributes("/proc/self", "target")
    local function leave(name) fs.write(out .. "/" .. name, "half a video") end
    local function left() return #lists.folder(out .. "/a b") end
    assert(lfs.mkdir(out) and lfs.mkdir(out .. "/a b"))
    leave(("a b/wave.avi.%d-0.part"):format(gone))
    leave(("a b/wave.avi.%s-7.part"):format(here))
    leave(("a b/other.avi.%d-0.part"):format(gone))
    darken.tree(folder .. "/in", out, {}, quiet)
    assert.equal(4, left()) -- two, the video and what was used
    leave(("a b/wave.avi.%d-0.part"):format(gone))
    assert.is_nil(darken.file(folder .. "/in/a b/wave.avi", out .. "/a b/wave.avi"))
    assert.equal(4, left())
  end)

  it("takes a folder of pictures for one video where OUT is called like one", function()
    local pictures, out = folder .. "/pictures", folder .. "/of pictures.avi"
    assert(lfs.mkdir(pictures))
    for i = 1, 3 do fs.write(("%s/%d.ppm"):format(pictures, i), "P6 16 16 255\n" .. ("x"):rep(3 * 16 * 16)) end
    local function run(...)
      local words = { shell.program(), "darken" }
      for _, word in ipairs { ... } do words[#words + 1] = shell.quote(word) end
      local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
      local said = pipe:read "a"
      return select(3, pipe:close()), said
    end
    local status, said = run(pictures .. "/", out)
    assert.equal(0, status, said)
    assert.truthy(said:find("of pictures.avi: 3 frames of 8 x 8", 1, true), said)
    assert.equal(0, (run(folder .. "/in/jump.avi", folder .. "/as before.avi")))
    assert.matches("holds no video", select(2, run(pictures, folder .. "/of pictures")))
    assert.matches("exists; %-%-overwrite", select(2, run(pictures, out)))
    assert.is_false(darken.is_file(folder .. "/in", folder .. "/in.avi"))
    assert.is_false(darken.is_file(pictures, folder .. "/in"))
    local within = pictures .. "/all.avi" -- the second time the folder holds it
    for _ = 1, 2 do assert.equal(0, (run(pictures, within, "--overwrite"))) end
  end)

  it("gives up on a file after the seconds it is told", function()
    local bright, out = folder .. "/in/jump.avi", folder .. "/in time.avi"
    assert.matches("in/jump.avi", message(darken.file, bright, out, { seconds = 1e-9 }), 1, true)
    assert.is_nil(lfs.attributes(out))
    darken.file(bright, out, { seconds = 600 })
    assert.is_nil(bytes(out .. ".camera.txt"):find "seconds") -- the video is the same
    assert.equal("darken: seconds is 0, expected a finite number above 0", message(darken.file, bright, out, { seconds = 0 }))
  end)

  it("never writes over its input", function()
    local tree, out = folder .. "/own", folder .. "/ownout"
    assert(lfs.mkdir(tree) and lfs.mkdir(out))
    assert(os.execute(("cp '%s/in/jump.avi' '%s/a.avi'"):format(folder, tree)))
    local original = bytes(tree .. "/a.avi")
    assert.matches("own is input and output at once", message(darken.tree, tree, tree .. "/.", { overwrite = true }))
    assert(lfs.link(tree .. "/a.avi", out .. "/a.avi", true))
    local r = darken.tree(tree, out, { overwrite = true }, quiet)
    assert.same({ 0, 1 }, { r.done, #r.failed })
    assert.is_true(original == bytes(tree .. "/a.avi"))
  end)

  it("refuses what it cannot do", function()
    local bright = folder .. "/in/jump.avi"
    assert.matches("input and output at once", message(darken.file, bright, bright))
    assert.matches("does not exist", message(darken.file, folder .. "/none.avi", folder .. "/x.avi"))
    assert.matches("'webm'", message(darken.file, bright, folder .. "/x.webm"))
    assert.matches("scale is 1", message(darken.file, bright, folder .. "/x.avi", { scale = 1 }))
    assert.matches("lux is %-1", message(darken.file, bright, folder .. "/x.avi", { lux = -1 }))
    assert.matches("did you mean 'brio'", message(darken.file, bright, folder .. "/x.avi", { camera = "bri" }))
    assert.matches("less than the 8 x 8", message(darken.file, bright, folder .. "/x.avi", { scale = 8 }))
    assert.matches("did you mean 'coring'", message(darken.file, bright, folder .. "/x.avi", { stages = { coringg = false } }))
    assert.is_nil(lfs.attributes(folder .. "/x.avi", "mode"))
    assert.matches("is not a folder", message(darken.tree, bright, folder .. "/y"))
  end)

  it("says once, before the first file, what is wrong with an option", function()
    local function said(options) return message(darken.tree, folder .. "/in", folder .. "/never", options, quiet) end
    assert.equal("darken: unknown option 'corin'; did you mean 'coring'?", said { stages = { corin = false } })
    assert.equal("darken: jitter is -1, expected 1 to 100", said { jitter = -1 })
    assert.equal("darken: option 'seed' is 1.5, expected a whole number", said { seed = 1.5 })
    assert.equal("darken: stages is jpeg, expected a table", said { stages = "jpeg" })
    assert.is_nil(lfs.attributes(folder .. "/never"))
  end)

  it("leaves no video without what was used, and no such text without a video", function()
    local out = folder .. "/beside.avi"
    assert(lfs.mkdir(out .. ".camera.txt"))
    assert.matches("beside.avi.camera.txt", message(darken.file, folder .. "/in/jump.avi", out), 1, true)
    assert.is_nil(lfs.attributes(out))
    assert(lfs.rmdir(out .. ".camera.txt") and lfs.mkdir(out))
    assert.matches("beside.avi", message(darken.file, folder .. "/in/jump.avi", out, { overwrite = true }), 1, true)
    assert.is_nil(lfs.attributes(out .. ".camera.txt"))
  end)

  it("reads its command line", function()
    local job = cli.parse { "in", "--camera=c920", "--lux", "0.1", "out", "--without", "jpeg", "--overwrite" }
    assert.same({ input = "in", output = "out", options = { camera = "c920", lux = 0.1, stages = { jpeg = false },
      overwrite = true } }, job)
    assert.same({ seconds = 600.0 }, cli.parse({ "in", "out", "--seconds", "600" }).options)
    for _, word in ipairs { "false", "no", "" } do
      assert.equal("--overwrite is '" .. word .. "', expected no value", select(2, cli.parse { "in", "out", "--overwrite=" .. word }))
    end
    assert.matches("expected IN and OUT", select(2, cli.parse { "in" }))
    assert.matches("did you mean '%-%-lux'", select(2, cli.parse { "in", "out", "--lx", "1" }))
    assert.matches("expected a whole number", select(2, cli.parse { "in", "out", "--scale", "2.5" }))
  end)
end)
