-- Kept models: one file that gives the model back, and what it says of videos.
local torch = require "torch"
local dgam = require "dgam"
local models = require "models"
local predict = require "models.predict"
local shell = require "util.shell"
local checkpoint = require "dgam.train.checkpoint"
local support = require "support"
local film = require "film"

local INPUT = { clip_len = 4, interval = 2, size = 32, test_clips = 2, test_crops = 3 }
local CLASSES = { "walk", "run", "sit, slowly" }

local function model_of(options)
  torch.manual_seed(3)
  local o = { backbone = { embed = 16, depths = { 1, 1 }, heads = { 2, 4 }, window = { 2, 4, 4 } }, gammas = { 1, 2 }, classes = 3,
    frames = 4 }
  for k, v in pairs(options or {}) do o[k] = v end
  return models.dgam(o):eval()
end

-- What `dgamlua predict ...` prints, its status, and what it says on standard error.
local function run(...)
  local words, said = { shell.program(), "predict" }, os.tmpname()
  for _, word in ipairs { ... } do words[#words + 1] = shell.quote(word) end
  local pipe = io.popen(table.concat(words, " ") .. " 2>" .. said)
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  local errors = support.bytes(said)
  os.remove(said)
  return text, status, errors
end

describe("a kept model", function()
  local folder, path, model
  setup(function()
    folder = support.folder()
    path = folder .. "/kept.h5"
    model = model_of()
    models.save(path, model, { classes = CLASSES, input = INPUT, training = { lr = 1e-3, seed = 2 }, metrics = { top1 = 50.5 },
      dataset = "kitchen" })
    for i, name in ipairs { "a", "b", "c" } do film.write(("%s/%s.avi"):format(folder, name), 12 + i, 48, 32) end
    film.text(folder .. "/list.txt", "b.avi 1\n\n# not this\na.avi\n")
    film.text(folder .. "/words.avi", "no video")
  end)
  teardown(function() support.remove(folder) end)

  it("comes back with its weights, options and description, from both formats", function()
    local clip = torch.randint(40, { 2, 3, 4, 32, 32 }, { dtype = "uint8" })
    local want = torch.no_grad(function() return (model(clip)) end)
    models.save(folder .. "/kept.safetensors", model, { classes = CLASSES, input = INPUT })
    for _, file in ipairs { path, folder .. "/kept.safetensors" } do
      local again, about = dgam.load(file)
      assert.is_false(again.training)
      assert.equal(0, (torch.no_grad(function() return (again(clip)) end) - want):abs():max():item())
      assert.same(CLASSES, about.classes)
      assert.same({ 1, 2 }, about.options.gammas)
      assert.equal(4, about.input.clip_len)
    end
    local _, about = dgam.load(path)
    assert.equal(1e-3, about.training.lr)
    assert.equal(50.5, about.metrics.top1)
  end)

  it("is asked for what a file cannot keep", function()
    local gate = { forward = function(_, stats) return torch.ones(stats:size(1), 2) end }
    local own = folder .. "/own.h5"
    models.save(own, model_of { gate = gate }, { classes = CLASSES, input = INPUT })
    support.fails("a gate of one's own, which the file does not keep: load(path, { gate = YOURS })", dgam.load, own)
    local again = dgam.load(own, { gate = gate })
    assert.equal(1, again:lambda(torch.zeros(1, 12)):sum():item())
  end)

  it("is told from weights alone, from another version and from damaged descriptions", function()
    local plain = folder .. "/plain.h5"
    checkpoint.save(plain, model:state_dict())
    support.fails("does not say of which model; models.load_pretrained", dgam.load, plain)
    checkpoint.save(plain, model:state_dict(), { model = { architecture = "dgam", version = 9 } })
    support.fails("the model file has version 9, this program reads version 1", dgam.load, plain)
    checkpoint.save(plain, model:state_dict(), { model = { architecture = "dgam", version = 1, options = 3 } })
    support.fails("is not a model as dgamlua keeps it", dgam.load, plain)
    support.fails("classes has 1 names, expected the model's 3", models.save, plain, model, { classes = { "a" }, input = INPUT })
    support.fails("clip_len is nil, expected a whole number", models.save, plain, model, { classes = CLASSES, input = {} })
  end)

  it("says of a clip what training's evaluation says", function()
    local files = { folder .. "/a.avi", folder .. "/b.avi", folder .. "/c.avi" }
    local items = {}
    for i, p in ipairs(files) do items[i] = { path = p, label = 1, split = "test" } end
    local data = dgam.data.open { name = "same", classes = CLASSES, items = items, root = { "." } }
    local cfg = setmetatable({ batch = 2 }, { __index = INPUT })
    local scores, _, index = dgam.train.predict(model, data, cfg, "test")
    local again, about = dgam.load(path)
    local seen = 0
    for r in predict.each(again, about, files, { topk = 2 }) do
      seen = seen + 1
      local want = scores[seen]
      assert.equal(files[index[seen]:item()], r.path)
      assert.is_true((torch.tensor(r.scores) - want):abs():max():item() < 1e-6)
      assert.equal(2, #r.top)
      assert.equal(CLASSES[want:argmax(1):item()], r.top[1].class)
      assert.is_true(r.gamma == 1 or r.gamma == 2)
      assert.equal(6, r.views)
    end
    assert.equal(3, seen)
  end)

  it("is shown what it saw: the identity for gamma 1, brighter within the frame's range for more", function()
    local clip = torch.randint(60, { 1, 3, 4, 16, 16 }, { dtype = "uint8" })
    local same, brighter = predict.seen(model, clip, 1), predict.seen(model, clip, 2)
    assert.is_true((same:float() - clip:float()):abs():max():item() <= 1)
    assert.is_true(brighter:float():mean():item() > clip:float():mean():item())
  end)

  it("finds videos by file, folder and list, each once", function()
    local a, b, c = folder .. "/a.avi", folder .. "/b.avi", folder .. "/c.avi"
    assert.same({ b, a, c }, predict.videos { folder .. "/list.txt", a, c, b })
    support.fails("does not exist, expected a video, a folder of videos or a list", predict.videos, { folder .. "/none" })
    local empty = support.folder()
    support.fails("holds no video", predict.videos, { empty })
    support.remove(empty)
  end)

  it("tells it as text, CSV and JSON, with pictures, and what cannot be read", function()
    local a = folder .. "/a.avi"
    local text, status = run(path, a, "--topk", "1", "--strip", folder .. "/strip.png", "--overlay", folder .. "/over.mp4")
    assert.equal(0, status)
    assert.matches("a%.avi%s+[%w ,%-]+ %d+%.%d%%  gamma [12]", text)
    local png, mp4 = dgam.video.info(folder .. "/strip.png"), dgam.video.info(folder .. "/over.mp4")
    assert.is_true(png.width > 400 and png.height > 200)
    assert.equal(13, mp4.frames)
    local lines = run(path, a, "--csv")
    assert.matches("^path,gamma,class1,probability1,class2,probability2,class3,probability3\r?\n", lines)
    if lines:find("sit, slowly", 1, true) then assert.matches('"sit, slowly"', lines) end
    local record = require "util.json".decode((run(path, a, "--json")))
    assert.equal(3, #record.top)
    assert.is_true(math.abs(record.top[1].probability + record.top[2].probability + record.top[3].probability - 1) < 1e-6)
    local _, failed, said = run(path, folder .. "/words.avi", a)
    assert.equal(1, failed)
    assert.matches("words%.avi: this is not a video.-1 video, .-1 could not be read", said)
    _, failed, said = run(path, a, "--csv", "--json")
    assert.equal(1, failed)
    assert.equal("dgamlua: --csv and --json exclude each other\n", said)
  end)

  it("is told by info without loading libtorch", function()
    local pipe = io.popen(("%s -e 'require(\"cli.info\").run { %q }; assert(not package.loaded.torch)' 2>&1"):format(shell.program(), path))
    local text = pipe:read "a"
    pipe:close()
    assert.matches("model%s+dgam", text)
    assert.matches("3 classes", text)
    assert.matches("top1%s+50%.5", text)
  end)
end)
