// light_ops.cpp - histograms, frame statistics and gamma correction as operators.
//
//   histogram(clip)                                  int32 [N,T,3,256]
//   frame_stats(clip, domain, mean, std, histogram)  [N,3T]: mean, unbiased std, entropy (nats) of each frame
//   gic(clip, weights, gammas, domain, mean, std, layout, bf16, histogram)
//                                                    a mixture of gamma experts, normalised; "clip" [N,3,T,H,W] or
//                                                    "patches" [N,P,96]; gradients for weights and gammas
// clip is [N,3,T,H,W], or [T,3,H,W] for one clip as decoders give it: uint8 pixels, or floats that are already
// normalised. What is computed stands in core/light/{histogram,stats,gamma}.h. uint8 on the CPU runs the C kernels;
// everything else, and the twins NAME_composite, runs ATen operators. `histogram`, where a caller has it already, saves
// the C path a pass over the clip.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "light/gamma.h"
#include "light/histogram.h"
#include "light/stats.h"
#include "torch/ops.h"

namespace dgam {
namespace {

using at::Tensor;
using Doubles = at::ArrayRef<double>;
using MaybeTensor = c10::optional<Tensor>;

// --- arguments ---

// The clip as [N,3,T,H,W], without a copy.
Tensor five_dimensional(const char *op, const Tensor &clip) {
  DGAM_CHECK(op, clip.dim() == 5 || clip.dim() == 4, "clip is ", clip.sizes(), ", expected [N,3,T,H,W] or [T,3,H,W]");
  Tensor x = clip.dim() == 5 ? clip : clip.transpose(0, 1).unsqueeze(0);
  DGAM_CHECK(op, x.size(1) == 3, "clip is ", clip.sizes(), ", expected 3 channels in [N,3,T,H,W] or [T,3,H,W]");
  DGAM_CHECK(op, x.size(2) > 0 && x.size(3) > 0 && x.size(4) > 0, "clip is ", clip.sizes(),
             ", expected at least one frame of one pixel");
  return x;
}

bool is_pixels(const Tensor &clip) { return clip.scalar_type() == at::kByte; }

void check_kind(const char *op, const Tensor &clip) {
  DGAM_CHECK(op, is_pixels(clip) || clip.is_floating_point(), "clip has type ", type_name(clip.scalar_type()),
             ", expected uint8 pixels or normalised floats");
}

dgam_domain domain_of(const char *op, const std::string &name) {
  DGAM_CHECK(op, name == "normalised" || name == "pixel", "domain is \"", name,
             "\", expected \"normalised\" or \"pixel\"");
  return name == "pixel" ? DGAM_PIXEL : DGAM_NORMALISED;
}

dgam_norm norm_of(const char *op, Doubles mean, Doubles std) {
  DGAM_CHECK(op, mean.size() == 3 && std.size() == 3, "mean and std have ", mean.size(), " and ", std.size(),
             " values, expected 3 each");
  dgam_norm norm;
  for (size_t c = 0; c < 3; c++) norm.mean[c] = (float)mean[c], norm.std[c] = (float)std[c];
  check(op, dgam_norm_check(&norm, op));
  return norm;
}

// Not contiguous only where rows are: their pixels must be adjacent.
Tensor rows_together(const Tensor &x) { return x.size(4) == 1 || x.stride(4) == 1 ? computed(x) : readable(x); }

dgam_clip view_of(const Tensor &x) {
  dgam_clip clip = {x.data_ptr<uint8_t>(), (size_t)x.size(0), (size_t)x.size(2), (size_t)x.size(3), (size_t)x.size(4),
                    x.stride(0),           x.stride(1),       x.stride(2),       x.stride(3)};
  return clip;
}

std::vector<int64_t> counts_shape(const Tensor &x) { return {x.size(0), x.size(2), 3, 256}; }

void check_given(const char *op, const Tensor &x, const MaybeTensor &given) {
  if (!given.has_value() || !given->defined()) return;
  std::vector<int64_t> shape = counts_shape(x);
  DGAM_CHECK(op, given->scalar_type() == at::kInt && given->sizes() == at::IntArrayRef(shape), "histogram is ",
             type_name(given->scalar_type()), " ", given->sizes(), ", expected int32 ", at::IntArrayRef(shape));
  DGAM_CHECK(op, given->device() == x.device(), "histogram is on ", given->device(), ", clip on ", x.device());
}

// The caller's histogram, or one made now.
Tensor counts_of(const char *op, const Tensor &x, const MaybeTensor &given) {
  check_given(op, x, given);
  if (given.has_value() && given->defined()) return readable(*given);
  Tensor counts = at::empty(counts_shape(x), x.options().dtype(at::kInt));
  dgam_clip clip = view_of(x);
  check(op, dgam_histogram_clip(&clip, (uint32_t *)counts.data_ptr<int32_t>()));
  return counts;
}

bool use_kernel(const Tensor &clip) { return clip.device().is_cpu() && is_pixels(clip) && !composite_forced(); }

Tensor per_channel(const float *values, const Tensor &like) { // [3,1,1,1], broadcasts against [N,3,T,H,W]
  return at::tensor(at::ArrayRef<float>(values, 3), at::kFloat).to(like.device(), like.scalar_type()).view({3, 1, 1, 1});
}

// float32, or float64 where the clip is
at::ScalarType working_type(const Tensor &clip) { return clip.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// --- histogram ---

Tensor histogram_composite(const Tensor &clip) {
  Tensor x = five_dimensional("histogram", clip);
  DGAM_CHECK("histogram", is_pixels(x), "clip has type ", type_name(x.scalar_type()), ", expected uint8");
  int64_t n = x.size(0), t = x.size(2), planes = n * t * 3;
  if (n == 0) return at::zeros({0, t, 3, 256}, x.options().dtype(at::kInt));
  Tensor bins = x.transpose(1, 2).reshape({planes, -1}).to(at::kLong);
  bins = bins + at::arange(planes, bins.options()).unsqueeze(1) * 256;
  return at::bincount(bins.flatten(), {}, planes * 256).to(at::kInt).view({n, t, 3, 256});
}

Tensor histogram(const Tensor &clip) {
  if (!use_kernel(clip)) return histogram_composite(clip);
  return counts_of("histogram", rows_together(five_dimensional("histogram", clip)), {});
}

// --- frame_stats ---

Tensor frame_stats_composite(const Tensor &clip, std::string domain_name, Doubles mean, Doubles std,
                             const MaybeTensor &given) {
  const char *op = "frame_stats";
  at::NoGradGuard no_grad;
  Tensor x = five_dimensional(op, clip);
  check_given(op, x, given);
  check_kind(op, x);
  dgam_domain domain = domain_of(op, domain_name);
  dgam_norm norm = norm_of(op, mean, std);
  int64_t n = x.size(0), t = x.size(2);
  if (n == 0) return at::empty({0, 3 * t}, x.options().dtype(working_type(x)));
  bool pixels = is_pixels(x);
  x = x.to(working_type(x));
  Tensor m = per_channel(norm.mean, x), s = per_channel(norm.std, x);
  if (domain == DGAM_PIXEL) x = (pixels ? x : x * s + m) / 255;
  else if (pixels) x = (x - m) / s;
  x = x.transpose(1, 2).reshape({n * t, -1});
  Tensor lo = x.amin(1, true), hi = x.amax(1, true);
  Tensor y = (x - lo) * 255 / (hi - lo + 1e-10);
  Tensor first = at::arange(n * t, x.options().dtype(at::kLong)).unsqueeze(1) * 256;
  Tensor bins = (y * 256 / 255).to(at::kLong).clamp(0, 255) + first;
  Tensor p = at::bincount(bins.masked_select(y <= 255), {}, n * t * 256).view({n * t, 256}).to(x.scalar_type());
  p = p / p.sum(1, true);
  Tensor entropy = -at::xlogy(p, p).sum(1);
  return at::stack({x.mean(1), x.std(at::IntArrayRef{1}, true), entropy}, 1).view({n, 3 * t});
}

Tensor frame_stats(const Tensor &clip, std::string domain_name, Doubles mean, Doubles std, const MaybeTensor &given) {
  const char *op = "frame_stats";
  if (!use_kernel(clip)) return frame_stats_composite(clip, domain_name, mean, std, given);
  dgam_domain domain = domain_of(op, domain_name);
  dgam_norm norm = norm_of(op, mean, std);
  Tensor x = rows_together(five_dimensional(op, clip)), counts = counts_of(op, x, given);
  Tensor out = at::empty({x.size(0), 3 * x.size(2)}, x.options().dtype(at::kFloat));
  check(op, dgam_stats_from_histogram((const uint32_t *)counts.data_ptr<int32_t>(), (size_t)x.size(0), (size_t)x.size(2),
                                      domain, &norm, out.data_ptr<float>()));
  return out;
}

// --- gic ---

struct GicArguments {
  dgam_domain domain;
  dgam_norm norm;
  dgam_layout layout;
  bool bf16;
};

GicArguments check_gic(const Tensor &clip, const Tensor &weights, const Tensor &gammas, const std::string &domain,
                       Doubles mean, Doubles std, const std::string &layout, bool bf16) {
  const char *op = "gic";
  Tensor x = five_dimensional(op, clip);
  check_kind(op, x);
  DGAM_CHECK(op, weights.is_floating_point() && weights.dim() == 2 && weights.size(0) == x.size(0) && weights.size(1) > 0,
             "weights are ", type_name(weights.scalar_type()), " ", weights.sizes(),
             ", expected floats [N,E] with N = ", x.size(0), " and at least one expert");
  int64_t experts = weights.size(1);
  bool shared = gammas.dim() == 1 && gammas.size(0) == experts;
  bool own = gammas.dim() == 2 && gammas.size(0) == x.size(0) && gammas.size(1) == experts;
  DGAM_CHECK(op, gammas.is_floating_point() && (shared || own), "gammas are ", type_name(gammas.scalar_type()), " ",
             gammas.sizes(), ", expected floats [E] or [N,E] with N = ", x.size(0), ", E = ", experts, " as in weights");
  for (const Tensor *t : {&weights, &gammas})
    DGAM_CHECK(op, t->device() == clip.device(), t == &weights ? "weights are" : "gammas are", " on ", t->device(),
               ", clip on ", clip.device());
  DGAM_CHECK(op, layout == "clip" || layout == "patches", "layout is \"", layout, "\", expected \"clip\" or \"patches\"");
  return {domain_of(op, domain), norm_of(op, mean, std), layout == "clip" ? DGAM_LAYOUT_CLIP : DGAM_LAYOUT_PATCHES, bf16};
}

// [N,3,T,H,W] -> [N,P,96], as core/light/gamma.h lays patches out
Tensor to_patches(Tensor x) {
  int64_t n = x.size(0), t = (x.size(2) + 1) / 2, h = (x.size(3) + 3) / 4, w = (x.size(4) + 3) / 4;
  x = at::constant_pad_nd(x, {0, 4 * w - x.size(4), 0, 4 * h - x.size(3), 0, 2 * t - x.size(2)});
  return x.reshape({n, 3, t, 2, h, 4, w, 4}).permute({0, 2, 4, 6, 1, 3, 5, 7}).reshape({n, t * h * w, 96});
}

Tensor gic_composite(const Tensor &clip, const Tensor &weights, const Tensor &gammas, std::string domain, Doubles mean,
                     Doubles std, std::string layout, bool bf16, const MaybeTensor &given) {
  GicArguments a = check_gic(clip, weights, gammas, domain, mean, std, layout, bf16);
  Tensor g = readable(gammas.detach().cpu().to(at::kDouble));
  for (int64_t i = 0; i < g.numel(); i++) {
    double value = g.data_ptr<double>()[i];
    DGAM_CHECK("gic", std::isfinite(value) && value > 0, "gamma ", i % g.size(-1) + 1, " is ", value,
               ", expected a finite number above 0");
  }
  Tensor x = five_dimensional("gic", clip), lo, range, base, y;
  check_given("gic", x, given);
  at::ScalarType type = working_type(x);
  bool pixels = is_pixels(x);
  x = x.to(type);
  Tensor m = per_channel(a.norm.mean, x), s = per_channel(a.norm.std, x);
  if (a.domain == DGAM_PIXEL) {
    base = ((pixels ? x : x * s + m) / 255).clamp(0, 1);
  } else {
    if (pixels) x = (x - m) / s;
    if (x.size(0) == 0) { // amin refuses an empty batch
      base = x;
    } else {
      lo = x.amin({1, 3, 4}, true);
      range = x.amax({1, 3, 4}, true) - lo;
      base = (x - lo) / (range + 1e-5);
    }
  }
  // 0^p is 0, and so is its gradient: the darkest pixel must not turn a whole clip's into NaN.
  Tensor bright = base > 0, safe = at::where(bright, base, at::ones({}, x.options()));
  Tensor zero = at::zeros({}, x.options());
  for (int64_t e = 0; e < weights.size(1); e++) {
    Tensor exponent = gammas.select(-1, e).to(type).reciprocal().view({-1, 1, 1, 1, 1});
    Tensor power = at::where(bright, safe.pow(exponent), zero);
    if (a.domain == DGAM_NORMALISED && lo.defined()) power = power * range + lo;
    power = power * weights.select(1, e).to(type).view({-1, 1, 1, 1, 1});
    y = y.defined() ? y + power : power;
  }
  if (a.domain == DGAM_PIXEL) y = (y * 255 - m) / s;
  if (a.layout == DGAM_LAYOUT_PATCHES) y = to_patches(y);
  return a.bf16 ? y.to(at::kBFloat16) : y;
}

struct Gic : torch::autograd::Function<Gic> {
  static Tensor forward(torch::autograd::AutogradContext *ctx, const Tensor &clip, const Tensor &weights,
                        const Tensor &gammas, GicArguments a, const MaybeTensor &given) {
    Tensor x = rows_together(five_dimensional("gic", clip)), counts = counts_of("gic", x, given);
    Tensor w = readable(weights.to(at::kFloat)), g = readable(gammas.to(at::kFloat));
    dgam_clip view = view_of(x);
    dgam_gic gic = gic_of(a, w, g);
    auto options = x.options();
    Tensor table = at::empty({x.size(0), x.size(2), 3, 256}, options.dtype(at::kFloat));
    check("gic", dgam_gic_table(&gic, (const uint32_t *)counts.data_ptr<int32_t>(), view.n, view.t,
                                table.data_ptr<float>()));
    std::vector<int64_t> shape = x.sizes().vec();
    if (a.layout == DGAM_LAYOUT_PATCHES)
      shape = {x.size(0), (int64_t)dgam_gic_patches(view.t, view.h, view.w), 96};
    Tensor out = at::empty(shape, options.dtype(a.bf16 ? at::kBFloat16 : at::kFloat));
    check("gic", dgam_gic_apply(&view, table.data_ptr<float>(), a.layout, a.bf16, out.data_ptr()));
    ctx->save_for_backward({x, counts, weights, gammas});
    ctx->saved_data["domain"] = (int64_t)a.domain;
    ctx->saved_data["layout"] = (int64_t)a.layout;
    ctx->saved_data["bf16"] = a.bf16;
    ctx->saved_data["mean"] = std::vector<double>(a.norm.mean, a.norm.mean + 3);
    ctx->saved_data["std"] = std::vector<double>(a.norm.std, a.norm.std + 3);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx,
                                                 torch::autograd::variable_list grads) {
    refuse_second_derivatives("gic");
    auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &counts = saved[1], &weights = saved[2], &gammas = saved[3];
    GicArguments a;
    a.domain = (dgam_domain)ctx->saved_data["domain"].toInt();
    a.layout = (dgam_layout)ctx->saved_data["layout"].toInt();
    a.bf16 = ctx->saved_data["bf16"].toBool();
    auto mean = ctx->saved_data["mean"].toDoubleVector(), std = ctx->saved_data["std"].toDoubleVector();
    for (size_t c = 0; c < 3; c++) a.norm.mean[c] = (float)mean[c], a.norm.std[c] = (float)std[c];
    Tensor w = readable(weights.to(at::kFloat)), g = readable(gammas.to(at::kFloat));
    dgam_gic gic = gic_of(a, w, g);
    dgam_clip view = view_of(x);
    Tensor grad = readable(grads[0].to(a.bf16 ? at::kBFloat16 : at::kFloat));
    Tensor sums = at::empty({x.size(0), x.size(2), 3, 256}, grad.options().dtype(at::kDouble));
    Tensor dweights = at::empty(weights.sizes(), w.options()), dgammas = at::empty(weights.sizes(), w.options());
    check("gic", dgam_gic_scatter(&view, grad.data_ptr(), a.layout, a.bf16, sums.data_ptr<double>()));
    check("gic", dgam_gic_table_backward(&gic, (const uint32_t *)counts.data_ptr<int32_t>(), view.n, view.t,
                                         sums.data_ptr<double>(), dweights.data_ptr<float>(), dgammas.data_ptr<float>()));
    if (gammas.dim() == 1) dgammas = dgammas.sum(0);
    return {Tensor(), dweights.to(weights.scalar_type()), dgammas.to(gammas.scalar_type()), Tensor(), Tensor()};
  }

 private:
  static dgam_gic gic_of(const GicArguments &a, const Tensor &w, const Tensor &g) {
    size_t experts = (size_t)w.size(1);
    return {a.domain, a.norm, experts, w.data_ptr<float>(), g.data_ptr<float>(), g.dim() == 2 ? experts : 0};
  }
};

Tensor gic(const Tensor &clip, const Tensor &weights, const Tensor &gammas, std::string domain, Doubles mean, Doubles std,
           std::string layout, bool bf16, const MaybeTensor &given) {
  if (!use_kernel(clip)) return gic_composite(clip, weights, gammas, domain, mean, std, layout, bf16, given);
  GicArguments a = check_gic(clip, weights, gammas, domain, mean, std, layout, bf16);
  return Gic::apply(clip, weights, gammas, a, given);
}

}  // namespace
}  // namespace dgam

#define DGAM_NORM "str domain=\"normalised\", float[] mean=[123.675, 116.28, 103.53], float[] std=[58.395, 57.12, 57.375]"
#define DGAM_STATS "(Tensor clip, " DGAM_NORM ", Tensor? histogram=None) -> Tensor"
#define DGAM_GIC                                                                             \
  "(Tensor clip, Tensor weights, Tensor gammas, " DGAM_NORM ", str layout=\"clip\", bool bf16=False, " \
  "Tensor? histogram=None) -> Tensor"

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("histogram(Tensor clip) -> Tensor", &dgam::histogram);
  m.def("histogram_composite(Tensor clip) -> Tensor", &dgam::histogram_composite);
  m.def("frame_stats" DGAM_STATS, &dgam::frame_stats);
  m.def("frame_stats_composite" DGAM_STATS, &dgam::frame_stats_composite);
  m.def("gic" DGAM_GIC, &dgam::gic);
  m.def("gic_composite" DGAM_GIC, &dgam::gic_composite);
}
