// head_ops.cpp - what stands before and behind the backbone as operators: the gate and the per-expert heads.
//
//   gate(stats [n,S], parameters, eps)      lambda [n,E]; see core/nn/gate.h. parameters: weight, bias, norm weight, norm
//                                           bias, running mean, running variance of layers 1 and 2, weight, bias of 3
//   pooled_heads(x [N,L,C], weight [E,K,C], bias [E,K], head [N], mask [N,C])
//                                           logits [N,K]: mean over L, times mask, through the linear head of each clip
// float32 on the CPU runs core/nn; everything else, gradients through the gate included, runs the ATen twins
// gate_composite and pooled_heads_composite.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "nn/gate.h"
#include "nn/heads.h"
#include "torch/ops.h"

namespace dgam {
namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool plain(const Tensor &t) { return t.is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided; }
bool given(const OptionalTensor &t) { return t.has_value() && t->defined(); }
Tensor value_or_empty(const OptionalTensor &t) { return given(t) ? *t : Tensor(); }
const float *data(const Tensor &t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
Tensor dense(const Tensor &t) { return t.defined() ? readable(t) : t; }

// --- gate ---

constexpr size_t GATE_PARAMETERS = 14;

void check_gate(const Tensor &stats, at::TensorList p) {
  DGAM_CHECK("gate", stats.dim() == 2, "stats is ", stats.sizes(), ", expected [n, 3T]");
  DGAM_CHECK("gate", p.size() == GATE_PARAMETERS, p.size(), " parameters, expected ", GATE_PARAMETERS);
  int64_t inputs = stats.size(1);
  for (size_t layer = 0, at = 0; layer < 3; layer++) {
    const Tensor &w = p[at++];
    DGAM_CHECK("gate", w.dim() == 2 && w.size(1) == inputs, "the weight of layer ", layer + 1, " is ", w.sizes(),
               ", expected [out, ", inputs, "]");
    inputs = w.size(0);
    for (int vectors = layer < 2 ? 5 : 1; vectors > 0; vectors--, at++)
      DGAM_CHECK("gate", p[at].dim() == 1 && p[at].size(0) == inputs, "a vector of layer ", layer + 1, " is ",
                 p[at].sizes(), ", expected [", inputs, "]");
  }
}

Tensor gate_composite(const Tensor &stats, at::TensorList p, double eps) {
  check_gate(stats, p);
  Tensor x = stats;
  for (size_t at = 0; at < 12; at += 6) {
    x = at::linear(x, p[at], p[at + 1]);
    x = at::leaky_relu(at::batch_norm(x, p[at + 2], p[at + 3], p[at + 4], p[at + 5], false, 0.1, eps, false), 0.01);
  }
  return at::linear(x, p[12], p[13]).softmax(1);
}

Tensor gate(const Tensor &stats, at::TensorList p, double eps) {
  check_gate(stats, p);
  bool kernel = !composite_forced() && plain(stats), grad = stats.requires_grad();
  for (const Tensor &t : p) {
    kernel = kernel && plain(t);
    grad = grad || t.requires_grad();
  }
  if (!kernel || (grad && at::GradMode::is_enabled())) return gate_composite(stats, p, eps);
  std::vector<Tensor> d;
  for (const Tensor &t : p) d.push_back(readable(t));
  Tensor x = readable(stats);
  size_t widths[4] = {(size_t)x.size(1), (size_t)d[0].size(0), (size_t)d[6].size(0), (size_t)d[12].size(0)};
  dgam_gate_layer layers[3] = {
      {data(d[0]), data(d[1]), data(d[2]), data(d[3]), data(d[4]), data(d[5])},
      {data(d[6]), data(d[7]), data(d[8]), data(d[9]), data(d[10]), data(d[11])},
      {data(d[12]), data(d[13]), nullptr, nullptr, nullptr, nullptr},
  };
  Tensor lambda = at::empty({x.size(0), (int64_t)widths[3]}, x.options());
  Tensor scratch = at::empty({(int64_t)(widths[1] + widths[2])}, x.options());
  check("gate", dgam_gate_forward((size_t)x.size(0), widths, layers, (float)eps, data(x), lambda.data_ptr<float>(),
                                  scratch.data_ptr<float>()));
  return lambda;
}

// --- heads ---

void check_heads(const Tensor &x, const Tensor &w, const OptionalTensor &bias, const Tensor &head,
                 const OptionalTensor &mask) {
  DGAM_CHECK("pooled_heads", x.dim() == 3 && x.size(1) > 0, "x is ", x.sizes(), ", expected [N, L, C]");
  DGAM_CHECK("pooled_heads", w.dim() == 3 && w.size(2) == x.size(2), "weight is ", w.sizes(), ", expected [E, K, ",
             x.size(2), "]");
  DGAM_CHECK("pooled_heads", !given(bias) || (bias->dim() == 2 && bias->size(0) == w.size(0) && bias->size(1) == w.size(1)),
             "bias is ", value_or_empty(bias).sizes(), ", expected [", w.size(0), ", ", w.size(1), "]");
  DGAM_CHECK("pooled_heads", head.dim() == 1 && head.size(0) == x.size(0) && head.scalar_type() == at::kLong, "head is ",
             type_name(head.scalar_type()), " ", head.sizes(), ", expected int64 [", x.size(0), "]");
  DGAM_CHECK("pooled_heads", !given(mask) || (mask->dim() == 2 && mask->size(0) == x.size(0) && mask->size(1) == x.size(2)),
             "mask is ", value_or_empty(mask).sizes(), ", expected [", x.size(0), ", ", x.size(2), "]");
  if (!head.is_cpu()) return;
  Tensor wanted = readable(head);
  for (int64_t i = 0; i < wanted.size(0); i++) { // counted from 1, as the caller in Lua does
    int64_t one = wanted.data_ptr<int64_t>()[i] + 1;
    DGAM_CHECK("pooled_heads", one >= 1 && one <= w.size(0), "head ", i + 1, " is ", one, ", expected 1 to ", w.size(0));
  }
}

Tensor pooled_heads_composite(const Tensor &x, const Tensor &w, const OptionalTensor &bias, const Tensor &head,
                              const OptionalTensor &mask) {
  check_heads(x, w, bias, head, mask);
  Tensor pooled = x.mean(1);
  if (given(mask)) pooled = pooled * *mask;
  Tensor logits = at::bmm(w.index_select(0, head), pooled.unsqueeze(2)).squeeze(2);
  return given(bias) ? logits + bias->index_select(0, head) : logits;
}

struct PooledHeads : torch::autograd::Function<PooledHeads> {
  static dgam_heads_desc desc(const Tensor &x, const Tensor &w) {
    return {(size_t)x.size(0), (size_t)x.size(1), (size_t)x.size(2), (size_t)w.size(0), (size_t)w.size(1)};
  }

  static Tensor forward(AutogradContext *ctx, const Tensor &x_, const Tensor &w_, const OptionalTensor &b_,
                        const Tensor &head_, const OptionalTensor &mask_) {
    Tensor x = dense(x_), w = dense(w_), b = dense(value_or_empty(b_)), head = readable(head_);
    Tensor mask = dense(value_or_empty(mask_));
    dgam_heads_desc d = desc(x, w);
    Tensor pooled = at::empty({x.size(0), x.size(2)}, x.options()), logits = at::empty({x.size(0), w.size(1)}, x.options());
    check("pooled_heads", dgam_heads_forward(&d, data(x), data(w), data(b), head.data_ptr<int64_t>(), data(mask),
                                             pooled.data_ptr<float>(), logits.data_ptr<float>()));
    ctx->save_for_backward({pooled, w, head, mask});
    ctx->saved_data["tokens"] = x.size(1);
    ctx->saved_data["bias"] = b.defined();
    return logits;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_derivatives("pooled_heads");
    auto saved = ctx->get_saved_variables();
    Tensor pooled = saved[0], w = saved[1], head = saved[2], mask = saved[3], dy = readable(grads[0]);
    int64_t tokens = ctx->saved_data["tokens"].toInt();
    Tensor dx = at::empty({pooled.size(0), tokens, pooled.size(1)}, pooled.options()), dw = at::empty_like(w), db;
    if (ctx->saved_data["bias"].toBool()) db = at::empty({w.size(0), w.size(1)}, w.options());
    dgam_heads_desc d = desc(dx, w);
    check("pooled_heads",
          dgam_heads_backward(&d, data(pooled), data(w), head.data_ptr<int64_t>(), data(mask), data(dy),
                              dx.data_ptr<float>(), dw.data_ptr<float>(), db.defined() ? db.data_ptr<float>() : nullptr));
    return {dx, dw, db, Tensor(), Tensor()};
  }
};

Tensor pooled_heads(const Tensor &x, const Tensor &w, const OptionalTensor &bias, const Tensor &head,
                    const OptionalTensor &mask) {
  check_heads(x, w, bias, head, mask);
  bool kernel = !composite_forced() && plain(x) && plain(w) && (!given(bias) || plain(*bias)) &&
                (!given(mask) || (plain(*mask) && !mask->requires_grad())) && head.is_cpu() && x.numel() > 0;
  if (!kernel) return pooled_heads_composite(x, w, bias, head, mask);
  return PooledHeads::apply(x, w, bias, head, mask);
}

}  // namespace
}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("gate(Tensor stats, Tensor[] parameters, float eps=1e-5) -> Tensor", &dgam::gate);
  m.def("gate_composite(Tensor stats, Tensor[] parameters, float eps=1e-5) -> Tensor", &dgam::gate_composite);
  m.def("pooled_heads(Tensor x, Tensor weight, Tensor? bias, Tensor head, Tensor? mask=None) -> Tensor",
        &dgam::pooled_heads);
  m.def("pooled_heads_composite(Tensor x, Tensor weight, Tensor? bias, Tensor head, Tensor? mask=None) -> Tensor",
        &dgam::pooled_heads_composite);
}
