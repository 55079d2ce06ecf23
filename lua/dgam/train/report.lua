--- dgam.train.report: what an experiment stores of a trained model.
local torch = require "torch"
local device = require "dgam.train.device"
local evaluate = require "dgam.train.evaluate"
local gate = require "dgam.train.gate"
local metrics = require "dgam.train.metrics"
local options = require "dgam.train.options"
local rng = require "dgam.kernels.rng"
local keys_of = require "util.keys"

-- Adds the fields of a history as curves: name -> list. Where only some epochs were validated, val_epoch says which.
local function add_curves(curves, history, prefix)
  local function add(name, value)
    curves[prefix .. name] = curves[prefix .. name] or {}
    table.insert(curves[prefix .. name], value)
  end
  for _, record in ipairs(history) do
    for _, name in ipairs(keys_of(record)) do add(name, record[name]) end
    if record.val_top1 then add("val_epoch", record.epoch) end
  end
end

-- An expert for every view, drawn by (seed, clip, view): int64 [N * V].
local function draw(count, seed, batch, views, where)
  local drawn = {}
  for _, at in ipairs(batch.index:totable()) do
    for v = 1, views do drawn[#drawn + 1] = 1 + rng.below(count, seed, at, v) end
  end
  return torch.tensor(drawn, { device = where })
end

-- Probabilities on the test list, the mean over views: { gated, random = [n, K], experts = [n, E, K], lambda = [n, E] }, labels,
-- index. Gating is per view: the gated and the random choice are made before views are averaged.
local function test(model, dataset, cfg)
  local e, k, where = #model.gammas, model.classes, device.of(model)
  local all, labels, index = evaluate.over_split(dataset, cfg, "test", cfg.test_clips, cfg.test_crops, where, "test",
    function(clip, batch)
      local p = model:expert_logits(clip):softmax(3) -- [N * V, E, K]
      local lambda = model:lambda(model:stats(clip))
      local drawn = draw(e, cfg.seed, batch, p:size(1) // batch.label:size(1), where)
      return torch.cat({ gate.pick(p, lambda:argmax(2)), gate.pick(p, drawn), p:flatten(2), lambda }, 2)
    end)
  local gated, random, experts, lambda = table.unpack(all:split_with_sizes({ k, k, e * k, e }, 2))
  return { gated = gated, random = random, experts = experts:reshape(-1, e, k), lambda = lambda }, labels, index
end

-- The expert that is right most often on the validation list.
local function best_fixed(val, count)
  local best, best_top1
  for i = 1, count do
    local top1 = metrics.accuracy(val.logits[{ {}, i }], val.labels).top1
    if not best or top1 > best_top1 then best, best_top1 = i, top1 end
  end
  return best
end

-- Per clip the expert that gives the right class most.
local function oracle(experts, labels)
  local n, e = table.unpack(experts.shape)
  local right = experts:gather(3, labels:view(n, 1, 1):expand(n, e, 1)):squeeze(3)
  return gate.pick(experts, right:argmax(2))
end

-- What the test clips are: the names of the classes, and the light and camera of every clip where the dataset tells them.
local function describe_clips(texts, dataset, index)
  texts.classes = { table.unpack(dataset.classes) }
  for _, field in ipairs { "light", "camera" } do
    if next(dataset:count(field)) then
      local list = {}
      for i, at in ipairs(index:totable()) do list[i] = tostring(dataset.items[at][field] or "none") end
      texts["clip_" .. field] = list
    end
  end
end

--- What an experiment stores of a trained model: its accuracy on the test list, and, where there are several experts,
-- that of other ways to choose among them: fixed_ (the single expert that is best on the validation list), random_ (drawn
-- for every view), oracle_ (per clip the expert that gives the right class most). A gate that sends over 95% of the test clips
-- to one expert is said on standard error and in texts.notes.
-- @param trained what train.switching returned
-- @param by dataset field to split by, such as "light"
-- @return { metrics =, curves =, arrays =, texts =, model = the model } as experiment trials return. arrays.right (fixed_right
--   ...) says of every test clip whether the top class was right; texts.classes and texts.clip_light what they are. Curves:
--   loss, accuracy, lr, val_top1 ... by epoch, of the gate with gate_ before the name; val_epoch: the epochs that were validated
return function(model, dataset, cfg, trained, by)
  cfg = options.complete(cfg)
  model:eval()
  local said, labels, index = test(model, dataset, cfg)
  local result = { metrics = {}, curves = {}, texts = {}, model = model,
    arrays = { scores = said.gated, experts = said.experts, lambda = said.lambda, labels = labels, index = index } }
  local function add(prefix, scores)
    for name, value in pairs(evaluate.score(dataset, scores, labels, index, by)) do result.metrics[prefix .. name] = value end
    result.arrays[prefix .. "right"] = scores:argmax(2):eq(labels):byte()
  end
  add("", said.gated)
  describe_clips(result.texts, dataset, index)
  if #model.gammas > 1 then
    local best = best_fixed(trained.val, #model.gammas)
    result.metrics.fixed_gamma = model.gammas[best]
    add("fixed_", said.experts[{ {}, best }])
    add("random_", said.random)
    add("oracle_", oracle(said.experts, labels))
    local collapse = gate.collapsed(said.lambda, model.gammas)
    if collapse then
      result.texts.notes = { collapse }
      io.stderr:write(evaluate.title(cfg, collapse), "\n")
    end
  end
  add_curves(result.curves, trained.history, "")
  add_curves(result.curves, trained.gate_history, "gate_")
  return result
end
