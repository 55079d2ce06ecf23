-- The loader in the long run: a cache of decoded clips, files that vanish, memory, descriptors, Ctrl-C.
local film = require "film"
local data = require "dgam.data"
local lfs = require "lfs"
local shell = require "util.shell"
local support = require "support"
local fails = support.fails_like
local torch = require "torch"

describe("dgam.data", function()
  local dir
  setup(function()
    dir = film.dataset()
  end)
  teardown(function() support.remove(dir) end)

  describe("loader with a cache", function()
    local folder
    setup(function() -- files that changed just now are not entered
      local old = os.time() - 100
      for _, item in ipairs(data.open(dir).items) do assert(lfs.touch(item.path, old, old)) end
    end)
    before_each(function() folder = support.folder() end)
    after_each(function() support.remove(folder) end)

    local function names()
      local list = {}
      for name in lfs.dir(folder) do
        if name:sub(1, 1) ~= "." or #name > 2 then list[#list + 1] = name end
      end
      table.sort(list)
      return list
    end

    local function pass(more, epochs)
      local o = { split = "train", batch = 5, clip_len = 4, interval = 2, size = 24, train = true, seed = 7, quiet = true }
      for k, v in pairs(more or {}) do o[k] = v end
      local l <close> = data.loader(data.open(dir), o)
      local clips = {}
      for e = 1, epochs or 2 do
        for batch in l:epoch(e) do clips[#clips + 1] = batch.clip end
      end
      return clips, l:hits(), l:summary()
    end

    local function same(a, b)
      assert.equal(#a, #b)
      for i, clip in ipairs(a) do assert.is_true(torch.equal(clip, b[i])) end
    end

    it("gives the same batches, from disk the second time", function()
      local cache = { folder = folder, gigabytes = 1 }
      local more = { jitter = 0.4, erasing = 0.5 }
      local want = pass(more)
      more.cache = cache
      local first, none = pass(more)
      same(want, first)
      assert.equal(0, none)
      assert.equal(24, #names())
      more.threads = 3
      local second, all, summary = pass(more)
      same(want, second)
      assert.equal(1, all)
      assert.equal("100% of 24 clips came from the cache", summary)
      more.jitter = nil -- other changes of pixels, the same views
      local _, still = pass(more)
      assert.equal(1, still)
      more.seed = 8 -- other draws
      assert.equal(0, select(2, pass(more)))
    end)

    it("is left with break, by a loop whose body holds a function, and begun again", function()
      local l <close> = data.loader(data.open(dir), { split = "train", batch = 2, clip_len = 4, size = 24, train = true })
      local seen = { 0, 0, 0 }
      for epoch = 1, 3 do
        for batch in l:epoch(epoch) do
          local count = function() return #batch.label end
          if epoch == 2 then break end
          seen[epoch] = seen[epoch] + count()
        end
      end
      assert.is_true(seen[1] > 0)
      assert.equal(seen[1], seen[3])
    end)

    it("serves every epoch of what is measured, whatever the seed, and few draws of what trains", function()
      local cache = { folder = folder, gigabytes = 1 }
      local views = { split = "val", train = false, views = { clips = 2, crops = 3 }, cache = cache }
      local _, hits = pass(views, 4)
      assert.equal(0.75, hits)
      views.seed = 99
      assert.equal(1, select(2, pass(views, 1)))
      local want = pass({ draws = 2, randaugment = 5 }, 5)
      local got, share = pass({ draws = 2, randaugment = 5, cache = cache }, 5)
      same(want, got)
      assert.equal(0.6, share)
      local l1 <close> = data.loader(data.open(dir), { split = "train", train = true, shuffle = false, size = 24, clip_len = 4, draws = 2 })
      local one, three = l1:epoch(1)().clip, l1:epoch(3)().clip
      assert.is_true(torch.equal(one, three))
      assert.is_false(torch.equal(one, l1:epoch(2)().clip))
    end)

    it("does not use an entry that is damaged, another's, or of a file that changed", function()
      local more = { cache = { folder = folder, gigabytes = 1 } }
      local want = pass(more, 1)
      local list = names()
      for i, name in ipairs(list) do
        local path = folder .. "/" .. name
        local f = assert(io.open(path, "rb"))
        local bytes = f:read "a"
        f:close()
        if i % 4 == 0 then
          film.text(path, bytes:sub(1, #bytes // 2))
        elseif i % 4 == 1 then
          film.text(path, bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1))
        elseif i % 4 == 2 then
          film.text(path, "")
        else
          film.text(path, bytes:sub(1, 700) .. "!" .. bytes:sub(702))
        end
      end
      local got, hits = pass(more, 1)
      same(want, got)
      assert.equal(0, hits)
      got, hits = pass(more, 1)
      same(want, got)
      assert.equal(1, hits)
      local path = data.open(dir):split("train").items[3].path
      local old = os.time() - 50
      lfs.touch(path, old, old)
      got, hits = pass(more, 1)
      same(want, got)
      assert.is_true(math.abs(hits - 11 / 12) < 1e-9)
      os.rename(folder .. "/" .. list[1], folder .. "/" .. list[2])
      same(want, (pass(more, 1)))
    end)

    it("keeps to its size, throwing out what earlier runs used", function()
      local one = 3 * 4 * 24 * 24 + 1000 -- bytes of a clip and more
      local cache = { folder = folder, gigabytes = 6 * one / 1e9 }
      local function bytes()
        local sum = 0
        for _, name in ipairs(names()) do sum = sum + lfs.attributes(folder .. "/" .. name, "size") end
        return sum
      end
      local want = pass({}, 2)
      local _, hits = pass({ cache = cache, draws = 1 }, 2)
      assert.equal(0.25, hits) -- 6 of 12 fit, and stay
      assert.is_true(bytes() <= 6 * one and bytes() > 5 * one * 0.9)
      local mine = names()
      local got = pass({ cache = cache, seed = 5 }, 1)
      same(pass({ seed = 5 }, 1), got)
      assert.not_same(mine, names())
      assert.is_true(bytes() <= 6 * one)
      local again = select(2, pass({ cache = cache, seed = 5 }, 1))
      assert.is_true(again > 0 and again <= 0.5)
      same(want, (pass({ cache = cache }, 2)))
    end)

    it("can be shared by processes", function()
      local script = folder .. "/run.lua"
      film.text(script, ([[
        local data = require "dgam.data"
        local l = data.loader(data.open(%q), { split = "train", batch = 5, clip_len = 4, size = 24, train = true, seed = 7,
          cache = { folder = %q, gigabytes = 1 }, threads = 2 })
        local sum = 0
        for e = 1, 3 do
          for batch in l:epoch(e) do sum = sum + batch.clip:double():sum():item() end
        end
        print(math.tointeger(sum))
      ]]):format(dir, folder))
      local pipes, sums = {}, {}
      for i = 1, 3 do pipes[i] = assert(io.popen(("OMP_NUM_THREADS=1 %s '%s'"):format(shell.program(), script))) end
      for i, pipe in ipairs(pipes) do
        sums[i] = pipe:read "l"
        assert.is_true(pipe:close())
      end
      assert.matches("^%d+$", sums[1])
      assert.same({ sums[1], sums[1], sums[1] }, sums)
      assert.equal(36 + 1, #names())
    end)

    -- What two loaders print that keep clips in `into`, and what they say on standard error.
    local function run_with(into, before)
      film.text(folder .. "/run.lua", ([[
        local data = require "dgam.data"
        local sum = 0
        for _ = 1, 2 do
          local l <close> = data.loader(data.open(%q), { split = "train", batch = 5, clip_len = 4, size = 24, train = true, seed = 7,
            cache = { folder = %q, gigabytes = 1 } })
          for e = 1, 2 do
            for batch in l:epoch(e) do sum = sum + batch.clip:double():sum():item() end
          end
        end
        print(math.tointeger(sum))
      ]]):format(dir, into))
      local pipe <close> = assert(io.popen(("%s; %s %s/run.lua 2> %s/said"):format(before or "true", shell.program(), folder, folder)))
      local sum = pipe:read "l"
      local said <close> = assert(io.open(folder .. "/said"))
      return sum, said:read "a"
    end

    it("goes on without it, and says so once, when it cannot be written", function()
      lfs.mkdir(folder .. "/clips")
      local want, nothing = run_with(folder .. "/clips")
      assert.matches("^%d+$", want)
      assert.equal("", nothing)
      support.remove(folder .. "/clips")
      lfs.mkdir(folder .. "/clips")
      local sum, said = run_with(folder .. "/clips", "ulimit -f 1") -- every entry is larger: what a full disk does, later
      assert.equal(want, sum)
      assert.matches("^\ndgamlua: decoded clips are not kept: cannot write '" .. folder:gsub("%p", "%%%0")
        .. "/clips/%x+%.clip': File too large\n$", said)
      for name in lfs.dir(folder .. "/clips") do assert.matches("^%.+$", name) end -- nothing half-written
      sum, said = run_with(folder .. "/run.lua/clips")
      assert.equal(want, sum)
      assert.matches("^\ndgamlua: decoded clips are not kept: cannot make the folder [^\n]*/run.lua: [^\n]*\n$", said)
      sum, said = run_with(folder .. "/new/clips")
      assert.equal(want, sum)
      assert.equal("", said)
    end)

    it("names what is wrong", function()
      local d = data.open(dir)
      fails("cache is %-1, expected gigabytes", data.loader, d, { cache = -1 })
      fails("did you mean 'gigabytes'", data.loader, d, { cache = { gigabyts = 1 } })
      fails("draws is 0", data.loader, d, { train = true, draws = 0 })
    end)
  end)

  describe("loader in the long run", function()
    local function descriptors()
      local n = 0
      for _ in lfs.dir "/proc/self/fd" do n = n + 1 end
      return n
    end

    it("begins an epoch at any batch, without decoding those before it", function()
      for _, more in ipairs { {}, { drop_last = true }, { batch = 1 }, { mixup = 0.4, cutmix = 1 } } do
        local o = { split = "train", batch = 3, clip_len = 4, interval = 2, size = 24, train = true, seed = 7 }
        for k, v in pairs(more) do o[k] = v end
        local l <close> = data.loader(data.open(dir), o)
        local whole = {}
        for batch in l:epoch(2) do whole[#whole + 1] = batch end
        for first = 1, #whole + 1 do
          local read, n = l.read, first - 1
          for batch in l:epoch(2, first) do
            n = n + 1
            assert.equal(n, batch.number)
            for _, name in ipairs { "clip", "label", "index", "target" } do
              assert.is_true(whole[n][name] == nil and batch[name] == nil or torch.equal(whole[n][name], batch[name]))
            end
          end
          assert.equal(#whole, n)
          local rest = 0
          for k = first, #whole do rest = rest + whole[k].index:size(1) end
          assert.equal(rest, l.read - read)
        end
      end
    end)

    it("does not grow and leaves no file open", function()
      local items = {}
      for _, item in ipairs(data.open(dir):split("train").items) do
        for k = 1, 5 do items[#items + 1] = { path = item.path, label = item.label, split = "s" .. k } end
      end
      items[#items + 1] = { path = dir .. "/none.avi", label = 1, split = "s1" }
      local d = data.open { classes = { "run", "walk" }, items = items, allow_overlap = true }
      local l <close> = data.loader(d, { batch = 8, clip_len = 8, size = 96, train = true, quiet = true, threads = 3, jitter = 0.4,
        randaugment = 9, enhance = "equalise" })
      local function epochs(first, last)
        for e = first, last do
          for batch in l:epoch(e) do assert.is_true(batch.clip:size(1) > 0) end
        end
        collectgarbage()
        return descriptors(), support.resident()
      end
      local files, bytes = epochs(1, 4)
      local files_after, bytes_after = epochs(5, 12)
      assert.equal(files, files_after)
      assert.is_true(bytes_after - bytes < 24 << 20, ("%d KB more"):format((bytes_after - bytes) // 1024)) -- 480 clips of 221 KB: 104 MB
    end)

    it("goes on when a file vanishes, is cut off, or its disk fails", function()
      local folder = support.folder()
      local items = {}
      for i = 1, 12 do
        local path = ("%s/%d.avi"):format(folder, i)
        film.write(path, 12, 48, 32)
        items[i] = { path = path, label = 1 }
      end
      items[13] = { path = "/proc/self/mem", label = 1 } -- reading it is an input/output error
      local told = {}
      local l <close> = data.loader(data.open { classes = { "run" }, items = items }, { batch = 2, clip_len = 4, size = 24, prefetch = 2,
        threads = 1, on_skip = function(path, message) told[path] = message end })
      local seen = 0
      for batch in l:epoch(1) do
        seen = seen + batch.label:size(1)
        if seen == 2 then
          os.remove(items[9].path)
          film.text(items[11].path, io.open(items[11].path, "rb"):read "a":sub(1, 600))
        end
      end
      support.remove(folder)
      assert.equal(10, seen)
      assert.matches("No such file", told[items[9].path], 1, true)
      assert.matches(items[11].path, told[items[11].path], 1, true)
      assert.matches("/proc/self/mem", told["/proc/self/mem"], 1, true)
      assert.equal("3 of 13 clips could not be read", l:summary())
    end)

    it("ends within a second of Ctrl-C and leaves nothing half-written", function()
      local folder = support.folder()
      film.write(folder .. "/long.avi", 2, 640, 480) -- decoded again and again, each time entered anew
      local old = os.time() - 100
      lfs.touch(folder .. "/long.avi", old, old)
      lfs.mkdir(folder .. "/cache")
      film.text(folder .. "/run.lua", ([[
        local data = require "dgam.data"
        local items = {}
        for i = 1, 5000 do items[i] = { path = %q, label = 1 } end
        local l = data.loader(data.open { classes = { "a" }, items = items }, { batch = 8, clip_len = 32, size = 224, train = true,
          shuffle = false, enhance = "lime", cache = { folder = %q, gigabytes = 1 } })
        for batch in l:epoch(1) do
          io.stdout:write(batch.clip:size(1), "\n")
          io.stdout:flush()
        end
      ]]):format(folder .. "/long.avi", folder .. "/cache"))
      local pipe = assert(io.popen(("sh -c 'echo $$; exec %s %s 2>&1'"):format(shell.program(), folder .. "/run.lua")))
      local pid = pipe:read "l"
      local first = pipe:read "l"
      assert.equal("8", first)
      local start = require("system").monotime()
      os.execute("kill -INT " .. pid)
      local rest = pipe:read "a"
      local _, how, code = pipe:close()
      local seconds = require("system").monotime() - start
      assert.matches("interrupted", rest, 1, true)
      assert.is_false(how == "exit" and code == 0)
      for name in lfs.dir(folder .. "/cache") do assert.is_nil(name:match "%.tmp$") end
      support.remove(folder)
      assert.is_true(seconds < 1, ("it took %.2f s"):format(seconds))
    end)
  end)
end)
