-- dgam.video: frames by number, sampling, writing, and what bad files say.
local torch = require "torch"
local film = require "film"
local lfs = require "lfs"
local video = require "dgam.kernels.video"
local support = require "support"

describe("dgam.video", function()
  local dir
  setup(function()
    dir = support.folder()
    film.write(dir .. "/a.avi", 40, 64, 48, { fps = 25 })
    film.write(dir .. "/b.mp4", 40, 64, 48, { codec = "mpeg4", options = "g=10:bf=2:b=2000000", fps = 30000 / 1001 })
  end)
  teardown(function() support.remove(dir) end)

  it("tells what is in a file", function()
    local info = video.info(dir .. "/a.avi")
    assert.same({ 64, 48, 40, 25, "mjpeg", "avi", true, 0 },
      { info.width, info.height, info.frames, info.fps, info.codec, info.format, info.intra, info.rotation })
    assert.near(29.97, video.info(dir .. "/b.mp4").fps, 1e-3)
    local v = video.open(dir .. "/a.avi")
    assert.equal("video (mjpeg, 64 x 48, 40 frames, 25.0 per second)", tostring(v))
    v:close()
    assert.equal("video (closed)", tostring(v))
    assert.has_error(function() v:info() end, "this video is closed")
    v:close()
  end)

  it("gives frames by number, in any order", function()
    for _, name in ipairs { "/a.avi", "/b.mp4" } do
      local v <close> = video.open(dir .. name)
      local wanted = { 40, 1, 17, 17, 2 }
      local frames = v:frames(wanted)
      assert.same({ 5, 3, 48, 64 }, frames.shape)
      for i, k in ipairs(wanted) do assert.equal(k, film.number(frames[i]:float():mean():item())) end
      assert.equal(40, v:frames().shape[1])
      assert.equal(3, v:frames(5, 7).shape[1])
      assert.equal(5, film.number(v:frames(5):float():mean():item()))
      assert.same({ 40 }, { v:count() })
      assert.is_nil(v:info().damage)
    end
  end)

  it("says what counting found damaged", function()
    local whole = support.bytes(dir .. "/a.avi")
    film.text(dir .. "/half.avi", whole:sub(1, #whole // 2))
    local v <close> = video.open(dir .. "/half.avi")
    local frames, damage = v:count()
    assert.True(frames > 10 and frames < 30)
    assert.matches(("^cut off: the file ends at byte %d, its list of frames goes on to byte %%d+; %d frames come out$"):format(
      #whole // 2, frames), damage)
    assert.equal(damage, v:info().damage)
    local pool <close> = video.pool(1)
    pool:submit(dir .. "/half.avi")
    assert.equal(damage, pool:next().damage)
  end)

  it("refuses frames that are not there", function()
    local v <close> = video.open(dir .. "/a.avi")
    assert.has_error(function() v:frames { 41 } end, "frame 41 is wanted, the video has 1 to 40")
    assert.has_error(function() v:frames { 0 } end, "frame 0 is wanted, the video has 1 to 40")
    assert.has_error(function() v:frames { 1.5 } end, "frame number 1 is 1.5, expected a whole number")
  end)

  it("samples views", function()
    local v <close> = video.open(dir .. "/a.avi")
    local s = video.sampling { rule = "test", crop = "three", clips = 2, clip_len = 4, interval = 3, size = 32, short = 40 }
    assert.same({ 6, 3, 4, 32, 32 }, { s:shape() })
    local clips = v:sample(s)
    assert.same({ 6, 3, 4, 32, 32 }, clips.shape)
    local plan = s:views { width = 64, height = 48, frames = 40 }
    for i, view in ipairs(plan) do assert.same(view.frames, film.numbers(clips[i])) end
    assert.same({ 8, 11, 14, 17 }, plan[1].frames)
    assert.same({ 0, 20, 10 }, { plan[1].window_x, plan[2].window_x, plan[3].window_x })
    -- the same draw for the same numbers only
    local r = video.sampling { clip_len = 4, interval = 1, size = 16, seed = 5 }
    local info = { width = 64, height = 48, frames = 40 }
    assert.same(r:views(info, 1, 2), r:views(info, 1, 2))
    assert.not_same(r:views(info, 1, 2), r:views(info, 2, 1))
  end)

  it("names what is wrong with a sampling", function()
    local function message(o) return select(2, pcall(video.sampling, o)) end
    assert.matches("unknown option 'sise'; did you mean 'size'", message { sise = 3 })
    assert.matches("option 'rule' is 'tset', expected one of train, test, test%-1.x", message { rule = "tset" })
    assert.matches("clip_len is 0", message { clip_len = 0 })
    assert.matches("short_side is 10", message { crop = "centre", size = 32, short = 10 })
    assert.matches("area is 0 to 1", message { area = { 0, 1 } })
    assert.matches("clips x positions x crops are 65536 x 65536 x 1",
      message { rule = "dense-test", clips = 65536, positions = 65536, crop = "centre", size = 8, clip_len = 1 })
  end)

  it("writes the same bytes for the same frames, and only whole files", function()
    film.write(dir .. "/c.avi", 5, 33, 17)
    film.write(dir .. "/d.avi", 5, 33, 17)
    local function bytes(p) local f = assert(io.open(p, "rb")) local s = f:read "a" f:close() return s end
    assert.is_true(bytes(dir .. "/c.avi") == bytes(dir .. "/d.avi"))
    do
      local e <close> = video.encoder(dir .. "/e.avi", { width = 8, height = 8 })
      e:write(torch.zeros({ 3, 8, 8 }, { dtype = "uint8" }))
      assert.has_error(function() e:write(torch.zeros(3, 8, 8)) end)
    end
    assert.is_nil(io.open(dir .. "/e.avi"))
    assert.has_error(function() video.encoder("/nonexistent/x.avi", { width = 8, height = 8 }) end)
  end)

  it("goes through a file once, unless told not to", function()
    local function entries(folder)
      local n = 0
      for name in lfs.dir(folder) do n = n + (name:match "%.idx$" and 1 or 0) end
      return n
    end
    local folder, path = dir .. "/index", dir .. "/old.mp4"
    assert(lfs.mkdir(folder))
    film.write(path, 20, 64, 48, { codec = "mpeg4", options = "g=10:bf=2:b=2000000" })
    lfs.touch(path, os.time() - 60)
    video.info(path, { index = false })
    assert.equal(0, entries(folder))
    local before = video.index
    video.index = folder
    finally(function() video.index = before end)
    local first = video.info(path)
    assert.equal(1, entries(folder))
    assert.same(first, video.info(path))
    local pool <close> = video.pool(2)
    for _ = 1, 4 do pool:submit(path, video.sampling { clip_len = 4, size = 16 }) end
    for _ = 1, 4 do assert.equal(20, pool:next().frames) end
    film.write(path, 30, 64, 48, { codec = "mpeg4", options = "g=10:bf=2:b=2000000" })
    assert.equal(30, video.info(path).frames)
    assert.has_error(function() video.info(path, { index = 3 }) end, "option 'index' is 3, expected a string")
  end)

  it("tells that pictures are stored mirrored, also from the index", function()
    local path, before = dir .. "/upside-down.mp4", video.index
    local bytes = support.bytes(dir .. "/b.mp4")
    local at = bytes:find("tkhd", 1, true) + 44 -- its matrix
    film.text(path, bytes:sub(1, at - 1) .. (">i4i4i4i4i4"):pack(65536, 0, 0, 0, -65536) .. bytes:sub(at + 20))
    lfs.touch(path, os.time() - 60)
    video.index = dir
    finally(function() video.index = before end)
    for _ = 1, 2 do
      local info = video.info(path)
      assert.same({ 180, true }, { info.rotation, info.mirrored })
    end
    local said, real = {}, print
    _G.print = function(line) said[#said + 1] = line end -- luacheck: ignore
    local ok, why = pcall(require("cli.info").run, { path })
    _G.print = real -- luacheck: ignore
    assert(ok, why)
    assert.matches("64 x 48, turned by 180 degrees, mirrored", table.concat(said, "\n"), 1, true)
    assert.False(video.info(dir .. "/b.mp4").mirrored)
  end)

  it("turns the pictures of a folder as their EXIF data say, each for itself", function()
    torch.manual_seed(1)
    video.write(dir .. "/one.avi", torch.randint(256, { 1, 3, 48, 64 }, { dtype = "uint8" }), { width = 64, height = 48, fps = 1 })
    local jpeg = support.bytes(dir .. "/one.avi"):match "\xFF\xD8.*\xFF\xD9"
    local function picture(folder, name, orientation)
      lfs.mkdir(dir .. "/" .. folder)
      local exif = "Exif\0\0" .. ("<c2I2I4 I2 I2I2I4I2I2 I4"):pack("II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
      film.text(("%s/%s/%s.jpg"):format(dir, folder, name),
        jpeg:sub(1, 2) .. (">I2I2"):pack(0xFFE1, #exif + 2) .. exif .. jpeg:sub(3))
    end
    local function t(x) return x:transpose(2, 3) end
    local shown = { -- EXIF 2.3, orientation 1 to 8: what is seen of a stored picture [3, H, W]
      function(x) return x end, function(x) return x:flip { 3 } end, function(x) return x:flip { 2, 3 } end,
      function(x) return x:flip { 2 } end, t, function(x) return t(x):flip { 3 } end, function(x) return t(x):flip { 2, 3 } end,
      function(x) return t(x):flip { 2 } end,
    }
    local v <close> = video.open(dir .. "/one.avi")
    local stored = v:frames(1, 1)[1]
    for n, view in ipairs(shown) do
      picture("turned" .. n, 1, n)
      picture("mixed", n, n)
      local f <close> = video.open(("%s/turned%d"):format(dir, n))
      local frame, want = f:frames(1, 1)[1], view(stored)
      assert.same(want.shape, frame.shape)
      assert.equal(0, (frame:int() - want:int()):abs():max():item())
    end
    picture("none", 1, 9) -- no such orientation
    local none <close> = video.open(dir .. "/none")
    assert.equal(0, (none:frames(1, 1)[1]:int() - stored:int()):abs():max():item())
    local mixed <close> = video.open(dir .. "/mixed") -- the size is that of the first picture, which others are fitted to
    local frames = mixed:frames(1, 8)
    for n = 1, 4 do assert.equal(0, (frames[n]:int() - shown[n](stored):int()):abs():max():item()) end
  end)

  it("says what is wrong with a file", function()
    film.text(dir .. "/empty.avi", "")
    film.text(dir .. "/text.avi", ("no video at all\n"):rep(1000))
    local whole = assert(io.open(dir .. "/b.mp4", "rb"))
    film.text(dir .. "/cut.mp4", whole:read(2000))
    whole:close()
    local function message(name) return select(2, pcall(video.open, dir .. name)) end
    assert.matches("/none.avi: cannot open the video: No such file", message "/none.avi", 1, true)
    assert.matches("/empty.avi: the file is empty", message "/empty.avi", 1, true)
    assert.matches("/text.avi: this is not a video file", message "/text.avi", 1, true)
    assert.matches("/cut.mp4: ", message "/cut.mp4", 1, true)
    assert.matches("there is no picture in this folder", message "", 1, true)
    assert.has_error(function() video.open(3) end, "video.open: the path is a number, expected a string")
  end)
end)
