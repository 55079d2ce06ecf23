// curve_ops.cpp - Zero-DCE curves as operators.
//
//   dce_curve(x, a)
//       float [N,C,...] and [N,I*C,...] to [N,C,...], I curve iterations per pixel (core/light/curve.h); gradients for
//       both. float32 on the CPU runs the C kernel, everything else the twin dce_curve_composite.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "light/curve.h"
#include "torch/ops.h"

namespace dgam {
namespace {

using at::Tensor;

void check_curve(const Tensor &x, const Tensor &a) {
  const char *op = "dce_curve";
  DGAM_CHECK(op, x.is_floating_point() && x.dim() >= 2, "x is ", type_name(x.scalar_type()), " ", x.sizes(),
             ", expected floats [N,C,...]");
  bool fits = a.dim() == x.dim() && a.size(0) == x.size(0) && x.size(1) > 0 && a.size(1) > 0 &&
              a.size(1) % x.size(1) == 0 && a.sizes().slice(2) == x.sizes().slice(2);
  DGAM_CHECK(op, fits && a.scalar_type() == x.scalar_type(), "a is ", type_name(a.scalar_type()), " ", a.sizes(),
             ", expected ", type_name(x.scalar_type()), " as x is, and of its shape ", x.sizes(), " but for a multiple of the channels");
  DGAM_CHECK(op, a.device() == x.device(), "a is on ", a.device(), ", x on ", x.device());
  DGAM_CHECK(op, a.size(1) / x.size(1) <= DGAM_CURVE_MOST, a.size(1) / x.size(1), " iterations, expected 1 to ",
             (int)DGAM_CURVE_MOST);
}

Tensor dce_curve_composite(const Tensor &x, const Tensor &a) {
  check_curve(x, a);
  Tensor y = x;
  for (const Tensor &step : a.split(x.size(1), 1)) y = y + step * y * (1 - y);
  return y;
}

struct Curve : torch::autograd::Function<Curve> {
  static Tensor forward(torch::autograd::AutogradContext *ctx, const Tensor &x_, const Tensor &a_) {
    Tensor x = readable(x_), a = readable(a_), out = at::empty(x.sizes(), x.options());
    check("dce_curve", dgam_curve(x.data_ptr<float>(), a.data_ptr<float>(), (size_t)x.size(0), (size_t)x.size(1),
                                  pixels(x), (size_t)(a.size(1) / x.size(1)), out.data_ptr<float>()));
    ctx->save_for_backward({x_, a_});
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivatives("dce_curve");
    auto saved = ctx->get_saved_variables();
    Tensor x = readable(saved[0]), a = readable(saved[1]), dout = readable(grads[0]);
    Tensor dx = at::empty(x.sizes(), x.options()), da = at::empty(a.sizes(), a.options());
    check("dce_curve", dgam_curve_backward(dout.data_ptr<float>(), x.data_ptr<float>(), a.data_ptr<float>(),
                                           (size_t)x.size(0), (size_t)x.size(1), pixels(x),
                                           (size_t)(a.size(1) / x.size(1)), dx.data_ptr<float>(), da.data_ptr<float>()));
    return {dx, da};
  }

 private:
  static size_t pixels(const Tensor &x) {
    size_t p = 1;
    for (int64_t d = 2; d < x.dim(); d++) p *= (size_t)x.size(d);
    return p;
  }
};

Tensor dce_curve(const Tensor &x, const Tensor &a) {
  check_curve(x, a);
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat || composite_forced()) return dce_curve_composite(x, a);
  return Curve::apply(x, a);
}

}  // namespace
}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("dce_curve(Tensor x, Tensor a) -> Tensor", &dgam::dce_curve);
  m.def("dce_curve_composite(Tensor x, Tensor a) -> Tensor", &dgam::dce_curve_composite);
}
