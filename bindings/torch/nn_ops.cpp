// nn_ops.cpp - the network kernels of core/nn as operators; see nn_composite.h for what each computes.
//
// float32 tensors on the CPU run the C kernels, forward and backward; everything else runs the ATen twin. Scratch comes
// from a block per thread that only grows, so that nothing is mapped anew in a training loop.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <ATen/core/grad_mode.h>

#include "nn/adamw.h"
#include "nn/gemm.h"
#include "nn/linear.h"
#include "nn/patch.h"
#include "nn/swin_block.h"
#include "torch/nn_composite.h"
#include "torch/ops.h"

namespace dgam {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Sizes = std::vector<int64_t>;

// --- helpers ---

// A block of at least `bytes`, aligned to 64, that this thread's next call may get again.
void *scratch_of(size_t bytes) {
  struct Block {
    void *p = nullptr;
    size_t size = 0;
    ~Block() { std::free(p); }
  };
  static thread_local Block block;
  if (bytes > block.size) {
    std::free(block.p);
    block.size = 0;
    bytes = (bytes + 4095) / 4096 * 4096;
    block.p = std::aligned_alloc(64, bytes);
    TORCH_CHECK(block.p, "dgam: no memory for ", bytes, " bytes of scratch");
    block.size = bytes;
  }
  return block.p;
}

bool given(const OptionalTensor &t) { return t.has_value() && t->defined(); }

bool fits(const Tensor &t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided; }
bool fits(const OptionalTensor &t) { return !given(t) || fits(*t); }

template <class... T>
bool use_kernel(const T &...tensors) {
  return !composite_forced() && (fits(tensors) && ...);
}

bool wants_grad(const Tensor &t) { return t.defined() && t.requires_grad(); }
bool wants_grad(const OptionalTensor &t) { return given(t) && t->requires_grad(); }
template <class... T>
bool any_wanted(const T &...tensors) {
  return (wants_grad(tensors) || ...);
}
template <class... T>
bool any_grad(const T &...tensors) {
  return at::GradMode::is_enabled() && any_wanted(tensors...);
}

void expect(const char *op, const char *name, const Tensor &t, const Sizes &sizes) {
  DGAM_CHECK(op, t.sizes() == at::IntArrayRef(sizes), name, " is ", t.sizes(), ", expected ", at::IntArrayRef(sizes));
}
void expect(const char *op, const char *name, const OptionalTensor &t, const Sizes &sizes) {
  if (given(t)) expect(op, name, *t, sizes);
}

const float *data(const Tensor &t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
float *write_to(const Tensor &t) { return t.defined() ? t.data_ptr<float>() : nullptr; }
Tensor dense(const OptionalTensor &t) { return given(t) ? readable(*t) : Tensor(); }

// bf16 where the machine has such products; else fp32, which is only more exact.
dgam_dtype type_of(bool bf16) {
  static const bool has = dgam_gemm_has_bf16() != 0;
  return bf16 && has ? DGAM_BF16 : DGAM_F32;
}

// --- gemm ---

Tensor gemm(const Tensor &a, const Tensor &b) {
  auto ok = [](const Tensor &t) {
    auto type = t.scalar_type();
    return t.device().is_cpu() && t.layout() == at::kStrided && t.dim() == 2 && t.numel() > 0 &&
           (type == at::kFloat || (type == at::kBFloat16 && dgam_gemm_has_bf16()));
  };
  if (composite_forced() || !ok(a) || !ok(b) || a.scalar_type() != b.scalar_type() || any_grad(a, b))
    return gemm_composite(a, b);
  DGAM_CHECK("gemm", a.size(1) == b.size(0), "a is ", a.sizes(), ", b is ", b.sizes(), ", expected [M, K] and [K, N]");
  auto transposed = [](const Tensor &t) { return t.stride(0) == 1 && t.stride(1) >= t.size(0) && t.size(1) > 1; };
  bool at_ = transposed(a), bt = transposed(b);
  Tensor x = at_ ? readable(a.t()) : readable(a), y = bt ? readable(b.t()) : readable(b);
  Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  dgam_gemm_desc d = {};
  d.m = (size_t)a.size(0), d.n = (size_t)b.size(1), d.k = (size_t)a.size(1);
  d.at = at_, d.bt = bt;
  d.in = d.out = a.scalar_type() == at::kBFloat16 ? DGAM_BF16 : DGAM_F32;
  const dgam_gemm *g;
  check("gemm", dgam_gemm_get(&d, &g));
  dgam_status s = dgam_gemm_run(g, x.data_ptr(), y.data_ptr(), nullptr, out.data_ptr(), scratch_of(dgam_gemm_scratch(g)));
  dgam_gemm_put(g);
  check("gemm", s);
  return out;
}

// --- linear ---

struct LinearSizes {
  size_t m, n, k;
};

void *linear_scratch(const LinearSizes &s, dgam_dtype type) {
  size_t bytes;
  check("linear", dgam_linear_scratch(s.m, s.n, s.k, type, &bytes));
  return scratch_of(bytes);
}

Tensor linear_forward(const Tensor &x, const Tensor &weight, const Tensor &bias, dgam_dtype type) {
  LinearSizes s = {(size_t)(x.numel() / x.size(-1)), (size_t)weight.size(0), (size_t)weight.size(1)};
  Sizes shape = x.sizes().vec();
  shape.back() = weight.size(0);
  Tensor y = at::empty(shape, x.options());
  check("linear", dgam_linear_forward(s.m, s.n, s.k, data(x), data(weight), data(bias), write_to(y), type,
                                      linear_scratch(s, type)));
  return y;
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight, const OptionalTensor &bias,
                        bool bf16) {
    Tensor xc = readable(x), wc = readable(weight);
    ctx->save_for_backward({xc, wc});
    ctx->saved_data["bf16"] = bf16;
    ctx->saved_data["dx"] = x.requires_grad();
    ctx->saved_data["dw"] = weight.requires_grad();
    ctx->saved_data["db"] = wants_grad(bias);
    return linear_forward(xc, wc, dense(bias), type_of(bf16));
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    refuse_second_derivatives("linear");
    auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1];
    Tensor dy = readable(grads[0]), dx, dw, db;
    if (ctx->saved_data["dx"].toBool()) dx = at::empty_like(x);
    if (ctx->saved_data["dw"].toBool()) dw = at::empty_like(w);
    if (ctx->saved_data["db"].toBool()) db = at::empty({w.size(0)}, w.options());
    LinearSizes s = {(size_t)(x.numel() / x.size(-1)), (size_t)w.size(0), (size_t)w.size(1)};
    dgam_dtype type = type_of(ctx->saved_data["bf16"].toBool());
    check("linear", dgam_linear_backward(s.m, s.n, s.k, data(x), data(w), data(dy), write_to(dx), write_to(dw),
                                         write_to(db), type, linear_scratch(s, type)));
    return {dx, dw, db, Tensor()};
  }
};

Tensor linear(const Tensor &x, const Tensor &weight, const OptionalTensor &bias, bool bf16) {
  if (!use_kernel(x, weight, bias) || x.dim() < 2 || weight.dim() != 2 || x.numel() == 0 || weight.numel() == 0)
    return linear_composite(x, weight, bias, bf16);
  DGAM_CHECK("linear", x.size(-1) == weight.size(1), "x is ", x.sizes(), ", weight is ", weight.sizes(),
             ", expected the last dimension of both to be the same");
  expect("linear", "bias", bias, {weight.size(0)});
  if (any_grad(x, weight, bias)) return Linear::apply(x, weight, bias, bf16);
  return linear_forward(readable(x), readable(weight), dense(bias), type_of(bf16));
}

// --- swin_block ---

enum { NORM1_W, NORM1_B, QKV_W, QKV_B, PROJ_W, PROJ_B, TABLE, NORM2_W, NORM2_B, FC1_W, FC1_B, FC2_W, FC2_B, PARAMS };

dgam_swin_block_params params_of(const Tensor *p) {
  return {data(p[NORM1_W]), data(p[NORM1_B]), data(p[QKV_W]),   data(p[QKV_B]),   data(p[PROJ_W]), data(p[PROJ_B]),
          data(p[TABLE]),   data(p[NORM2_W]), data(p[NORM2_B]), data(p[FC1_W]),   data(p[FC1_B]),  data(p[FC2_W]),
          data(p[FC2_B])};
}

dgam_swin_block_desc block_desc(const Tensor &x, int64_t heads, int64_t hidden, at::IntArrayRef window,
                                at::IntArrayRef shift, bool bf16, dgam_keep keep) {
  dgam_swin_block_desc d = {};
  d.n = (size_t)x.size(0), d.d = (size_t)x.size(1), d.h = (size_t)x.size(2), d.w = (size_t)x.size(3);
  d.c = (size_t)x.size(4);
  d.heads = (size_t)heads;
  d.hidden = (size_t)hidden;
  for (size_t a = 0; a < 3; a++) d.window[a] = (size_t)window[a], d.shift[a] = (size_t)shift[a];
  d.type = type_of(bf16);
  d.eps = 1e-5f;
  d.keep = keep;
  return d;
}

Tensor block_forward(const dgam_swin_block_desc &d, const Tensor &x, const Tensor *p, const Tensor &scale,
                     Tensor *saved) {
  const char *op = "swin_block";
  Tensor y = at::empty_like(x);
  size_t bytes;
  if (saved) {
    check(op, dgam_swin_block_saved(&d, &bytes));
    *saved = at::empty({(int64_t)bytes}, x.options().dtype(at::kByte));
  }
  check(op, dgam_swin_block_scratch(&d, 0, &bytes));
  dgam_swin_block_params params = params_of(p);
  check(op, dgam_swin_block_forward(&d, &params, data(x), data(scale), write_to(y), saved ? saved->data_ptr() : nullptr,
                                    scratch_of(bytes)));
  return y;
}

struct SwinBlock : torch::autograd::Function<SwinBlock> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &norm1_w, const Tensor &norm1_b,
                        const Tensor &qkv_w, const OptionalTensor &qkv_b, const Tensor &proj_w, const Tensor &proj_b,
                        const Tensor &table, const Tensor &norm2_w, const Tensor &norm2_b, const Tensor &fc1_w,
                        const Tensor &fc1_b, const Tensor &fc2_w, const Tensor &fc2_b, int64_t heads, Sizes window,
                        Sizes shift, const OptionalTensor &scale, bool bf16, bool lean) {
    Tensor params[PARAMS] = {dense(norm1_w), dense(norm1_b), dense(qkv_w),   dense(qkv_b), dense(proj_w),
                             dense(proj_b),  dense(table),   dense(norm2_w), dense(norm2_b), dense(fc1_w),
                             dense(fc1_b),   dense(fc2_w),   dense(fc2_b)};
    // Of the tensors as they were given: a copy that dense() made asks for no gradient.
    bool train = any_wanted(norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, table, norm2_w, norm2_b, fc1_w, fc1_b, fc2_w,
                            fc2_b);
    dgam_keep keep = lean ? DGAM_KEEP_LEAN : DGAM_KEEP_ALL;
    dgam_swin_block_desc d = block_desc(x, heads, fc1_w.size(0), window, shift, bf16, keep);
    Tensor xc = readable(x), factors = dense(scale), saved;
    Tensor y = block_forward(d, xc, params, factors, &saved);
    variable_list all = {xc, saved, factors};
    all.insert(all.end(), params, params + PARAMS);
    ctx->save_for_backward(all);
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["window"] = window;
    ctx->saved_data["shift"] = shift;
    ctx->saved_data["bf16"] = bf16;
    ctx->saved_data["keep"] = (int64_t)keep;
    ctx->saved_data["train"] = train;
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const char *op = "swin_block";
    refuse_second_derivatives(op);
    auto all = ctx->get_saved_variables();
    const Tensor &x = all[0], *p = &all[3];
    Sizes window = ctx->saved_data["window"].toIntVector(), shift = ctx->saved_data["shift"].toIntVector();
    dgam_swin_block_desc d = block_desc(x, ctx->saved_data["heads"].toInt(), p[FC1_W].size(0), window, shift,
                                        ctx->saved_data["bf16"].toBool(), (dgam_keep)ctx->saved_data["keep"].toInt());
    Tensor dy = readable(grads[0]), dx = at::empty_like(x), g[PARAMS];
    bool train = ctx->saved_data["train"].toBool();
    if (train)
      for (size_t i = 0; i < PARAMS; i++)
        if (p[i].defined()) g[i] = at::empty_like(p[i]);
    dgam_swin_block_grads out = {
        write_to(g[NORM1_W]), write_to(g[NORM1_B]), write_to(g[QKV_W]),   write_to(g[QKV_B]), write_to(g[PROJ_W]),
        write_to(g[PROJ_B]),  write_to(g[TABLE]),   write_to(g[NORM2_W]), write_to(g[NORM2_B]), write_to(g[FC1_W]),
        write_to(g[FC1_B]),   write_to(g[FC2_W]),   write_to(g[FC2_B])};
    size_t bytes;
    check(op, dgam_swin_block_scratch(&d, 1, &bytes));
    dgam_swin_block_params params = params_of(p);
    check(op, dgam_swin_block_backward(&d, &params, data(x), data(all[2]), all[1].data_ptr(), data(dy), write_to(dx),
                                       train ? &out : nullptr, scratch_of(bytes)));
    variable_list result = {dx};
    result.insert(result.end(), g, g + PARAMS);
    result.resize(1 + PARAMS + 6);
    return result;
  }
};

Tensor swin_block(const Tensor &x, const Tensor &norm1_w, const Tensor &norm1_b, const Tensor &qkv_w,
                  const OptionalTensor &qkv_b, const Tensor &proj_w, const Tensor &proj_b, const Tensor &table,
                  const Tensor &norm2_w, const Tensor &norm2_b, const Tensor &fc1_w, const Tensor &fc1_b,
                  const Tensor &fc2_w, const Tensor &fc2_b, int64_t heads, at::IntArrayRef window,
                  at::IntArrayRef shift, const OptionalTensor &scale, bool bf16, bool lean) {
  const char *op = "swin_block";
  if (!use_kernel(x, norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, table, norm2_w, norm2_b, fc1_w, fc1_b, fc2_w,
                  fc2_b, scale) ||
      wants_grad(scale) || x.numel() == 0)
    return swin_block_composite(x, norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, table, norm2_w, norm2_b, fc1_w, fc1_b,
                                fc2_w, fc2_b, heads, window, shift, scale, bf16);
  DGAM_CHECK(op, x.dim() == 5, "x is ", x.sizes(), ", expected [N, D, H, W, C]");
  DGAM_CHECK(op, window.size() == 3 && shift.size() == 3, "window is ", window, " and shift ", shift,
             ", expected three entries each (time, height, width)");
  for (size_t a = 0; a < 3; a++)
    DGAM_CHECK(op, window[a] >= 1 && window[a] <= 1024 && shift[a] >= 0 && shift[a] < window[a], "window is ", window,
               " and shift ", shift, ", expected 1 <= window <= 1024 and 0 <= shift < window");
  int64_t c = x.size(4);
  DGAM_CHECK(op, heads >= 1 && c % heads == 0, c, " channels are not a multiple of ", heads, " heads");
  DGAM_CHECK(op, fc1_w.dim() == 2 && fc1_w.size(0) >= 1, "fc1_w is ", fc1_w.sizes(), ", expected [hidden, ", c, "]");
  int64_t hidden = fc1_w.size(0), rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1);
  expect(op, "norm1_w", norm1_w, {c});
  expect(op, "norm1_b", norm1_b, {c});
  expect(op, "qkv_w", qkv_w, {3 * c, c});
  expect(op, "qkv_b", qkv_b, {3 * c});
  expect(op, "proj_w", proj_w, {c, c});
  expect(op, "proj_b", proj_b, {c});
  expect(op, "bias_table", table, {rows, heads});
  expect(op, "norm2_w", norm2_w, {c});
  expect(op, "norm2_b", norm2_b, {c});
  expect(op, "fc1_w", fc1_w, {hidden, c});
  expect(op, "fc1_b", fc1_b, {hidden});
  expect(op, "fc2_w", fc2_w, {c, hidden});
  expect(op, "fc2_b", fc2_b, {c});
  expect(op, "drop_path_scale", scale, {2, x.size(0)});
  if (any_grad(x, norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, table, norm2_w, norm2_b, fc1_w, fc1_b, fc2_w, fc2_b))
    return SwinBlock::apply(x, norm1_w, norm1_b, qkv_w, qkv_b, proj_w, proj_b, table, norm2_w, norm2_b, fc1_w, fc1_b,
                            fc2_w, fc2_b, heads, window.vec(), shift.vec(), scale, bf16, lean);
  Tensor params[PARAMS] = {dense(norm1_w), dense(norm1_b), dense(qkv_w),   dense(qkv_b), dense(proj_w),
                           dense(proj_b),  dense(table),   dense(norm2_w), dense(norm2_b), dense(fc1_w),
                           dense(fc1_b),   dense(fc2_w),   dense(fc2_b)};
  dgam_swin_block_desc d = block_desc(x, heads, hidden, window, shift, bf16, DGAM_KEEP_NONE);
  return block_forward(d, readable(x), params, dense(scale), nullptr);
}

// --- patch_embed ---

dgam_patch_embed_desc embed_desc(const Tensor &x, const Tensor &weight, bool norm, at::IntArrayRef shape, bool bf16) {
  dgam_patch_embed_desc d = {};
  d.n = (size_t)x.size(0), d.channels = (size_t)weight.size(1);
  d.t = (size_t)shape[0], d.h = (size_t)shape[1], d.w = (size_t)shape[2];
  for (int a = 0; a < 3; a++) d.patch[a] = (size_t)weight.size(a + 2);
  d.c = (size_t)weight.size(0);
  d.patches = x.dim() == 3;
  d.norm = norm;
  d.eps = 1e-5f;
  d.type = type_of(bf16);
  return d;
}

Tensor embed_forward(const dgam_patch_embed_desc &d, const Tensor &x, const Tensor &weight, const Tensor &bias,
                     const Tensor &norm_w, const Tensor &norm_b, Tensor *saved) {
  const char *op = "patch_embed";
  size_t dims[3], bytes, floats;
  check(op, dgam_patch_embed_dims(&d, dims));
  check(op, dgam_patch_embed_sizes(&d, &bytes, &floats));
  Tensor y = at::empty({x.size(0), (int64_t)dims[0], (int64_t)dims[1], (int64_t)dims[2], (int64_t)d.c}, x.options());
  if (saved) *saved = at::empty({(int64_t)floats}, x.options());
  check(op, dgam_patch_embed_forward(&d, data(x), data(weight), data(bias), data(norm_w), data(norm_b), write_to(y),
                                     saved && floats ? write_to(*saved) : nullptr, scratch_of(bytes)));
  return y;
}

struct PatchEmbed : torch::autograd::Function<PatchEmbed> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight, const OptionalTensor &bias,
                        const OptionalTensor &norm_w, const OptionalTensor &norm_b, Sizes shape, bool bf16) {
    Tensor xc = readable(x.to(at::kFloat)), w = readable(weight), nw = dense(norm_w), saved;
    Tensor y = embed_forward(embed_desc(xc, w, nw.defined(), shape, bf16), xc, w, dense(bias), nw, dense(norm_b), &saved);
    ctx->save_for_backward({xc, w, nw, saved});
    ctx->saved_data["shape"] = shape;
    ctx->saved_data["bf16"] = bf16;
    ctx->saved_data["dx"] = x.requires_grad();
    ctx->saved_data["bias"] = given(bias);
    ctx->saved_data["type"] = x.scalar_type();
    return y;
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const char *op = "patch_embed";
    refuse_second_derivatives(op);
    auto all = ctx->get_saved_variables();
    const Tensor &x = all[0], &w = all[1], &nw = all[2], &saved = all[3];
    Sizes shape = ctx->saved_data["shape"].toIntVector();
    dgam_patch_embed_desc d = embed_desc(x, w, nw.defined(), shape, ctx->saved_data["bf16"].toBool());
    Tensor dy = readable(grads[0]), dx, db, dnw, dnb, dw = at::empty_like(w);
    if (ctx->saved_data["dx"].toBool()) dx = at::empty_like(x);
    if (ctx->saved_data["bias"].toBool()) db = at::empty({w.size(0)}, w.options());
    if (nw.defined()) dnw = at::empty_like(nw), dnb = at::empty_like(nw);
    size_t bytes, floats;
    check(op, dgam_patch_embed_sizes(&d, &bytes, &floats));
    check(op, dgam_patch_embed_backward(&d, data(x), data(w), data(nw), floats ? data(saved) : nullptr, data(dy),
                                        write_to(dx), write_to(dw), write_to(db), write_to(dnw), write_to(dnb),
                                        scratch_of(bytes)));
    if (dx.defined()) dx = dx.to(ctx->saved_data["type"].toScalarType());
    return {dx, dw, db, dnw, dnb, Tensor(), Tensor()};
  }
};

Tensor patch_embed(const Tensor &x, const Tensor &weight, const OptionalTensor &bias, const OptionalTensor &norm_w,
                   const OptionalTensor &norm_b, at::IntArrayRef shape, bool bf16) {
  const char *op = "patch_embed";
  bool input = fits(x) || (x.device().is_cpu() && x.scalar_type() == at::kBFloat16 && x.layout() == at::kStrided);
  DGAM_CHECK(op, given(norm_w) == given(norm_b), "norm_", given(norm_w) ? "w" : "b", " is given and norm_",
             given(norm_w) ? "b" : "w", " is not, expected both or neither");
  if (!input || !use_kernel(weight, bias, norm_w, norm_b) || x.numel() == 0)
    return patch_embed_composite(x, weight, bias.value(), norm_w, norm_b, shape, bf16);
  DGAM_CHECK(op, weight.dim() == 5 && weight.numel() > 0, "weight is ", weight.sizes(),
             ", expected [C, channels, pt, ph, pw]");
  DGAM_CHECK(op, shape.size() == 3 && shape[0] >= 1 && shape[1] >= 1 && shape[2] >= 1, "shape is ", shape,
             ", expected (T, H, W), each 1 or more");
  int64_t c = weight.size(0), tokens = 1;
  for (int a = 0; a < 3; a++) tokens *= (shape[a] + weight.size(a + 2) - 1) / weight.size(a + 2);
  if (x.dim() == 5) expect(op, "the clip", x, {x.size(0), weight.size(1), shape[0], shape[1], shape[2]});
  else if (x.dim() == 3) expect(op, "patches", x, {x.size(0), tokens, weight.numel() / c});
  else DGAM_CHECK(op, false, "x is ", x.sizes(), ", expected a clip [N, channels, T, H, W] or patches [N, L, K]");
  expect(op, "bias", bias, {c});
  expect(op, "norm_w", norm_w, {c});
  expect(op, "norm_b", norm_b, {c});
  if (any_grad(x, weight, bias, norm_w, norm_b))
    return PatchEmbed::apply(x, weight, bias, norm_w, norm_b, shape.vec(), bf16);
  Tensor xc = readable(x.to(at::kFloat));
  return embed_forward(embed_desc(xc, weight, given(norm_w), shape, bf16), xc, readable(weight), dense(bias),
                       dense(norm_w), dense(norm_b), nullptr);
}

// --- patch_merge ---

dgam_patch_merge_desc merge_desc(const Tensor &x, int64_t out, bool bf16) {
  return {(size_t)x.size(0), (size_t)x.size(1), (size_t)x.size(2), (size_t)x.size(3), (size_t)x.size(4), (size_t)out,
          1e-5f,             type_of(bf16)};
}

Tensor merge_forward(const dgam_patch_merge_desc &d, const Tensor &x, const Tensor &norm_w, const Tensor &norm_b,
                     const Tensor &weight, Tensor *saved) {
  const char *op = "patch_merge";
  size_t bytes, floats;
  check(op, dgam_patch_merge_sizes(&d, &bytes, &floats));
  Tensor y = at::empty({x.size(0), x.size(1), (x.size(2) + 1) / 2, (x.size(3) + 1) / 2, (int64_t)d.out}, x.options());
  if (saved) *saved = at::empty({(int64_t)floats}, x.options());
  check(op, dgam_patch_merge_forward(&d, data(x), data(norm_w), data(norm_b), data(weight), write_to(y),
                                     saved ? write_to(*saved) : nullptr, scratch_of(bytes)));
  return y;
}

struct PatchMerge : torch::autograd::Function<PatchMerge> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &norm_w, const Tensor &norm_b,
                        const Tensor &weight, bool bf16) {
    Tensor xc = readable(x), nw = readable(norm_w), nb = readable(norm_b), w = readable(weight), saved;
    Tensor y = merge_forward(merge_desc(xc, w.size(0), bf16), xc, nw, nb, w, &saved);
    ctx->save_for_backward({xc, nw, nb, w, saved});
    ctx->saved_data["bf16"] = bf16;
    return y;
  }
  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    const char *op = "patch_merge";
    refuse_second_derivatives(op);
    auto all = ctx->get_saved_variables();
    const Tensor &x = all[0], &nw = all[1], &nb = all[2], &w = all[3], &saved = all[4];
    dgam_patch_merge_desc d = merge_desc(x, w.size(0), ctx->saved_data["bf16"].toBool());
    Tensor dy = readable(grads[0]), dx = at::empty_like(x), dnw = at::empty_like(nw), dnb = at::empty_like(nb);
    Tensor dw = at::empty_like(w);
    size_t bytes, floats;
    check(op, dgam_patch_merge_sizes(&d, &bytes, &floats));
    check(op, dgam_patch_merge_backward(&d, data(x), data(nw), data(nb), data(w), data(saved), data(dy), write_to(dx),
                                        write_to(dnw), write_to(dnb), write_to(dw), scratch_of(bytes)));
    return {dx, dnw, dnb, dw, Tensor()};
  }
};

Tensor patch_merge(const Tensor &x, const Tensor &norm_w, const Tensor &norm_b, const Tensor &weight, bool bf16) {
  const char *op = "patch_merge";
  if (!use_kernel(x, norm_w, norm_b, weight) || x.numel() == 0)
    return patch_merge_composite(x, norm_w, norm_b, weight, bf16);
  DGAM_CHECK(op, x.dim() == 5, "x is ", x.sizes(), ", expected [N, D, H, W, C]");
  DGAM_CHECK(op, weight.dim() == 2 && weight.size(0) >= 1, "reduction_w is ", weight.sizes(), ", expected [out, ",
             4 * x.size(4), "]");
  expect(op, "norm_w", norm_w, {4 * x.size(4)});
  expect(op, "norm_b", norm_b, {4 * x.size(4)});
  expect(op, "reduction_w", weight, {weight.size(0), 4 * x.size(4)});
  if (any_grad(x, norm_w, norm_b, weight)) return PatchMerge::apply(x, norm_w, norm_b, weight, bf16);
  return merge_forward(merge_desc(x, weight.size(0), bf16), readable(x), readable(norm_w), readable(norm_b),
                       readable(weight), nullptr);
}

// --- adamw_ ---

void adamw(Tensor p, const Tensor &g, Tensor m, Tensor v, double lr, double beta1, double beta2, double eps,
           double weight_decay, int64_t step) {
  DGAM_CHECK("adamw_", p.sizes() == g.sizes() && p.sizes() == m.sizes() && p.sizes() == v.sizes(), "parameter ", p.sizes(),
             ", gradient ", g.sizes(), ", moments ", m.sizes(), " and ", v.sizes(), ", expected one shape");
  check("adamw_", dgam_adamw_check(lr, beta1, beta2, eps, weight_decay, step));
  auto writable = [](const Tensor &t) { return t.is_contiguous() && !t.is_neg(); };
  bool dense_all = writable(p) && writable(m) && writable(v);
  if (!use_kernel(p, g, m, v) || !dense_all) return adamw_composite(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step);
  Tensor gc = readable(g);
  check("adamw_", dgam_adamw((size_t)p.numel(), write_to(p), data(gc), write_to(m), write_to(v), lr, beta1, beta2, eps,
                             weight_decay, step));
  for (const Tensor *t : {&p, &m, &v}) t->unsafeGetTensorImpl()->bump_version();
}

}  // namespace
}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) {
  m.def("gemm(Tensor a, Tensor b) -> Tensor", &dgam::gemm);
  m.def("linear(Tensor x, Tensor weight, Tensor? bias=None, bool bf16=False) -> Tensor", &dgam::linear);
  m.def("swin_block(Tensor x, Tensor norm1_w, Tensor norm1_b, Tensor qkv_w, Tensor? qkv_b, Tensor proj_w, "
        "Tensor proj_b, Tensor bias_table, Tensor norm2_w, Tensor norm2_b, Tensor fc1_w, Tensor fc1_b, Tensor fc2_w, "
        "Tensor fc2_b, int num_heads, int[] window, int[] shift, Tensor? drop_path_scale=None, bool bf16=False, "
        "bool recompute=False) -> Tensor",
        &dgam::swin_block);
  m.def("patch_embed(Tensor x, Tensor weight, Tensor bias, Tensor? norm_w, Tensor? norm_b, int[] shape, "
        "bool bf16=False) -> Tensor",
        [](const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, const dgam::OptionalTensor &norm_w,
           const dgam::OptionalTensor &norm_b, at::IntArrayRef shape, bool bf16) {
          return dgam::patch_embed(x, weight, bias, norm_w, norm_b, shape, bf16);
        });
  m.def("patch_merge(Tensor x, Tensor norm_w, Tensor norm_b, Tensor reduction_w, bool bf16=False) -> Tensor",
        &dgam::patch_merge);
  m.def("adamw_(Tensor(a!) p, Tensor g, Tensor(b!) m, Tensor(c!) v, float lr, float beta1, float beta2, float eps, "
        "float weight_decay, int step) -> ()",
        &dgam::adamw);
}
