--- dgam.swin: the parts of a Video Swin Transformer as functions of tensors. models.video_swin composes them.
--
-- On the CPU, float32 tensors run core/nn, forward and backward; everything else, and the twins swin.reference.NAME, runs
-- ATen operators. Shapes: N clips, D x H x W tokens, C channels. With bf16 = true, matrix products take bfloat16 operands
-- and sum in float32; parameters, LayerNorm, softmax and the residual stay float32. Errors name the argument and its shape.
local torch = require "torch"
local ops = torch.ops.dgam

local swin = {}

--- One block: x + attention(norm1 x), then + mlp(norm2 ...) (Liu et al., CVPR 2022).
-- swin.block(x, parameters, num_heads, window, shift [, drop_path_scale [, bf16 [, recompute]]])
-- @param x float [N, D, H, W, C]
-- @param parameters { norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, bias_table, norm2_w, norm2_b, fc1_w, fc1_b, fc2_w,
--   fc2_b }; qkv_b may be torch.none
-- @param bias_table [(2wt-1)(2wh-1)(2ww-1), num_heads], relative position bias; window and shift {time, height, width} as
--   configured, clipped to the feature map inside
-- @param drop_path_scale [2, N] factor of each branch for every clip, or torch.none
-- @param recompute true: keep LayerNorm statistics, log-sum-exp and attention's output for backward and compute q, k, v and
--   the hidden layer again; about a tenth slower, activations in less than half the memory
-- @return float [N, D, H, W, C]
swin.block = ops.swin_block

--- Clip [N, 3, T, H, W], or its patches [N, L, 3 pt ph pw] as dgam.gic writes them, to tokens.
-- swin.patch_embed(x, weight [C, 3, pt, ph, pw], bias [C], norm_w, norm_b, {T, H, W} [, bf16]) -> [N, D, H', W', C]
swin.patch_embed = ops.patch_embed

--- 2 x 2 neighbours to one token: norm over 4C, linear 4C -> 2C; odd sizes are padded with zeros.
-- swin.patch_merge(x [N, D, H, W, C], norm_w [4C], norm_b [4C], reduction_w [2C, 4C] [, bf16]) -> [N, D, H/2, W/2, 2C]
swin.patch_merge = ops.patch_merge

--- Whether this processor has matrix products of bfloat16. Where it has not, bf16 = true computes in float32 and says so
-- once on standard error.
swin.has_bf16 = ops.has_bf16

--- x [..., K] W^T + b through oneDNN. swin.linear(x, weight [N, K], bias [N] | nil [, bf16]) -> [..., N]
swin.linear = ops.linear

--- The same written in ATen operators, for any device.
swin.reference = {
  block = ops.swin_block_composite,
  patch_embed = ops.patch_embed_composite,
  patch_merge = ops.patch_merge_composite,
  linear = ops.linear_composite,
}

return swin
