-- dgam.data: descriptions, lists, filters, and the loader.
local lfs = require "lfs"
local film = require "film"
local data = require "dgam.data"
local lists = require "dgam.data.lists"
local torch = require "torch"
local support = require "support"
local fails = support.fails_like

local function sortedkeys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

describe("dgam.data", function()
  local dir
  setup(function()
    dir = film.dataset()
  end)
  teardown(function() support.remove(dir) end)

  local function text(name, content)
    film.text(dir .. "/" .. name, content)
    return dir .. "/" .. name
  end

  describe("opening", function()
    it("takes a folder of class folders", function()
      local d = data.open(dir)
      assert.equal(14, #d)
      assert.same({ "run", "walk" }, { d.classes[1], d.classes[2] })
      assert.same({ "train", "val" }, d:splits())
      assert.equal(2, #d:split "val")
      assert.equal(2, d:class "walk")
      fails("unknown class 'wlak'; did you mean 'walk'", d.class, d, "wlak")
      fails("unknown split 'vla'", d.split, d, "vla")
      assert.matches("14 clips, 2 classes; train 12, val 2", tostring(d))
    end)

    it("says that a folder is to hold class folders", function()
      assert(lfs.mkdir(dir .. "/flat"))
      fails("flat: there is no class folder, expected CLASS/video", data.open, dir .. "/flat")
      text("flat/a.avi", "")
      fails("flat: there is no class folder, expected CLASS/video", data.open, dir .. "/flat")
    end)

    it("takes lists with spaces, CRLF, numbers and names", function()
      text("a.txt", "\xEF\xBB\xBFtrain/run/clip 1.avi 0\r\n\r\ntrain/walk/clip 1.avi walk\r\n")
      local d = data.open { root = dir, classes = { "run", "walk" }, splits = { train = dir .. "/a.txt" } }
      assert.same({ 1, 2 }, { d.items[1].label, d.items[2].label })
      assert.equal(dir .. "/train/run/clip 1.avi", d.items[1].path)
    end)

    it("takes a list by itself", function()
      local d = data.open(text("own.txt", "val/run/a.avi 0\nval/walk/b.avi 1\n"))
      assert.same({ "own", 2, "walk", dir .. "/val/walk/b.avi" }, { d.name, #d, d.classes[2], d.items[2].path })
      local c = data.open(text("own.csv", "path,label,lux\nb.avi,walk,0.5\na.avi,run,0.1\n"))
      assert.same({ "run", "walk", 2, 0.5 }, { c.classes[1], c.classes[2], c.items[1].label, c.items[1].lux })
      fails("own: no classes are named", data.open, text("own.csv", "path,label\na.avi,0\n"))
    end)

    it("keeps apart numbers that count classes and numbers that name them", function()
      for _, path in ipairs { "num", "num/1", "num/2", "num/10" } do lfs.mkdir(dir .. "/" .. path) end
      for _, class in ipairs { "1", "2", "10" } do
        for i = 1, 3 do text(("num/%s/%d.avi"):format(class, i), "") end
      end
      local function of_folder(d)
        for _, item in ipairs(d.items) do assert.equal(item.path:match "([^/]+)/[^/]+$", d.classes[item.label]) end
        return #d
      end
      local d = data.open(dir .. "/num")
      assert.equal(9, of_folder(d))
      d:deal({ test = 1 / 3, val = 0 }):save_lists(dir .. "/numlists")
      assert.equal(9, of_folder(data.open(dir .. "/numlists/dataset.lua")))
      local list = text("num/list.txt", "1/1.avi 0\n10/1.avi 1\n2/1.avi 2\n")
      assert.equal(3, of_folder(data.open(list)))
      local t = { root = dir .. "/num", classes = { "1", "2", "10" }, splits = { all = list } }
      fails("list.txt:2: label 1 is class '1' by its name and '2' by its number; set labels", data.open, t)
      t.splits.all = { format = "csv", file = text("num/list.csv", "path,label\n1/1.avi,1\n10/1.avi,10\n2/1.avi,2\n") }
      fails("list.csv:2: label 1 is class '1' by its name", data.open, t)
      t.labels = "name"
      assert.equal(3, of_folder(data.open(t)))
      t.labels = "number"
      fails("list.csv:3: label 10 is out of range", data.open, t)
      t.labels = "both"
      fails('labels is both, expected "number" or "name"', data.open, t)
    end)

    it("saves class names as they are", function()
      local names = { " sit", "0 walk", "1 run", '2 "stand"', "3 \u{6b69}\\く" }
      lfs.mkdir(dir .. "/odd")
      for i, class in ipairs(names) do
        lfs.mkdir(dir .. "/odd/" .. class)
        text(("odd/%s/%d.avi"):format(class, i), "")
      end
      local d = data.open(dir .. "/odd")
      fails('" sit/1.avi": a name with white space at its edge cannot stand in a list', d.save_lists, d, dir .. "/oddlists")
      d.items[1].path = dir .. "/odd/other.avi"
      d:save_lists(dir .. "/oddlists")
      local again = data.open(dir .. "/oddlists/dataset.lua")
      assert.same(names, { table.unpack(again.classes) })
      for i, item in ipairs(d.items) do assert.same({ item.path, i }, { again.items[i].path, again.items[i].label }) end
    end)

    it("names file and line of what is wrong in a list", function()
      local function open(content, more)
        local t = { root = dir, classes = { "run", "walk" }, splits = { train = text("b.txt", content) } }
        for k, v in pairs(more or {}) do t[k] = v end
        return function() return data.open(t) end
      end
      fails("b.txt:2: label 2 is out of range, expected 0 to 1 %(2 classes%)", open "x.avi 0\ny.avi 2\n")
      fails("b.txt:1: label %-1 is out of range", open "x.avi -1\n")
      fails("b.txt:1: unknown class 'wakl'; did you mean 'walk'", open "x.avi wakl\n")
      fails("b.txt:1: label 0.5 is not a whole number", open "x.avi 0.5\n")
      fails("b.txt:1: 'x.avi' is not `path label`", open "x.avi\n")
      fails("b.txt:2: x.avi is named twice", open "x.avi 0\nx.avi 0\n")
      fails("there is no clip", open "\n")
      fails("cannot read the list", function() data.open { classes = { "a" }, splits = { train = dir .. "/no.txt" } } end)
      fails("no/such does not exist", function() data.open { root = dir .. "/no/such", classes = { "a" }, splits = {} } end)
      fails("unknown option 'slpits'; did you mean 'splits'", function() data.open { slpits = {} } end)
      fails("there is no such dataset", data.open, "no/such/data.lua")
    end)

    it("knows a file under other spellings of its name, UTF-8 and all", function()
      local function open(a, b)
        return data.open { root = dir, classes = { "run" }, splits = { train = text("s1.txt", a), test = text("s2.txt", b) } }
      end
      fails("s2.txt:1: a/x.avi is in the list 'train' too", open, "a/x.avi 0\n", "./a//b/../x.avi 0\n")
      fails("is in the list 'train' too", open, "a/x.avi 0\n", dir .. "/a/x.avi 0\n")
      fails("in the splits 'train' and 'test'", data.open, { classes = { "a" }, items = { { path = "x", label = 1, split = "train" },
        { path = "x", label = 1, split = "test" } } })
      local d = open("\xEF\xBB\xBFléger/\u{6b69}く 1.avi 0\r\n", "y.avi 0")
      assert.equal(dir .. "/léger/\u{6b69}く 1.avi", d.items[1].path)
      fails("is UTF%-16, expected UTF%-8", open, "\xFF\xFEa\0", "y.avi 0")
      fails("s1.txt:2: there is a zero byte", open, "a.avi 0\nb\0.avi 0\n", "y.avi 0")
      fails("s1.txt:1: label 0x0 is not a whole number", open, "a.avi 0x0\n", "y.avi 0")
      fails("s2.txt: there is no clip in the list of split 'test'", open, "a.avi 0\n", "\n\n")
      fails("did you mean 'format'", data.open, { classes = { "a" }, splits = { t = { file = "x", fromat = "list" } } })
    end)

    it("takes several roots, folders of pictures, and links that lead back", function()
      local a, b = dir .. "/roots/a", dir .. "/roots/b"
      for _, path in ipairs { dir .. "/roots", a, b, a .. "/run", b .. "/run", b .. "/walk", b .. "/walk/clip1" } do lfs.mkdir(path) end
      text("roots/a/run/1.avi", "")
      text("roots/b/run/1.avi", "")
      for k = 1, 3 do text(("roots/b/walk/clip1/%d.png"):format(k), "") end
      lfs.link("..", b .. "/walk/back", true)
      local d = data.open { root = { a, b, dir .. "/roots/none" }, splits = { all = { format = "folders" } } }
      local found = {}
      for i, item in ipairs(d.items) do found[i] = item.path:sub(#dir + 8) .. " " .. d.classes[item.label] end
      table.sort(found)
      assert.same({ "a/run/1.avi run", "b/run/1.avi run", "b/walk/clip1 walk" }, { found[1], found[2], found[#found] })
      data.open({ root = { dir .. "/roots/none", a }, splits = { all = { format = "folders" } } }):save_lists(dir .. "/roots/saved")
      assert.equal(a .. "/run/1.avi", data.open(dir .. "/roots/saved/dataset.lua").items[1].path)
      local l = data.open { root = { a, b }, classes = { "run", "walk" }, splits = { t = text("r.txt", "walk/clip1 1\nrun/1.avi 0\n") } }
      assert.same({ b .. "/walk/clip1", a .. "/run/1.avi" }, { l.items[1].path, l.items[2].path })
    end)

    it("refuses a file in two lists unless that is meant", function()
      local a, b = text("t1.txt", "x.avi 0\n"), text("t2.txt", "y.avi 0\nx.avi 0\n")
      local t = { root = dir, classes = { "run" }, splits = { train = a, test = b } }
      fails("t2.txt:2: x.avi is in the list 'train' too", data.open, t)
      t.allow_overlap = { "test/train" }
      assert.equal(3, #data.open(t))
      t.allow_overlap, t.splits.test = { "test/trian" }, text("t3.txt", "y.avi 0\n")
      fails("allow_overlap: unknown split 'trian'; did you mean 'train'", data.open, t)
    end)

    it("refuses it however the file is spelled, from the current folder or another root", function()
      local function open(root, train, test)
        return data.open { root = root, classes = { "run" }, splits = { train = text("u1.txt", train), test = text("u2.txt", test) } }
      end
      fails("is in the list 'train' too", open, dir .. "/roots/a", "run/1.avi 0\n", dir .. "/x/../roots/a/run/1.avi 0\n")
      fails("is in the splits 'train' and 'test'", open, dir .. "/roots/a", "run/1.avi 0\n", "../a/run/1.avi 0\n")
      fails("is in the splits 'train' and 'test'", open, { dir .. "/roots/a", dir .. "/roots/b" },
        "walk/clip1 0\n", dir .. "/roots/b/walk/clip1 0\n")
      local here = lfs.currentdir()
      fails("is in the splits 'a' and 'b'", data.open, { classes = { "run" }, items = {
        { path = "x.avi", label = 1, split = "a" }, { path = here .. "/x.avi", label = 1, split = "b" } } })
      fails("has the labels 1 and 2", data.open, { classes = { "run", "walk" }, items = {
        { path = "x.avi", label = 1 }, { path = "./x.avi", label = 2 } } })
    end)

    it("leaves the caller's table as it is", function()
      local t = { root = dir, classes = { "run" }, items = { { path = "run/1.avi", label = 1 } },
        fields = function(item) item.seen = (item.seen or 0) + 1 end }
      local a, b = data.open(t), data.open(t)
      assert.same({ { path = "run/1.avi", label = 1 } }, t.items)
      assert.same({ dir .. "/run/1.avi", 1 }, { b.items[1].path, b.items[1].seen })
      assert.equal(a.items[1].path, b.items[1].path)
    end)

    it("takes options behind the name", function()
      assert.same({ "a.lua", { split = 2, root = "2024", video = false, size = "tiny" } },
        { data.parse "a.lua?split=2&root=2024&video=false&size=tiny" })
      assert.same({ "a.lua", {} }, { data.parse "a.lua" })
      fails("'split' is not an option of the form key=value", data.parse, "a.lua?split")
      local file = text("opts.lua", [[return { name = "opts", classes = { "run" }, options = { n = 1 },
        prepare = function(o) return { root = "", items = { { path = "clip" .. o.n .. ".avi", label = 1 } } } end }]])
      assert.equal("clip7.avi", data.open(file .. "?n=7").items[1].path)
      assert.equal("clip8.avi", data.open(file .. "?n=7", { n = 8 }).items[1].path)
      fails("unknown option 'm'", data.open, file .. "?m=7")
    end)

    it("finds the files of the official descriptions below several roots, and absolute ones", function()
      for _, path in ipairs { "r1", "r1/list_cvt", "r1/data", "r1/data/Jump", "r2", "r2/data", "r2/data/Jump" } do
        lfs.mkdir(dir .. "/" .. path)
      end
      text("r1/data/Jump/Jump_1_1.avi", "")
      text("r2/data/Jump/Jump_2_1.avi", "")
      text("r1/list_cvt/ARID_split1_train.txt", "1\t1\tJump/Jump_1_1.avi\n")
      text("r1/list_cvt/ARID_split1_test.txt", "1\t1\tJump/Jump_2_1.avi\n")
      local d = data.open("data/arid.lua", { root = { dir .. "/r1", dir .. "/r2" } })
      assert.same({ dir .. "/r1/data/Jump/Jump_1_1.avi", dir .. "/r2/data/Jump/Jump_2_1.avi" }, { d.items[1].path, d.items[2].path })
      assert.same({ "Jump_1", "Jump_2" }, { d.items[1].group, d.items[2].group })
      fails("arid: split is a, expected 1 to 3", data.open, "data/arid.lua", { root = dir .. "/r1", split = "a" })
      text("r1/ELLAR_label_train.txt", "LL/walk/a.avi 0\n")
      text("r1/ELLAR_label_test.txt", "/elsewhere/walk/b.avi 0\n")
      text("r1/meta.csv", "path,actor\nLL/walk/a.avi,7\n")
      d = data.open("data/ellar.lua", { root = dir .. "/r1", val = false, metadata = "meta.csv" })
      assert.same({ dir .. "/r1/videos/LL/walk/a.avi", "LL", 7 }, { d.items[1].path, d.items[1].light, d.items[1].actor })
      assert.equal("/elsewhere/walk/b.avi", d.items[2].path)
      fails("ellar: split 'test': file is true, expected text", data.open, "data/ellar.lua",
        { root = dir .. "/r1", val = false, test = true })
      fails("the file none.csv is neither beside the description", data.open, "data/ellar.lua",
        { root = dir .. "/r1", val = false, metadata = "none.csv" })
      text("r1/train.csv", "label,youtube_id,time_start,time_end\nrun,abc,3.5,9\n")
      text("r1/classes.txt", "run\n")
      fails("train.csv:2: youtube_id is abc, label run, time_start 3.5", data.open, "data/kinetics.lua",
        { root = dir .. "/r1", val = false })
    end)

    it("looks at what a CSV file's function returns, and at its columns", function()
      local function open(content, item)
        return data.open { root = dir, classes = { "run", "walk" },
          splits = { train = { format = "csv", file = text("i.csv", content), item = item } } }
      end
      local rows = "path,label\na.avi,0\nb.avi,1\n"
      fails("i.csv:2: item gave the label 0, expected a class name or a whole number from 1 to 2", open, rows,
        function(row) return { path = row.path, label = tonumber(row.label) } end)
      fails("i.csv:2: item gave the label 1.5", open, rows, function(row) return { path = row.path, label = 1.5 } end)
      fails("i.csv:2: item gave 3, expected { path =, label = }", open, rows, function() return 3 end)
      fails("i.csv:3: too dark", open, rows, function(row)
        if row.path == "b.avi" then return nil, "too dark" end
        return row
      end)
      local d = open(rows, function(row) return row.label == "1" and { path = row.path, label = 2 } or nil end)
      assert.same({ 1, 2 }, { #d, d.items[1].label })
      fails("i.csv:2: there is no column 'path' %(but Label, Path%)", open, "Path,Label\na.avi,0\n")
      fails("i.csv:2: the path is empty", open, "path,label\n,0\n")
      fails("i.csv:2: the label is empty", open, "path,label\na.avi,\n")
      fails("i.csv:1: the column 'path' is there twice", open, "path,path\na.avi,0\n")
      fails("there is no column 'label' %(but path;label%)", data.open, text("semi.csv", "path;label\na.avi;run\n"))
    end)

    it("understands what splits' folders are called, and what else videos are called", function()
      for _, path in ipairs { "sp", "sp/Train", "sp/Train/run", "sp/valid", "sp/valid/run", "sp/Test", "sp/Test/run", "sp/notes" } do
        lfs.mkdir(dir .. "/" .. path)
      end
      for _, path in ipairs { "Train/run/1.MTS", "Train/run/2.m2ts", "valid/run/3.divx", "Test/run/4.avi", "notes/5.avi" } do
        text("sp/" .. path, "")
      end
      local d = data.open(dir .. "/sp")
      assert.same({ train = 2, val = 1, test = 1 }, d:count "split")
      assert.same({ "run" }, { table.unpack(d.classes) })
      lfs.mkdir(dir .. "/sp/tset")
      fails("unknown split folder 'tset'; did you mean 'test'", data.open, dir .. "/sp")
      lfs.rmdir(dir .. "/sp/tset")
      lfs.mkdir(dir .. "/sp/val")
      fails("are both 'val'", data.open, dir .. "/sp")
    end)

    it("takes frame folders and CSV", function()
      local f = text("f.txt", "some dir/a 30 1\n")
      local d = data.open { root = dir, classes = { "run", "walk" }, splits = { train = { file = f, format = "frames" } } }
      assert.same({ 30, 2 }, { d.items[1].frames, d.items[1].label })
      local c = text("c.csv", 'path,label,camera\n"a, b.avi",walk,"Brio ""4k"""\r\nc.avi,0,C920\n')
      d = data.open { root = dir, classes = { "run", "walk" }, splits = { train = { file = c, format = "csv" } } }
      assert.equal(dir .. "/a, b.avi", d.items[1].path)
      assert.same({ 'Brio "4k"', 2, 1 }, { d.items[1].camera, d.items[1].label, d.items[2].label })
      local own = data.open(text("split.csv", "path,label,split\na.avi,run,test\nb.avi,walk,\nc.avi,run,val\n"))
      assert.same({ all = 1, test = 1, val = 1 }, own:count "split")
      text("c.csv", "path,label\na.avi\n")
      fails("c.csv:2: 1 fields, expected 2", data.open, { root = dir, classes = { "a" }, splits = { t = { file = c, format = "csv" } } })
      local k = text("k.csv", "label,id,start\nwalk,abc,3\n")
      d = data.open { root = dir, classes = { "run", "walk" }, splits = { train = { file = k, format = "csv",
        item = function(row) return { path = ("%s_%06d.mp4"):format(row.id, row.start), label = row.label } end } } }
      assert.equal(dir .. "/abc_000003.mp4", d.items[1].path)
    end)

    it("prepares, with options", function()
      local t = { classes = { "run" }, options = { size = "tiny" },
        prepare = function(o) return { root = dir, items = { { path = o.size .. ".avi", label = 1, split = "train" } } } end }
      assert.equal(dir .. "/tiny.avi", data.open(t).items[1].path)
      assert.equal(dir .. "/small.avi", data.open(t, { size = "small" }).items[1].path)
      fails("unknown option 'size'", data.open, { classes = { "a" }, items = {} }, { size = 3 })
    end)

    it("reads a list of 10^5 lines fast", function()
      local lines = {}
      for i = 1, 100000 do lines[i] = ("videos/part %d/clip_%06d.avi %d"):format(i % 10, i, i % 48) end
      local classes = {}
      for i = 1, 48 do classes[i] = "class" .. i end
      local path = text("long.txt", table.concat(lines, "\n"))
      local start = os.clock()
      assert.equal(100000, #data.open { root = dir, classes = classes, splits = { train = path } })
      assert.is_true(os.clock() - start < 5)
    end)
  end)

  describe("choosing", function()
    local d
    setup(function()
      local items = {}
      for i = 0, 119 do
        items[i + 1] = { path = i .. ".avi", label = i % 4 + 1, split = "train", light = i % 2 == 0 and "LL" or "ELL",
          camera = ({ "brio", "c920", "arducam" })[i % 3 + 1], actor = "a" .. i // 10, lux = i / 100 }
      end
      d = data.open { name = "made", classes = { "a", "b", "c", "d" }, items = items }
    end)

    it("filters by fields", function()
      assert.equal(60, #d:where { light = "ELL" })
      assert.equal(40, #d:where { light = "ELL", camera = { "brio", "c920" } })
      local dim = d:where { lux = function(v) return v <= 0.5 end }
      assert.equal(51, #dim)
      assert.equal(dim:fingerprint(), (d:where { lux = function(v) return v < 0.51 end }):fingerprint()) -- the same clips
      assert.same({ brio = 40, c920 = 40, arducam = 40 }, d:count "camera")
      fails("unknown field 'lihgt'; did you mean 'light'", d.where, d, { lihgt = "LL" })
      fails("unknown camera 'bro'; did you mean 'brio'", d.where, d, { camera = "bro" })
      fails("made: where is nil, expected a table", d.where, d)
      local some = data.open { classes = { "a" }, items = { { path = "x", label = 1, lux = 0.1, actor = "2" }, { path = "y", label = 1 } } }
      assert.equal(1, #some:where { lux = function(v) return v < 1 end })
      fails("actor is the string '2', not the number", some.where, some, { actor = 2 })
      fails("unknown field 'cmaera'; did you mean 'camera'", d.group_by, d, "cmaera")
    end)

    it("counts other videos under the same names as another dataset", function()
      local file = text("print.avi", "one")
      local p = data.open { root = dir, classes = { "a" }, items = { { path = "print.avi", label = 1 } } }
      local before, names = p:fingerprint(), p:fingerprint(true)
      assert.equal(before, p:fingerprint())
      text("print.avi", "three")
      assert.not_equal(before, p:fingerprint())
      assert.equal(names, p:fingerprint(true))
      os.remove(file)
      assert.not_equal(before, p:fingerprint())
    end)

    it("keeps the types of fields in saved lists", function()
      local given = { actor = "2", code = "007", lux = 1 / 3, take = 4, night = false }
      local item = { path = "x.avi", label = 1 }
      for k, v in pairs(given) do item[k] = v end
      local s = data.open { root = dir, classes = { "a" }, items = { item } }
      s:save_lists(dir .. "/types")
      local again = data.open(dir .. "/types/dataset.lua").items[1]
      for k, v in pairs(given) do
        assert.equal(v, again[k])
        assert.equal(math.type(v) or type(v), math.type(again[k]) or type(again[k]))
      end
      text("types/metadata.csv", "path,night\nx.avi,dark\n")
      fails("metadata.csv:2: night is 'dark', expected a boolean", data.open, dir .. "/types/dataset.lua")
      text("types/metadata.csv", "path,night\n./x.avi,true\n")
      assert.is_true(data.open(dir .. "/types/dataset.lua").items[1].night)
      text("types/metadata.csv", "path,night\nx.avi,true\nx.avi,false\n")
      fails("metadata.csv:3: x.avi is named twice, first in line 2", data.open, dir .. "/types/dataset.lua")
      text("types/metadata.csv", "path,night\nvideos/x.avi,true\n")
      fails("none of its paths is a clip's: it has 'videos/x.avi'", data.open, dir .. "/types/dataset.lua")
      s.items[2] = { path = "y.avi", label = 1, actor = 2 }
      fails("save_lists: actor is a string for some clips and a number for clip 2", s.save_lists, s, dir .. "/types")
    end)

    it("groups by a field", function()
      local groups = d:where({ light = "ELL" }):group_by "camera"
      assert.same({ "arducam", "brio", "c920" }, { groups[1].value, groups[2].value, groups[3].value })
      assert.equal(20, #groups[2].data)
      assert.equal("made (light = ELL) (camera = brio)", groups[2].data.name)
    end)

    it("deals splits only when asked, the same way each time", function()
      local a, b = d:deal { seed = 3 }, d:deal { seed = 3 }
      assert.same({ test = 24, train = 88, val = 8 }, a:count "split")
      for i, item in ipairs(a.items) do assert.equal(item.split, b.items[i].split) end
      assert.equal("train", d.items[1].split)
      local g = d:deal { group = "actor", test = 0.25, val = 0.1 }
      local split_of = {}
      for _, item in ipairs(g.items) do
        assert.equal(split_of[item.actor] or item.split, item.split)
        split_of[item.actor] = item.split
      end
      assert.same({ test = 30, train = 80, val = 10 }, g:count "split")
      fails("0.avi has no field 'outfit'", d.deal, d, { group = "outfit" })
      fails("expected shares", d.deal, d, { test = 0.9, val = 0.2 })
      fails("deal: test is nan, expected a number from 0 to 1", d.deal, d, { test = math.abs(0 / 0) })
      local few = data.open { classes = { "a" }, items = { { path = "x", label = 1, actor = 1 }, { path = "y", label = 1, actor = 1 } } }
      fails("deal: of 2 clips in 1 groups none is left for test, whose share is 0.2", few.deal, few,
        { group = "actor", test = 0.2, val = 0 })
      fails("deal: of 2 clips in 1 classes none is left for train", few.deal, few, { test = 0.45, val = 0.45 })
      fails("deal: seed is 1.5, expected a whole number", d.deal, d, { seed = 1.5 })
      a:save_lists(dir .. "/lists")
      local again = data.open(dir .. "/lists/dataset.lua")
      assert.same({ #a, a:count "split", a:count "camera", a:count "lux" },
        { #again, again:count "split", again:count "camera", again:count "lux" })
      assert.equal(require("lfs").currentdir() .. "/" .. a:split("test").items[1].path, again:split("test").items[1].path)
    end)
  end)

  describe("loader", function()
    local options = { split = "train", batch = 5, clip_len = 4, interval = 2, size = 24, train = true, seed = 7, quiet = true }
    local function with(more)
      local o = {}
      for k, v in pairs(options) do o[k] = v end
      for k, v in pairs(more or {}) do o[k] = v end
      return o
    end

    it("gives every clip once an epoch, the same at any thread count", function()
      local d = data.open(dir)
      local seen = {}
      for run, threads in ipairs { 1, 3 } do
        local l <close> = data.loader(d, with { threads = threads })
        assert.equal(3, l:batches())
        local epochs = {}
        for e = 1, 2 do
          local all = {}
          for batch in l:epoch(e) do
            assert.same({ batch.label:size(1), 3, 4, 24, 24 }, batch.clip.shape)
            for i, at in ipairs(batch.index:totable()) do
              assert.equal(d.items[at].label, batch.label[i]:item())
              local n = film.numbers(batch.clip[i])
              assert.same({ 2, 2, 2 }, { n[2] - n[1], n[3] - n[2], n[4] - n[3] }) -- forward in time
              all[#all + 1] = ("%d:%d"):format(at, n[1])
            end
          end
          assert.equal(12, #all)
          epochs[e] = table.concat(all, " ")
        end
        assert.not_equal(epochs[1], epochs[2])
        seen[run] = epochs
      end
      assert.same(seen[1], seen[2])
    end)

    it("gives one epoch at a time", function()
      local l <close> = data.loader(data.open(dir), with())
      local first, second = l:epoch(1), l:epoch(2)
      fails("epoch 1 was left when another was begun", first)
      assert.is_table(second())
    end)

    it("can be left early and asked again", function()
      local l <close> = data.loader(data.open(dir), with())
      local function first_of_epoch()
        for batch in l:epoch(4) do
          if batch then return batch.index:totable() end
        end
      end
      local first = first_of_epoch()
      assert.is_true(l.pool:pending() <= l.ahead) -- left until the next epoch, which begins with none of them
      for _ = 1, 5 do assert.same(first, first_of_epoch()) end
    end)

    it("gives views side by side, in the order of the list, looping short videos", function()
      local d = data.open(dir)
      local l <close> = data.loader(d, with { split = "val", train = false, views = { clips = 2, crops = 3 } })
      local n = 0
      for batch in l:epoch(0) do
        n = n + 1
        assert.same({ 12, 3, 4, 24, 24 }, batch.clip.shape)
        assert.same({ 13, 14 }, batch.index:totable())
        assert.same({ 2, 4, 6, 8 }, film.numbers(batch.clip[1])) -- 12 frames: starts floor(1.25), floor(3.75)
        assert.same({ 4, 6, 8, 10 }, film.numbers(batch.clip[4]))
        assert.same({ 1, 3, 2, 1 }, film.numbers(batch.clip[7])) -- 3 frames
      end
      assert.equal(1, n)
    end)

    it("skips what cannot be read and says so", function()
      local d = data.open(dir)
      local items = {}
      for i, item in ipairs(d:split("train").items) do items[i] = item end
      text("broken.avi", "RIFF....AVI nothing")
      table.insert(items, 3, { path = dir .. "/broken.avi", label = 1, split = "train" })
      table.insert(items, { path = dir .. "/gone.avi", label = 2, split = "train" })
      local broken = data.open { classes = { "run", "walk" }, items = items }
      local told = {}
      local l <close> = data.loader(broken, with { batch = 4, shuffle = false, on_skip = function(path) told[#told + 1] = path end })
      local sizes = {}
      for e = 1, 2 do
        for batch in l:epoch(e) do
          sizes[#sizes + 1] = batch.clip:size(1)
          assert.equal(batch.label:size(1), batch.clip:size(1))
        end
      end
      assert.same({ 3, 4, 4, 1, 3, 4, 4, 1 }, sizes)
      assert.same({ dir .. "/broken.avi", dir .. "/gone.avi" }, told)
      assert.equal("2 of 14 clips could not be read", l:summary())
      local none <close> = data.loader(data.open { classes = { "run" }, items = { items[3] } }, with { split = false })
      for _ in none:epoch(1) do error "no batch can be made" end
    end)

    it("changes pixels and blends clips the same way at any thread count", function()
      local d = data.open(dir)
      local seen = {}
      for run, threads in ipairs { 1, 3 } do
        local l <close> = data.loader(d, with { threads = threads, jitter = 0.4, randaugment = 9, gamma_jitter = 2, erasing = 0.5,
          mixup = 0.8, cutmix = 1, enhance = { "equalise", per_channel = true } })
        seen[run] = {}
        for e = 1, 2 do
          for batch in l:epoch(e) do
            assert.same({ batch.label:size(1), 2 }, batch.target.shape)
            assert.is_true((batch.target:sum(2) - 1):abs():max():item() < 1e-6)
            table.insert(seen[run], batch.clip)
          end
        end
      end
      for i, clip in ipairs(seen[1]) do assert.is_true(torch.equal(clip, seen[2][i])) end
      assert.is_false(torch.equal(seen[1][1], seen[1][4]))
      fails("jitter is for train", data.loader, d, { jitter = 0.4 })
      fails("mixup is %-1, expected the alpha", data.loader, d, { train = true, mixup = -1 })
      fails("gamma_jitter is 0.5, expected a number from 1", data.loader, d, { train = true, gamma_jitter = 0.5 })
    end)

    it("enhances in the decoding threads as dgam.enhance does, or by a function", function()
      local enhance = require "dgam.kernels.enhance"
      local d = data.open(dir)
      local function clips(how)
        local l <close> = data.loader(d, { split = "val", clip_len = 4, size = 24, views = { clips = 2, crops = 3 }, enhance = how })
        return l:epoch(0)().clip
      end
      local plain = clips()
      local methods = { gamma = { gamma = 3 }, equalise = {}, clahe = { clip_limit = 3 }, retinex = { scales = { 2, 9 } },
        lime = { alpha = 0.3 } }
      for name, own in pairs(methods) do
        local named = { name }
        for k, v in pairs(own) do named[k] = v end
        local step = enhance.by_name(name, own)
        local want = step(plain)
        assert.is_true(torch.equal(want, clips(named)), name)
        assert.is_true(torch.equal(want, clips(step)), name)
      end
      fails("must return uint8 clips %[12, 3, 4, 24, 24%]", clips, function(clip) return clip:float() end)
    end)

    it("checks its options", function()
      local d = data.open(dir)
      fails("unknown option 'bacth'; did you mean 'batch'", data.loader, d, { bacth = 3 })
      fails("batch is 0", data.loader, d, { batch = 0 })
      fails("crops is 2, expected 1, 3 or 10", data.loader, d, { views = { crops = 2 } })
      fails("flip is for train", data.loader, d, { flip = 0 })
      fails("draws is for train = true", data.loader, d, { draws = 2 })
      fails("views is for train = false", data.loader, d, { train = true, views = { clips = 2 } })
      fails("short is for train = false", data.loader, d, { train = true, short = 64 })
      fails("drop_last is no, expected true or false", data.loader, d, { drop_last = "no" })
      fails("train is yes, expected true or false", data.loader, d, { train = "yes" })
      fails("enhance: scales is 15, expected a list", data.loader, d, { enhance = { "retinex", scales = 15 } })
      fails("enhance: tiles holds 2.7, expected whole", data.loader, d, { enhance = { "clahe", tiles = { 2.7, 2.2 } } })
      fails("loader: size is {32, 32}, expected a whole number of 1", data.loader, d, { size = { 32, 32 } })
      fails("loader: cache: folder is 5, expected text", data.loader, d, { cache = { folder = 5 } })
      data.loader(d, { enhance = false, draws = false, flip = false }):close()
      require("dgam.kernels.video").sampling { enhance = false }
      fails("unknown split 'tset'", data.loader, d, { split = "tset" })
    end)
  end)

  describe("descriptions of datasets", function()
    local function tree(name, files)
      local root = dir .. "/" .. name
      for path, content in pairs(files) do
        local at = root
        lfs.mkdir(at)
        for part in path:gmatch "([^/]+)/" do
          at = at .. "/" .. part
          lfs.mkdir(at)
        end
        film.text(root .. "/" .. path, content)
      end
      return root
    end

    it("ellar: classes, light and camera from paths, a validation list held out", function()
      local train = {}
      for i = 1, 40 do
        train[i] = ("%s/LL_Brio_%d.avi %d\n"):format(i % 2 == 0 and "Walking" or "Stertching", i, i % 2)
      end
      local files = { ["ELLAR_label_train.txt"] = table.concat(train), ["ELLAR_label_test.txt"] = "Walking/ELL_C920_1.avi 0\n" }
      local root = tree("ellar", files)
      fails("ELLAR_label_val.txt", data.open, "data/ellar.lua", { root = root })
      local d = data.open("data/ellar.lua", { root = root, val = 0.1 })
      assert.same({ "Walking", "Stertching" }, { d.classes[1], d.classes[2] })
      assert.same({ train = 36, val = 4, test = 1 }, d:count "split")
      assert.equal(root .. "/videos/Walking/ELL_C920_1.avi", d:split("test").items[1].path)
      assert.equal(1, #d:where { light = "ELL", camera = "c920" })
      film.text(root .. "/ELLAR_label_test.txt", "Walking/ELL_C920_1.avi 1\n")
      fails("label 1 is 'S?W?%a+' here and '%a+' at", data.open, "data/ellar.lua", { root = root, val = 0.1 })
    end)

    it("arid: splits, whole groups held out", function()
      local train = {}
      for i = 0, 59 do train[i + 1] = ("%d\t0\tDrink/Drink_%d_%d.avi\n"):format(i, i // 6, i % 6 + 1) end
      local root = tree("arid", { ["list_cvt/ARID_split2_train.txt"] = table.concat(train),
        ["list_cvt/ARID_split2_test.txt"] = "0\t10\tWave/Wave_5_1.avi\n" })
      local d = data.open("data/arid.lua", { root = root, split = 2, val = 0.1 })
      assert.same({ train = 54, val = 6, test = 1 }, d:count "split")
      assert.equal(1, #sortedkeys(d:split("val"):count "group"))
      assert.equal("Wave", d.classes[d:split("test").items[1].label])
      assert.equal(root .. "/data/Wave/Wave_5_1.avi", d:split("test").items[1].path)
      fails("split is 7, expected 1 to 3", data.open, "data/arid.lua", { root = root, split = 7 })
    end)

    it("kinetics and dark48", function()
      local root = tree("kinetics", { ["classes.txt"] = "walk\nsit down\n",
        ["val.csv"] = "label,youtube_id,time_start,time_end,split\nwalk,q,0,10,val\n",
        ["train.csv"] = "label,youtube_id,time_start,time_end,split\nsit down,-abc,3,13,train\n" })
      local d = data.open("data/kinetics.lua", { root = root })
      assert.equal(root .. "/train/sit down/-abc_000003_000013.mp4", d.items[1].path)
      root = tree("dark48", { ["train.txt"] = "run/a.mp4 0\nwalk/b.mp4 1\n", ["test.txt"] = "run/c.mp4 0\n" })
      d = data.open("data/dark48.lua", { root = root })
      assert.same({ 2, "walk" }, { #d.classes, d.classes[2] })
    end)

    it("metadata becomes fields", function()
      local root = tree("meta", { ["m.csv"] = "path,light,lux\nx.avi,ELL,0.1\n", ["t.txt"] = "x.avi 0\ny.avi 0\n" })
      local d = data.open { root = root, classes = { "a" }, splits = { train = "t.txt" }, metadata = "m.csv" }
      assert.same({ "ELL", 0.1 }, { d.items[1].light, d.items[1].lux })
      assert.is_nil(d.items[2].light)
    end)
  end)

  describe("check", function()
    it("finds what is wrong, goes on where it was, and writes clean lists", function()
      local function item(path, label, split) return { path = path, label = label, split = split } end
      local function copy(from, to)
        local f = assert(io.open(from, "rb"))
        text(to, f:read "a")
        f:close()
      end
      copy(dir .. "/train/run/clip 2.avi", "copy.avi")
      copy(dir .. "/train/run/clip 3.avi", "copy3.avi")
      text("bad.avi", "no video")
      local function items()
        return { item("train/run/clip 1.avi", 1, "train"), item("train/run/clip 2.avi", 1, "train"), item("copy.avi", 1, "train"),
          item("train/run/clip 3.avi", 1, "train"), item("copy3.avi", 2, "test"), item("bad.avi", 1, "train"),
          item("train/walk/clip 1.avi", 1, "train"), item("val/walk/b.avi", 2, "val") }
      end
      local d = data.open { root = dir, classes = { "run", "walk" }, items = items() }
      local bar = { n = 0, finish = function() end }
      function bar:advance(n) -- what is known is in the file at once: a kill may come
        self.n = self.n + n
        assert.is_true(select(2, support.bytes(dir .. "/state.csv"):gsub("\n", "")) >= self.n)
      end
      local check = require "dgam.data.check"
      local function run(more)
        local o = { state = dir .. "/state.csv", min_frames = 10, bar = bar, threads = 2 }
        for k, v in pairs(more or {}) do o[k] = v end
        return check.run(d, o)
      end
      local r = run { out = dir .. "/clean" }
      assert.equal(8, bar.n)
      assert.same({ 1, 1, 1, 1, 2, 5 }, { #r.unreadable, #r.short, #r.duplicate, #r.leak, #r.mislabelled, #r.clean.items })
      assert.matches("bad.avi: this is not a video", r.unreadable[1].message, 1, true)
      assert.matches("copy.avi: the same pictures as", r.duplicate[1].message, 1, true)
      assert.matches("clip 3.avi: in 'train', the same pictures as", r.leak[1].message, 1, true)
      assert.same({ test = 1, train = 3, val = 1 }, data.open(dir .. "/clean/dataset.lua"):count "split")
      bar.n = 0
      assert.equal(1, #run().unreadable)
      assert.equal(1, bar.n) -- all was known but what could not be read
      assert(lfs.touch(dir .. "/copy.avi", 1, 1))
      bar.n = 0
      run()
      assert.equal(2, bar.n) -- and what has changed
      text("bad.avi", support.bytes(dir .. "/train/run/clip 4.avi"))
      bar.n = 0
      assert.equal(0, #run().unreadable)
      assert.equal(1, bar.n)
      local state = support.bytes(dir .. "/state.csv") -- killed within a line
      text("state.csv", state:sub(1, -20))
      bar.n = 0
      run()
      assert.equal(1, bar.n)
      bar.n = 0
      run()
      assert.equal(0, bar.n) -- what came after the torn line counts
      local listed = items()
      listed[1].frames, listed[2].frames = 30, 20 -- they have 21 and 22
      local counted = check.run(data.open { root = dir, classes = { "run", "walk" }, items = listed },
        { state = dir .. "/state.csv", bar = bar })
      assert.equal(1, #counted.short)
      assert.matches("21 frames, the list says 30", counted.short[1].message, 1, true)
    end)
  end)

  it("lets splits overlap that may, with fields for each clip, in checks and saved lists too", function()
    local names = { "train/run/clip 1.avi", "train/walk/clip 1.avi", "train/run/clip 2.avi", "train/walk/clip 2.avi" }
    local function list(name, ...)
      local lines = {}
      for i, k in ipairs { ... } do lines[i] = ("%s %d\n"):format(names[k], (k + 1) % 2) end
      return text(name, table.concat(lines))
    end
    local d = data.open { root = dir, classes = { "run", "walk" }, allow_overlap = { "val/test" },
      splits = { train = list("o1.txt", 1, 2), val = list("o2.txt", 3, 4), test = list("o3.txt", 3) },
      metadata = text("o.csv", "path,light\n" .. names[3] .. ",ELL\n") }
    assert.same({ test = 1, val = 1 }, d:where({ light = "ELL" }):count "split")
    local bar = { advance = function() end, finish = function() end }
    local check = require "dgam.data.check"
    local r = check.run(d, { bar = bar, out = dir .. "/overlap" })
    assert.same({ 0, 0, 0, 5 }, { #r.duplicate, #r.leak, #r.mislabelled, #r.clean.items })
    assert.same(d:count "split", data.open(dir .. "/overlap/dataset.lua"):count "split")
    d.items[1].path, d.items[2].path = d:split("val").items[1].path, d:split("val").items[2].path
    r = check.run(d, { bar = bar })
    assert.same({ 0, 2, 0, 3 }, { #r.duplicate, #r.leak, #r.mislabelled, #r.clean.items })
    assert.matches("in 'train', the same pictures as .- in 'test'", r.leak[1].message)
    d.items[3].label = 2
    assert.equal(2, #check.run(d, { bar = bar }).mislabelled) -- of the two that share pictures with a test clip
    d.description.allow_overlap = true
    r = check.run(d, { bar = bar })
    assert.equal(0, #r.leak)
    for _, item in ipairs(r.clean.items) do assert.not_equal(d.items[3].path, item.path) end -- it has two labels
    assert.True(#r.clean.items > 0)
  end)

  it("finds files that are cut off, and remembers that", function()
    local check = require "dgam.data.check"
    local whole = support.bytes(dir .. "/train/run/clip 5.avi")
    text("cut.avi", whole:sub(1, #whole * 6 // 10))
    local d = data.open { root = dir, classes = { "run" },
      items = { { path = "cut.avi", label = 1 }, { path = "train/run/clip 4.avi", label = 1 } } }
    local bar = { n = 0, finish = function() end, advance = function(self, n) self.n = self.n + n end }
    for again = 0, 1 do
      bar.n = 0
      local r = check.run(d, { state = dir .. "/cut.csv", bar = bar, min_frames = 100 })
      assert.same({ 0, 1, 1, 1, 2 - 2 * again }, { #r.unreadable, #r.damaged, #r.short, #r.clean.items, bar.n })
      assert.matches("/cut.avi: cut off: the file ends at byte %d+, its list of frames goes on to byte %d+; %d+ frames come out",
        r.damaged[1].message)
    end
    local state = support.bytes(dir .. "/cut.csv")
    text("cut.csv", (state:gsub(',"[^"]*"\n', "\n"))) -- as it was written before damage was looked for
    bar.n = 0
    assert.equal(1, #check.run(d, { state = dir .. "/cut.csv", bar = bar }).damaged)
    assert.equal(2, bar.n)
    d.items[2] = nil
    assert.equal(0, #check.run(d, { state = dir .. "/cut.csv", bar = bar, out = dir .. "/nothing" }).clean.items)
    assert.is_nil(lfs.attributes(dir .. "/nothing"))
  end)

  it("looks for class names below the roots only", function()
    local check = require "dgam.data.check"
    local bar = { advance = function() end, finish = function() end }
    for _, name in ipairs { "walk", "walk/a", "walk/a/run", "walk/b", "walk/b/run", "walk/b/walk" } do lfs.mkdir(dir .. "/" .. name) end
    for i, name in ipairs { "a/run/1.avi", "b/run/2.avi", "b/walk/3.avi", "a/4.avi" } do
      text("walk/" .. name, support.bytes(("%s/train/run/clip %d.avi"):format(dir, i)))
    end
    local here = lfs.currentdir()
    finally(function() lfs.chdir(here) end)
    local function wrong(root, ...)
      local items = {}
      for i, path in ipairs { ... } do items[i] = { path = path, label = 1 } end
      local names = {}
      for i, p in ipairs(check.run(data.open { root = root, classes = { "run", "walk" }, items = items }, { bar = bar }).mislabelled) do
        names[i] = p.item.path:match "[^/]*$"
      end
      return names
    end
    local top = dir .. "/walk"
    assert.same({ "3.avi" }, wrong(top, "a/4.avi", "b/run/2.avi", "b/walk/3.avi"))
    assert.same({ "3.avi" }, wrong({ top .. "/a", top .. "/b" }, "4.avi", "run/2.avi", "walk/3.avi"))
    assert.same({ "3.avi" }, wrong(dir .. "/val", top .. "/a/4.avi", top .. "/b/walk/3.avi")) -- elsewhere: the file's own folder
    lfs.chdir(top)
    assert.same({ "3.avi" }, wrong("", "a/4.avi", "b/walk/3.avi"))
    assert.same({ "3.avi" }, wrong({ "a", "b" }, "4.avi", "run/2.avi", "walk/3.avi"))
    lfs.chdir(top .. "/a")
    assert.same({ "3.avi" }, wrong({ "../../walk/a", "../../walk/b" }, "4.avi", "walk/3.avi"))
  end)

  it("checks again what failed for a time, and folders of pictures of which one has changed", function()
    local check = require "dgam.data.check"
    local function picture(k, grey)
      text(("shots/%d.ppm"):format(k), "P6 16 16 255\n" .. string.char(grey):rep(3 * 16 * 16))
      assert(lfs.touch(("%s/shots/%d.ppm"):format(dir, k), 1000, grey))
    end
    assert(lfs.mkdir(dir .. "/shots"))
    for k = 1, 3 do picture(k, 10 * k) end
    assert(lfs.touch(dir .. "/shots", 1000, 20))
    local d = data.open { root = dir, classes = { "run" }, items = { { path = "shots", label = 1 } } }
    local bar = { n = 0, finish = function() end, advance = function(self, n) self.n = self.n + n end }
    local function read(limits)
      bar.n = 0
      return #check.run(d, { state = dir .. "/shots.csv", bar = bar, limits = limits }).unreadable, bar.n
    end
    assert.same({ 1, 1 }, { read { pixels = 64 } })
    assert.same({ 0, 1 }, { read() })
    assert.same({ 0, 0 }, { read() })
    picture(2, 200)
    assert.equal(20, lfs.attributes(dir .. "/shots", "modification"))
    assert.same({ 0, 1 }, { read() })
    text("shots/2.ppm", support.bytes(dir .. "/shots/2.ppm") .. "more") -- another size, the same time
    assert(lfs.touch(dir .. "/shots/2.ppm", 1000, 200))
    assert.same({ 0, 1 }, { read() })
    assert.same({ 0, 0 }, { read() })
  end)

  it("is looked at from the command line", function()
    local function run(line, before)
      local f <close> = assert(io.popen(("%s '%s/build/dgamlua' %s 2>&1"):format(before or "", dgamlua.root, line)))
      return f:read "a"
    end
    local check = ("data check '%s/val' --state '%s/val.csv' "):format(dir, dir)
    assert.matches("%-%-min%-frames is 20.5, expected a whole number of 0 or more", run(check .. "--min-frames 20.5"))
    assert.matches("%-%-most is 0.5, expected a whole number of 0 or more", run(check .. "--most 0.5"))
    assert.matches("%-%-threads is 1.5, expected a whole number from 1 to 256", run(check .. "--threads 1.5"))
    assert.matches("%-%-threads is 257, expected", run(check .. "--threads 257"))
    assert(lfs.mkdir(dir .. "/bin"))
    text("bin/nproc", "#!/bin/sh\necho 384\n")
    assert(os.execute(("chmod +x '%s/bin/nproc'"):format(dir)))
    local all = run(check .. "--min-frames 4", ("PATH='%s/bin':$PATH"):format(dir))
    assert.matches("2 clips: 0 unreadable, 0 damaged, 1 short, .* 2 clean", all)
    assert.matches("%-%-seconds is 0, expected a finite number above 0", run(check .. "--seconds 0"))
    local slow = ("data check '%s/val' --state '%s/slow.csv' "):format(dir, dir)
    assert.matches("gave up after 1e%-09 s.*2 clips: 2 unreadable,.*nothing is clean, so no lists were written",
      run(slow .. ("--seconds 1e-9 --out '%s/none'"):format(dir)))
    assert.is_nil(lfs.attributes(dir .. "/none"))
    assert.matches("2 clips: 0 unreadable, .*open them as", run(slow .. ("--seconds 1000 --out '%s/none'"):format(dir)))
    lfs.mkdir(dir .. "/pictures")
    for k = 1, 3 do text(("pictures/%d.ppm"):format(k), "P6 16 8 255\n" .. ("x"):rep(3 * 16 * 8)) end
    assert.matches("pictures%s+16 x 8\nframes%s+3", run(("info '%s/pictures'"):format(dir)))
    assert.matches("is a folder without results files or pictures", run(("info '%s/bin'"):format(dir)))
  end)

  describe("lists", function()
    it("takes text for a number only where the number is written so", function()
      for text_of, want in pairs { ["7"] = 7, ["0.1"] = 0.1, ["-350"] = -350, ["0"] = 0, ["1e+20"] = 1e20, ["0.10"] = 0.1,
        ["1.00"] = 1.0, ["-3.5e2"] = -350, ["1e999"] = "1e999", ["0.1234567890123456"] = "0.1234567890123456",
        ["12345678901234567890"] = "12345678901234567890", ["-0"] = "-0", [" 7"] = " 7", ["007"] = "007", ["0x10"] = "0x10",
        nan = "nan", inf = "inf", [""] = "", ["-"] = "-", ["1.2.3"] = "1.2.3", e5 = "e5" } do
        assert.equal(want, lists.value(text_of))
      end
    end)

    it("keeps groups apart whose names would be one number, not those that are", function()
      local ids = { "12345678901234567890", "12345678901234567891", "1.1", "1.10", "2" }
      local rows = { "path,label,id\n" }
      for i, id in ipairs(ids) do rows[i + 1] = ("%d.avi,run,%s\n"):format(i, id) end
      local d = data.open(text("ids.csv", table.concat(rows)))
      local values = {}
      for i, group in ipairs(d:group_by "id") do values[i] = group.value end
      assert.same({ 1.1, 2, ids[1], ids[2] }, values)
    end)

    it("reads class names", function()
      assert.same({ "walk", "sit down" }, lists.classes(text("c1.txt", "0 walk\n1 sit down\n")))
      assert.same({ "walk", "run" }, lists.classes(text("c2.txt", "walk\r\nrun")))
      fails("c3.txt:2: class number 2, expected 1", lists.classes, text("c3.txt", "0 walk\n2 run\n"))
      fails("named twice", lists.classes, text("c4.txt", "walk\nwalk\n"))
    end)
  end)
end)
