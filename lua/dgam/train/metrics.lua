--- dgam.metrics: what a prediction is worth. All fractions are percentages, as in the paper's tables.
local torch = require "torch"

local metrics = {}

--- @param scores float [N, K] (logits or probabilities), labels int64 [N] from 1
-- @return { top1 =, top5 =, mean_class =, n = } in percent; top5 counts all K classes when K < 5
function metrics.accuracy(scores, labels)
  local n, k = scores:size(1), scores:size(2)
  if n == 0 then error("metrics.accuracy: no clips to score", 2) end
  if labels:size(1) ~= n then
    error(("metrics.accuracy: %d labels for %d clips"):format(labels:size(1), n), 2)
  end
  local _, order = scores:topk(math.min(5, k), 2)
  local hit = order:eq(labels:unsqueeze(2))
  local first = hit[{ {}, 1 }]:float()
  local right, total = torch.zeros(k), torch.zeros(k)
  right:index_add_(1, labels, first)
  total:index_add_(1, labels, torch.ones(n))
  local present = total:gt(0)
  return {
    top1 = 100 * first:mean():item(),
    top5 = 100 * hit:any(2):float():mean():item(),
    mean_class = 100 * (right[present] / total[present]):mean():item(),
    n = n,
  }
end

--- The same split by a group name per clip: adds top1_ll, top5_ll ... for every group "LL".
-- @param groups list of strings, one a clip
function metrics.by_group(scores, labels, groups)
  local result = metrics.accuracy(scores, labels)
  local members = {}
  for i, g in ipairs(groups) do
    members[g] = members[g] or {}
    table.insert(members[g], i)
  end
  for g, list in pairs(members) do
    local rows = torch.tensor(list)
    local part = metrics.accuracy(scores:index_select(1, rows), labels:index_select(1, rows))
    for name, value in pairs(part) do result[name .. "_" .. g:lower()] = value end
  end
  return result
end

--- Rows: true class, columns: predicted class; counts.
function metrics.confusion(scores, labels)
  local k = scores:size(2)
  local flat = (labels - 1) * k + scores:argmax(2)
  local counts = torch.zeros(k * k)
  counts:index_add_(1, flat, torch.ones(labels:size(1)))
  return counts:view(k, k)
end

return metrics
