// nn_composite.cpp - see nn_composite.h
#include "torch/nn_composite.h"

#include <torch/library.h>

#include <cmath>

namespace dgam {

namespace {

constexpr double EPS = 1e-5;

Tensor layer_norm(const Tensor &x, const Tensor &w, const Tensor &b) {
  return at::layer_norm(x, {x.size(-1)}, w, b, EPS);
}

// The row of the position table for every pair of tokens of a window of `full` size: [V, V].
Tensor relative_index(at::IntArrayRef full) {
  auto axis = [](int64_t n) { return at::arange(n, at::kLong); };
  auto grid = at::meshgrid({axis(full[0]), axis(full[1]), axis(full[2])}, "ij");
  Tensor coords = at::stack(at::TensorList(grid)).flatten(1);                  // [3, V]
  Tensor d = (coords.unsqueeze(2) - coords.unsqueeze(1)).permute({1, 2, 0});   // [V, V, 3]
  d = d + at::tensor({full[0] - 1, full[1] - 1, full[2] - 1}, at::kLong);
  return d.select(2, 0) * ((2 * full[1] - 1) * (2 * full[2] - 1)) + d.select(2, 1) * (2 * full[2] - 1) + d.select(2, 2);
}

// [B,D,H,W,C] -> [windows, V, C]
Tensor partition(const Tensor &x, const int64_t w[3]) {
  auto s = x.sizes();
  int64_t a = s[1] / w[0], b = s[2] / w[1], c = s[3] / w[2];
  return x.view({s[0], a, w[0], b, w[1], c, w[2], s[4]})
      .permute({0, 1, 3, 5, 2, 4, 6, 7})
      .reshape({s[0] * a * b * c, w[0] * w[1] * w[2], s[4]});
}

// The inverse of partition.
Tensor reverse(const Tensor &windows, const int64_t w[3], int64_t n, int64_t d, int64_t h, int64_t width) {
  int64_t c = windows.size(2);
  return windows.view({n, d / w[0], h / w[1], width / w[2], w[0], w[1], w[2], c})
      .permute({0, 1, 4, 2, 5, 3, 6, 7})
      .reshape({n, d, h, width, c});
}

// -100 between tokens of one window that come from different regions of the shifted map: [windows, V, V].
Tensor shift_mask(int64_t d, int64_t h, int64_t width, const int64_t w[3], const int64_t s[3], const Tensor &like) {
  Tensor region = at::zeros({1, d, h, width, 1}, like.options().dtype(at::kFloat));
  int64_t size[3] = {d, h, width};
  float id = 0;
  int64_t bounds[3][4];
  for (int a = 0; a < 3; a++) {
    bounds[a][0] = 0;
    bounds[a][1] = size[a] - w[a];
    bounds[a][2] = s[a] ? size[a] - s[a] : size[a];
    bounds[a][3] = size[a];
    if (!s[a]) bounds[a][1] = 0, bounds[a][2] = 0; // one region along an axis that is not shifted
  }
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++)
      for (int k = 0; k < 3; k++) {
        region.slice(1, bounds[0][i], bounds[0][i + 1])
            .slice(2, bounds[1][j], bounds[1][j + 1])
            .slice(3, bounds[2][k], bounds[2][k + 1])
            .fill_(id);
        id += 1;
      }
  Tensor r = partition(region, w).squeeze(-1);
  return (r.unsqueeze(1) != r.unsqueeze(2)).to(at::kFloat) * -100.0;
}

Tensor cast(const Tensor &t, bool bf16) { return bf16 ? t.to(at::kBFloat16) : t; }

}  // namespace

Tensor gemm_composite(const Tensor &a, const Tensor &b) { return at::matmul(a, b); }

Tensor linear_composite(const Tensor &x, const Tensor &weight, const OptionalTensor &bias, bool bf16) {
  if (!bf16) return at::linear(x, weight, bias);
  Tensor y = at::linear(x.to(at::kBFloat16), weight.to(at::kBFloat16)).to(x.scalar_type());
  return bias ? y + *bias : y;
}

const char *const swin_param_names[DGAM_SWIN_PARAMS] = {"norm1_w", "norm1_b", "qkv_w",   "qkv_b", "proj_w", "proj_b", "bias_table",
                                                        "norm2_w", "norm2_b", "fc1_w",   "fc1_b", "fc2_w",  "fc2_b"};

std::vector<Tensor> swin_params(const ParamList &list) {
  TORCH_CHECK(list.size() == DGAM_SWIN_PARAMS, "dgam::swin_block: there are ", list.size(), " parameters, expected ",
              (int)DGAM_SWIN_PARAMS);
  std::vector<Tensor> p(DGAM_SWIN_PARAMS);
  for (size_t i = 0; i < p.size(); i++) {
    OptionalTensor t = list.get(i);
    if (t.has_value()) p[i] = *t;
    TORCH_CHECK(p[i].defined() || i == DGAM_SWIN_QKV_B, "dgam::swin_block: ", swin_param_names[i], " is missing");
  }
  return p;
}

Tensor swin_block_composite(const Tensor &x, const ParamList &params, int64_t num_heads, at::IntArrayRef window,
                            at::IntArrayRef shift, const OptionalTensor &drop_path_scale, bool bf16) {
  std::vector<Tensor> p = swin_params(params);
  const Tensor &table = p[DGAM_SWIN_TABLE];
  OptionalTensor qkv_b;
  if (p[DGAM_SWIN_QKV_B].defined()) qkv_b = p[DGAM_SWIN_QKV_B];
  TORCH_CHECK(x.dim() == 5 && x.size(1) >= 1 && x.size(2) >= 1 && x.size(3) >= 1 && x.size(4) >= 1,
              "dgam::swin_block: x is ", x.sizes(), ", expected [N, D, H, W, C], all but N 1 or more");
  TORCH_CHECK(window.size() == 3 && shift.size() == 3, "dgam::swin_block: window is ", window, " and shift ", shift,
              ", expected three entries each (time, height, width)");
  int64_t n = x.size(0), c = x.size(4), size[3] = {x.size(1), x.size(2), x.size(3)}, w[3], s[3], pad[3];
  TORCH_CHECK(num_heads >= 1 && c % num_heads == 0, "dgam::swin_block: ", c, " channels are not a multiple of ", num_heads,
              " heads");
  bool shifted = false;
  for (int a = 0; a < 3; a++) {
    TORCH_CHECK(window[a] >= 1 && shift[a] >= 0 && shift[a] < window[a], "dgam::swin_block: window ", window, ", shift ", shift,
                ", expected window >= 1 and 0 <= shift < window");
    bool clipped = size[a] <= window[a];
    w[a] = clipped ? size[a] : window[a];
    s[a] = clipped ? 0 : shift[a];
    pad[a] = (w[a] - size[a] % w[a]) % w[a];
    shifted = shifted || s[a] > 0;
  }
  int64_t d = size[0] + pad[0], h = size[1] + pad[1], wd = size[2] + pad[2], v = w[0] * w[1] * w[2], hd = c / num_heads;
  TORCH_CHECK(table.dim() == 2 && table.size(1) == num_heads &&
                  table.size(0) == (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1),
              "dgam::swin_block: bias_table is ", table.sizes(), ", expected one row for every offset in window ", window,
              " and ", num_heads, " columns");

  auto scaled = [&](const Tensor &branch, int which) {
    if (!drop_path_scale) return branch;
    return branch * drop_path_scale->select(0, which).view({n, 1, 1, 1, 1});
  };

  // Zeroes are padded after the norm, so padding takes part in attention: its keys and values are the bias.
  Tensor y = at::constant_pad_nd(layer_norm(x, p[DGAM_SWIN_NORM1_W], p[DGAM_SWIN_NORM1_B]), {0, 0, 0, pad[2], 0, pad[1], 0, pad[0]});
  if (shifted) y = at::roll(y, {-s[0], -s[1], -s[2]}, {1, 2, 3});
  Tensor windows = partition(y, w); // [B, V, C]
  int64_t b = windows.size(0);
  Tensor qkv = linear_composite(windows, p[DGAM_SWIN_QKV_W], qkv_b, bf16).view({b, v, 3, num_heads, hd}).permute({2, 0, 3, 1, 4});
  Tensor q = qkv.select(0, 0) * (1.0 / std::sqrt((double)hd)), k = qkv.select(0, 1), value = qkv.select(0, 2);
  Tensor scores = at::matmul(cast(q, bf16), cast(k, bf16).transpose(-2, -1)).to(x.scalar_type());
  // A window clipped to the feature map keeps the table of the full window, indexed [:V, :V].
  Tensor index = relative_index(window).slice(0, 0, v).slice(1, 0, v).reshape(-1).to(x.device());
  scores = scores + table.index_select(0, index).view({v, v, num_heads}).permute({2, 0, 1}).unsqueeze(0);
  if (shifted) {
    Tensor mask = shift_mask(d, h, wd, w, s, x).to(x.scalar_type()); // [windows of a clip, V, V]
    int64_t per = mask.size(0);
    scores = (scores.view({b / per, per, num_heads, v, v}) + mask.unsqueeze(1).unsqueeze(0)).view({b, num_heads, v, v});
  }
  Tensor a = at::matmul(cast(scores.softmax(-1), bf16), cast(value, bf16)).to(x.scalar_type());
  a = linear_composite(a.transpose(1, 2).reshape({b, v, c}), p[DGAM_SWIN_PROJ_W], p[DGAM_SWIN_PROJ_B], bf16);
  a = reverse(a, w, n, d, h, wd);
  if (shifted) a = at::roll(a, {s[0], s[1], s[2]}, {1, 2, 3});
  a = a.slice(1, 0, size[0]).slice(2, 0, size[1]).slice(3, 0, size[2]);
  Tensor out = x + scaled(a, 0);
  Tensor m = linear_composite(layer_norm(out, p[DGAM_SWIN_NORM2_W], p[DGAM_SWIN_NORM2_B]), p[DGAM_SWIN_FC1_W], p[DGAM_SWIN_FC1_B], bf16);
  return out + scaled(linear_composite(at::gelu(m), p[DGAM_SWIN_FC2_W], p[DGAM_SWIN_FC2_B], bf16), 1);
}

Tensor patch_embed_composite(const Tensor &x, const Tensor &weight, const Tensor &bias, const OptionalTensor &norm_w,
                             const OptionalTensor &norm_b, at::IntArrayRef shape, bool bf16) {
  TORCH_CHECK(weight.dim() == 5 && weight.numel() > 0, "dgam::patch_embed: weight is ", weight.sizes(),
              ", expected [C, channels, pt, ph, pw], each 1 or more");
  TORCH_CHECK(shape.size() == 3, "dgam::patch_embed: shape is ", shape, ", expected (T, H, W)");
  int64_t grid[3];
  for (int a = 0; a < 3; a++) {
    TORCH_CHECK(shape[a] >= 1, "dgam::patch_embed: shape is ", shape, ", expected 1 or more");
    grid[a] = (shape[a] + weight.size(a + 2) - 1) / weight.size(a + 2);
  }
  TORCH_CHECK(x.dim() == 5 || x.dim() == 3, "dgam::patch_embed: x is ", x.sizes(),
              ", expected a clip [N, channels, T, H, W] or patches [N, L, K]");
  int64_t n = x.size(0), c = weight.size(0), channels = weight.size(1), k = weight.numel() / c;
  Tensor patches = x;
  if (x.dim() == 5) {
    TORCH_CHECK(x.size(1) == channels && x.size(2) == shape[0] && x.size(3) == shape[1] && x.size(4) == shape[2],
                "dgam::patch_embed: the clip is ", x.sizes(), ", expected [N, ", channels, ", ", shape[0], ", ", shape[1], ", ",
                shape[2], "]");
    int64_t p[3] = {weight.size(2), weight.size(3), weight.size(4)};
    patches = at::constant_pad_nd(x, {0, grid[2] * p[2] - shape[2], 0, grid[1] * p[1] - shape[1], 0, grid[0] * p[0] - shape[0]})
                  .reshape({n, channels, grid[0], p[0], grid[1], p[1], grid[2], p[2]})
                  .permute({0, 2, 4, 6, 1, 3, 5, 7});
  } else {
    TORCH_CHECK(x.size(1) == grid[0] * grid[1] * grid[2] && x.size(2) == k, "dgam::patch_embed: patches are ",
                x.sizes(), ", expected [N, ", grid[0] * grid[1] * grid[2], ", ", k, "] for a clip of ", shape);
  }
  Tensor y = linear_composite(patches.reshape({n, grid[0] * grid[1] * grid[2], k}).to(weight.scalar_type()), weight.reshape({c, k}), bias, bf16);
  TORCH_CHECK(norm_w.has_value() == norm_b.has_value(),
              "dgam::patch_embed: one of norm_w and norm_b is given, expected both or neither");
  if (norm_w) y = layer_norm(y, *norm_w, *norm_b);
  return y.view({n, grid[0], grid[1], grid[2], c});
}

Tensor patch_merge_composite(const Tensor &x, const Tensor &norm_w, const Tensor &norm_b, const Tensor &reduction_w,
                             bool bf16) {
  TORCH_CHECK(x.dim() == 5, "dgam::patch_merge: x is ", x.sizes(), ", expected [N, D, H, W, C]");
  TORCH_CHECK(norm_w.numel() == 4 * x.size(4), "dgam::patch_merge: norm weight is ", norm_w.sizes(), ", expected ",
              4 * x.size(4));
  Tensor y = at::constant_pad_nd(x, {0, 0, 0, x.size(3) % 2, 0, x.size(2) % 2});
  auto part = [&](int64_t row, int64_t column) {
    return y.slice(2, row, c10::nullopt, 2).slice(3, column, c10::nullopt, 2);
  };
  y = at::cat({part(0, 0), part(1, 0), part(0, 1), part(1, 1)}, -1);
  return linear_composite(layer_norm(y, norm_w, norm_b), reduction_w, c10::nullopt, bf16);
}

void adamw_composite(Tensor &p, const Tensor &g, Tensor &m, Tensor &v, double lr, double beta1, double beta2, double eps,
                     double weight_decay, int64_t step) {
  at::NoGradGuard guard;
  if (weight_decay != 0) p.mul_(1 - lr * weight_decay);
  m.mul_(beta1).add_(g, 1 - beta1);
  v.mul_(beta2).addcmul_(g, g, 1 - beta2);
  double c1 = 1 - std::pow(beta1, (double)step), c2 = 1 - std::pow(beta2, (double)step);
  p.addcdiv_(m, (v / c2).sqrt_().add_(eps), -lr / c1);
}

}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("gemm_composite", &dgam::gemm_composite);
  m.def("linear_composite(Tensor x, Tensor weight, Tensor? bias=None, bool bf16=False) -> Tensor", &dgam::linear_composite);
  m.def("swin_block_composite(Tensor x, Tensor?[] parameters, int num_heads, int[] window, int[] shift, "
        "Tensor? drop_path_scale=None, bool bf16=False) -> Tensor",
        &dgam::swin_block_composite);
  m.def("patch_embed_composite(Tensor x, Tensor weight, Tensor bias, Tensor? norm_w, Tensor? norm_b, int[] shape, "
        "bool bf16=False) -> Tensor",
        &dgam::patch_embed_composite);
  m.def("patch_merge_composite(Tensor x, Tensor norm_w, Tensor norm_b, Tensor reduction_w, bool bf16=False) -> Tensor",
        &dgam::patch_merge_composite);
}
