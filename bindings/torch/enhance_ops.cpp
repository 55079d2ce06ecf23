// enhance_ops.cpp - classical enhancers and Zero-DCE curves as operators.
//
//   equalise(clip, per_channel)  clahe(clip, clip_limit, tiles, per_channel)  retinex(clip, scales, dynamic, restore)
//   lime(clip, alpha, gamma, sigma)
//       uint8 to uint8, [N,3,T,H,W] or [T,3,H,W], the same shape out; core/light/enhance.h says what each computes. They
//       are preprocessing and have no ATen twin: a clip on another device goes to the CPU and back.
//   dce_curve(x, a)
//       float [N,C,...] and [N,I*C,...] to [N,C,...], I curve iterations per pixel (core/light/curve.h); gradients for
//       both. float32 on the CPU runs the C kernel, everything else the twin dce_curve_composite.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "light/curve.h"
#include "light/enhance.h"
#include "torch/ops.h"

namespace dgam {
namespace {

using at::Tensor;

// --- enhancers ---

Tensor enhance(const char *op, const Tensor &clip, const dgam_enhance &e) {
  DGAM_CHECK(op, clip.scalar_type() == at::kByte, "clip has type ", type_name(clip.scalar_type()), ", expected uint8");
  DGAM_CHECK(op, clip.dim() == 5 || clip.dim() == 4, "clip is ", clip.sizes(), ", expected [N,3,T,H,W] or [T,3,H,W]");
  bool single = clip.dim() == 4;
  Tensor x = (single ? clip.transpose(0, 1).unsqueeze(0) : clip).cpu();
  DGAM_CHECK(op, x.size(1) == 3, "clip is ", clip.sizes(), ", expected 3 channels in [N,3,T,H,W] or [T,3,H,W]");
  x = x.size(4) > 1 && x.stride(4) != 1 ? readable(x) : computed(x);
  dgam_clip view = {x.data_ptr<uint8_t>(), (size_t)x.size(0), (size_t)x.size(2), (size_t)x.size(3), (size_t)x.size(4),
                    x.stride(0),           x.stride(1),       x.stride(2),       x.stride(3)};
  check(op, dgam_clip_check(&view, op));
  size_t scratch = dgam_enhance_scratch(&e, &view);
  DGAM_CHECK(op, scratch < (size_t)PTRDIFF_MAX, "clip is ", clip.sizes(), ", too large for its scratch memory");
  Tensor out = at::empty(x.sizes(), x.options()), memory = at::empty({(int64_t)(scratch + DGAM_ALIGN)}, x.options());
  dgam_arena arena;
  dgam_arena_wrap(&arena, memory.data_ptr(), scratch + DGAM_ALIGN);
  check(op, dgam_enhance_clip(&e, &view, out.data_ptr<uint8_t>(), &arena));
  if (single) out = out.squeeze(0).transpose(0, 1).contiguous();
  return out.to(clip.device());
}

Tensor equalise(const Tensor &clip, bool per_channel) {
  dgam_enhance e = dgam_enhance_defaults(DGAM_EQUALISE);
  e.per_channel = per_channel;
  return enhance("equalise", clip, e);
}

Tensor clahe(const Tensor &clip, double clip_limit, at::IntArrayRef tiles, bool per_channel) {
  DGAM_CHECK("clahe", tiles.size() == 2 && tiles[0] > 0 && tiles[1] > 0, "tiles are ", tiles,
             ", expected two numbers of 1 or more (down, across)");
  dgam_enhance e = dgam_enhance_defaults(DGAM_CLAHE);
  e.clip_limit = (float)clip_limit;
  e.tiles_y = (size_t)tiles[0], e.tiles_x = (size_t)tiles[1];
  e.per_channel = per_channel;
  return enhance("clahe", clip, e);
}

Tensor retinex(const Tensor &clip, at::ArrayRef<double> scales, double dynamic, bool restore) {
  dgam_enhance e = dgam_enhance_defaults(DGAM_RETINEX);
  DGAM_CHECK("retinex", scales.size() >= 1 && scales.size() <= DGAM_RETINEX_SCALES, "there are ", scales.size(),
             " scales, expected 1 to ", (int)DGAM_RETINEX_SCALES);
  e.scales = scales.size();
  for (size_t s = 0; s < scales.size(); s++) e.scale[s] = (float)scales[s];
  e.dynamic = (float)dynamic;
  e.restore = restore;
  return enhance("retinex", clip, e);
}

Tensor lime(const Tensor &clip, double alpha, double gamma, double sigma) {
  dgam_enhance e = dgam_enhance_defaults(DGAM_LIME);
  e.alpha = (float)alpha, e.gamma = (float)gamma, e.sigma = (float)sigma;
  return enhance("lime", clip, e);
}

// --- Zero-DCE ---

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
  m.def("equalise(Tensor clip, bool per_channel=False) -> Tensor", &dgam::equalise);
  m.def("clahe(Tensor clip, float clip_limit=2.0, int[] tiles=[8, 8], bool per_channel=False) -> Tensor", &dgam::clahe);
  m.def("retinex(Tensor clip, float[] scales=[15.0, 80.0, 250.0], float dynamic=1.2, bool restore=True) -> Tensor",
        &dgam::retinex);
  m.def("lime(Tensor clip, float alpha=0.15, float gamma=0.8, float sigma=2.0) -> Tensor", &dgam::lime);
  m.def("dce_curve(Tensor x, Tensor a) -> Tensor", &dgam::dce_curve);
  m.def("dce_curve_composite(Tensor x, Tensor a) -> Tensor", &dgam::dce_curve_composite);
}
