--- dgam.heads: pooled features through the linear head of each clip's expert.
local torch = require "torch"
local ops = torch.ops.dgam

local heads = {}

--- logits[n] = W[head[n]] (mask[n] * mean_l x[n, l]) + b[head[n]].
-- @param x float [N, L, C], tokens
-- @param weight float [E, K, C]; bias float [E, K] or torch.none
-- @param head int64 [N], the expert of each clip, from 1
-- @param mask float [N, C] or nil: dropout factors
-- @return float [N, K]; gradients for x, weight and bias
function heads.pooled(x, weight, bias, head, mask) return ops.pooled_heads(x, weight, bias, head, mask) end

--- The same in ATen operators.
function heads.reference(x, weight, bias, head, mask) return ops.pooled_heads_composite(x, weight, bias, head, mask) end

return heads
