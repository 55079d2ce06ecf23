// nn_ops.cpp - the network kernels of core/nn as operators; see nn_composite.h for what each computes.
#include <torch/library.h>

#include "torch/nn_composite.h"
#include "torch/ops.h"

namespace dgam {
namespace {

void adamw(Tensor p, const Tensor &g, Tensor m, Tensor v, double lr, double beta1, double beta2, double eps,
           double weight_decay, int64_t step) {
  TORCH_CHECK(p.sizes() == g.sizes() && p.sizes() == m.sizes() && p.sizes() == v.sizes(), "adamw_: parameter ", p.sizes(),
              ", gradient ", g.sizes(), ", moments ", m.sizes(), " and ", v.sizes(), ", expected one shape");
  adamw_composite(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step);
}

}  // namespace
}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("gemm(Tensor a, Tensor b) -> Tensor", &dgam::gemm_composite);
  m.def("linear(Tensor x, Tensor weight, Tensor? bias=None, bool bf16=False) -> Tensor", &dgam::linear_composite);
  m.def("swin_block(Tensor x, Tensor norm1_w, Tensor norm1_b, Tensor qkv_w, Tensor? qkv_b, Tensor proj_w, "
        "Tensor proj_b, Tensor bias_table, Tensor norm2_w, Tensor norm2_b, Tensor fc1_w, Tensor fc1_b, Tensor fc2_w, "
        "Tensor fc2_b, int num_heads, int[] window, int[] shift, Tensor? drop_path_scale=None, bool bf16=False) -> Tensor",
        &dgam::swin_block_composite);
  m.def("patch_embed(Tensor x, Tensor weight, Tensor bias, Tensor? norm_w, Tensor? norm_b, int[] shape, "
        "bool bf16=False) -> Tensor",
        &dgam::patch_embed_composite);
  m.def("patch_merge(Tensor x, Tensor norm_w, Tensor norm_b, Tensor reduction_w, bool bf16=False) -> Tensor",
        &dgam::patch_merge_composite);
  m.def("adamw_(Tensor(a!) p, Tensor g, Tensor(b!) m, Tensor(c!) v, float lr, float beta1, float beta2, float eps, "
        "float weight_decay, int step) -> ()",
        &dgam::adamw);
}
