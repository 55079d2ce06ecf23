--- dgam.train.evaluate: what a model says of a split, and how often it is right.
local torch = require "torch"
local metrics = require "dgam.train.metrics"
local options = require "dgam.train.options"
local loaders = require "dgam.train.loaders"
local device = require "dgam.train.device"
local progress = require "dgam.show.progress"

local evaluate = {}

--- "LABEL, what" for a progress bar, or "what" where the run has no label.
function evaluate.title(cfg, what) return cfg.label and cfg.label .. ", " .. what or what end

-- [N * V, ...] -> [N, ...], the mean over the V views of each of n clips.
local function over_views(scores, n)
  local shape = scores.shape
  return scores:reshape({ n, shape[1] // n, table.unpack(shape, 2) }):mean(2)
end

--- Calls f for every batch of a split, without gradients, and averages the views of each clip.
-- @param where device that f is given its clips on
-- @param what name for a progress bar (none)
-- @param f function(clip uint8 [N * V, 3, T, H, W], batch) -> float [N * V, ...]; index and label of the batch are on the CPU
-- @return scores [clips, ...], labels [clips], index [clips] (positions in dataset.items), all on the CPU
function evaluate.over_split(dataset, cfg, split, clips, crops, where, what, f)
  local loader = loaders.test(dataset, cfg, split, clips, crops)
  local bar = what and progress.new(evaluate.title(cfg, what), loader:batches())
  local scores, labels, index = {}, {}, {}
  for batch in loader:epoch(0) do
    local s = torch.no_grad(f, device.put(batch.clip, where), batch)
    scores[#scores + 1] = device.back(over_views(s, batch.label:size(1)))
    labels[#labels + 1], index[#index + 1] = batch.label, batch.index
    if bar then bar:advance(1, {}, batch.label:size(1)) end
  end
  if bar then bar:finish() end
  loaders.finish(loader)
  if #scores == 0 then error(("the list '%s' gave no readable clip"):format(split), 0) end
  return torch.cat(scores, 1), torch.cat(labels, 1), torch.cat(index, 1)
end

--- Softmax scores of a model on a split, averaged over views.
-- @return probabilities [clips, classes], labels [clips], index [clips]
function evaluate.predict(model, dataset, cfg, split)
  cfg = options.complete(cfg)
  model:eval()
  return evaluate.over_split(dataset, cfg, split, cfg.test_clips, cfg.test_crops, device.of(model), split,
    function(clip) return (model(clip)):softmax(2) end)
end

--- Top-1, top-5 and mean class accuracy on a split, also by dataset field (`by = "light"` gives top1_ll, top1_ell).
function evaluate.evaluate(model, dataset, cfg, split, by)
  local scores, labels, index = evaluate.predict(model, dataset, cfg, split)
  return evaluate.score(dataset, scores, labels, index, by)
end

--- The same from scores known already. Clips without the field are the group "none"; if none has it, there are no groups.
function evaluate.score(dataset, scores, labels, index, by)
  if not by or not next(dataset:count(by)) then return metrics.accuracy(scores, labels) end
  local groups = {}
  for i, at in ipairs(index:totable()) do groups[i] = tostring(dataset.items[at][by] or "none") end
  return metrics.by_group(scores, labels, groups)
end

return evaluate
