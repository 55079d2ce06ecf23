// nn_composite.h - the network operators written in ATen operators: they run on every device, differentiate through
// autograd, and are the reference that the C kernels are held against. Each is registered as dgam::NAME_composite.
#ifndef DGAM_NN_COMPOSITE_H
#define DGAM_NN_COMPOSITE_H

#include <ATen/ATen.h>

#include <vector>

#include "nn/swin_block.h"

namespace dgam {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using ParamList = c10::List<OptionalTensor>;

// a [M,K] x b [K,N] -> [M,N]
Tensor gemm_composite(const Tensor &a, const Tensor &b);

// x [..., K], weight [N, K], bias [N] -> [..., N]
Tensor linear_composite(const Tensor &x, const Tensor &weight, const OptionalTensor &bias, bool bf16);

// x [N,D,H,W,C] -> [N,D,H,W,C]: Video Swin's block (Liu et al., CVPR 2022), pre-norm attention and MLP with residuals.
// window, shift: as configured, (time, height, width); both are clipped to the feature map here.
// drop_path_scale [2,N]: factor of the attention and of the MLP branch for every clip.
// params: in the order of nn/swin_block.h; qkv_b may be missing.
Tensor swin_block_composite(const Tensor &x, const ParamList &params, int64_t num_heads, at::IntArrayRef window,
                            at::IntArrayRef shift, const OptionalTensor &drop_path_scale, bool bf16);

// The parameters' names; the list as tensors, undefined where one is missing. A wrong list is an error.
extern const char *const swin_param_names[DGAM_SWIN_PARAMS];
std::vector<Tensor> swin_params(const ParamList &list);

// x: clip [N,3,T,H,W], or patches [N,L,3*pt*ph*pw] of such a clip; shape = (T,H,W); weight [C,3,pt,ph,pw]
// -> [N, ceil(T/pt), ceil(H/ph), ceil(W/pw), C]; norm_w, norm_b may be missing.
Tensor patch_embed_composite(const Tensor &x, const Tensor &weight, const Tensor &bias, const OptionalTensor &norm_w,
                             const OptionalTensor &norm_b, at::IntArrayRef shape, bool bf16);

// x [N,D,H,W,C] -> [N,D,ceil(H/2),ceil(W/2),2C]: 2x2 neighbours, norm over 4C, linear 4C -> 2C without bias.
Tensor patch_merge_composite(const Tensor &x, const Tensor &norm_w, const Tensor &norm_b, const Tensor &reduction_w,
                             bool bf16);

// One AdamW step in place, as torch.optim.AdamW: decay, moments, bias-corrected update. step counts from 1.
void adamw_composite(Tensor &p, const Tensor &g, Tensor &m, Tensor &v, double lr, double beta1, double beta2, double eps,
                     double weight_decay, int64_t step);

}  // namespace dgam
#endif
