--- models.predict: what a trained model says of videos, clip for clip as training's evaluation looks at them.
--
--     local model, about = dgam.load "walk.h5"
--     for r in predict.each(model, about, { "a.avi", "b.avi" }) do print(r.path, r.top[1].class, r.top[1].probability, r.gamma) end
local lfs = require "lfs"
local torch = require "torch"
local data = require "dgam.data"
local gic = require "dgam.kernels.gic"
local lists = require "dgam.data.lists"

local predict = {}

local function lines_of(path)
  local found, base = {}, path:match "^(.*/)" or ""
  local f <close> = assert(io.open(path, "rb"))
  for line in f:lines() do
    line = line:gsub("^\xEF\xBB\xBF", ""):gsub("%s+$", "")
    local name = line:match "^(.+)%s+%d+$" or line -- `path label`, as a dataset's lists have it
    if name ~= "" and name:sub(1, 1) ~= "#" then found[#found + 1] = name:sub(1, 1) == "/" and name or base .. name end
  end
  return found
end

local function holds_pictures(folder)
  for _, name in ipairs(lists.folder(folder)) do
    if lists.is_picture(name) then return true end
  end
  return false
end

--- The videos that words of a command line name, each once: files; folders, with all videos below them; a folder of
-- pictures; a list (.txt) with a path a line, from the list's folder, and perhaps a label.
-- Errors: nothing there; a folder or list without a video.
function predict.videos(words)
  local found, seen = {}, {}
  local function add(path)
    if not seen[path] then seen[path], found[#found + 1] = true, path end
  end
  for _, word in ipairs(words) do
    local mode, before = lfs.attributes(word, "mode"), #found
    if not mode then error(("'%s' does not exist, expected a video, a folder of videos or a list (.txt)"):format(word), 0) end
    if mode == "directory" then
      lists.videos(word, function(path) add(word .. "/" .. path) end)
      if #found == before and holds_pictures(word) then add(word) end
    elseif word:find "%.txt$" then
      for _, path in ipairs(lines_of(word)) do add(path) end
    else
      add(word)
    end
    if #found == before and not seen[word] and (mode == "directory" or word:find "%.txt$") then
      error(("'%s' holds no video"):format(word), 0)
    end
  end
  return found
end

-- A dataset of these files. Labels are not known; every clip takes the first.
local function dataset_of(paths, classes)
  local items = {}
  for i, path in ipairs(paths) do items[i] = { path = path, label = 1, split = "all" } end
  return data.open { name = "predict", classes = classes, items = items, root = { "." } }
end

-- Which gamma most views of a clip were given, and how many.
local function most_frequent(experts, first, count)
  local uses, best = {}, nil
  for v = first, first + count - 1 do
    local e = experts[v]
    uses[e] = (uses[e] or 0) + 1
    if not best or uses[e] > uses[best] then best = e end
  end
  return best, uses[best]
end

--- Looks at videos one after the other.
-- @param model, about what dgam.load gave
-- @param paths list of videos
-- @param options clips, crops = views of a video (default: as the model was tested), topk = 5, threads = 2, batch = 4 videos,
--   progress = function(done, all), on_skip = function(path, message) for what cannot be read
-- @return iterator of { path, top = list of { class, probability }, gamma (of most views; nil for a model without experts), expert,
--   views, agree = views with that gamma, lambda = mean weights of the experts, scores = probabilities of all classes }
function predict.each(model, about, paths, options)
  options = options or {}
  local input = about.input
  local dataset = dataset_of(paths, about.classes)
  local clips, crops = options.clips or input.test_clips or 1, options.crops or input.test_crops or 1
  local loader = data.loader(dataset, { split = "all", batch = options.batch or 4, clip_len = input.clip_len, interval = input.interval,
    size = input.size, enhance = input.enhance, threads = options.threads or 2, views = { clips = clips, crops = crops },
    quiet = options.on_skip ~= nil, on_skip = options.on_skip })
  local views, topk = clips * crops, math.min(options.topk or 5, #about.classes)
  model:eval()
  return coroutine.wrap(function()
    for batch in loader:epoch(0) do
      local logits, info = torch.no_grad(function() return model(batch.clip) end)
      local n = batch.label:size(1)
      local scores = logits:softmax(2):reshape(n, views, -1):mean(2)
      local best = { scores:topk(topk, 2) }
      local values, classes, experts = best[1]:totable(), best[2]:totable(), info.expert:totable()
      local lambda = info.lambda and info.lambda:reshape(n, views, -1):mean(2):totable()
      for i, at in ipairs(batch.index:totable()) do
        local expert, agree = most_frequent(experts, (i - 1) * views + 1, views)
        local top = {}
        for k = 1, topk do top[k] = { class = about.classes[classes[i][k]], probability = values[i][k] } end
        coroutine.yield { path = dataset.items[at].path, top = top, expert = expert, agree = agree, views = views,
          gamma = #model.gammas > 1 and model.gammas[expert] or nil, lambda = lambda and lambda[i], scores = scores[i]:totable() }
      end
    end
    loader:close()
  end)
end

--- What the network sees of a clip that was corrected with one gamma, as pixels again.
-- @param model models.dgam; clip uint8 [N, 3, T, H, W]; expert from 1
-- @return uint8, the same shape
function predict.seen(model, clip, expert)
  local mean = torch.tensor(model.mean, { dtype = "float32" }):view(1, 3, 1, 1, 1)
  local std = torch.tensor(model.std, { dtype = "float32" }):view(1, 3, 1, 1, 1)
  local x = gic.expert(clip:contiguous(), model.gammas[expert], { domain = model.domain, mean = model.mean, std = model.std })
  return (x * std + mean):round():clamp(0, 255):to "uint8"
end

return predict
