// guards.cpp - see guards.h
#include "torch/guards.h"

#include <ATen/ATen.h>

#include <cstring>

#include "torch/names.h"
#include "torch/schema.h"

namespace dgt {

int Arguments::find(const char *name) const {
  for (size_t i = 0; i < overload_.args.size(); i++)
    if (overload_.args[i].name == name) return (int)i;
  return -1;
}

bool Arguments::has(const char *name) const {
  int i = find(name);
  return i >= 0 && !stack_[(size_t)i].isNone();
}

const c10::IValue &Arguments::value(const char *name) const {
  int i = find(name);
  TORCH_CHECK(i >= 0, "libtorch's ", overload_.handle.schema(), " has no argument '", name, "'");
  return stack_[(size_t)i];
}

at::Tensor Arguments::tensor(const char *name) const { return has(name) && value(name).isTensor() ? value(name).toTensor() : at::Tensor(); }

int64_t Arguments::integer(const char *name) const { return value(name).toInt(); }

std::vector<int64_t> Arguments::integers(const char *name) const { return value(name).toIntVector(); }

namespace {

constexpr int64_t kNone = INT64_MIN;

// Every position in the tensor is below `bound`; `ignored` is none.
void within(const char *name, at::Tensor t, int64_t bound, int64_t ignored = kNone) {
  if (!t.defined() || t.is_meta() || t.layout() != at::kStrided || !at::isIntegralType(t.scalar_type(), false)) return;
  if (ignored != kNone) t = t.masked_select(t != ignored);
  if (t.numel() == 0) return;
  auto ends = at::aminmax(t);
  int64_t least = std::get<0>(ends).item<int64_t>(), most = std::get<1>(ends).item<int64_t>();
  TORCH_CHECK(least >= 0 && most < bound, name, " ", (least < 0 ? least : most) + 1, ", expected 1 to ", bound);
}

void within(const Arguments &a, const char *name, int64_t bound, int64_t ignored = kNone) {
  within(name, a.tensor(name), bound, ignored);
}

int64_t extent(const at::Tensor &t, int64_t dim) { return t.defined() && t.dim() > (dim < 0 ? -dim - 1 : dim) ? t.size(dim) : 0; }
int64_t elements(const at::Tensor &t) { return t.defined() ? t.numel() : 0; }

void same_size(const Arguments &a, const char *one, const char *other) {
  at::Tensor x = a.tensor(one), y = a.tensor(other);
  TORCH_CHECK(!x.defined() || !y.defined() || x.sizes() == y.sizes(), one, " is ", x.sizes(), ", expected ", y.sizes(), " as ", other);
}

void has_items(const Arguments &a, const char *name) {
  bool empty = a.has(name) && a.value(name).isList() && a.value(name).toListRef().empty();
  TORCH_CHECK(!empty, name, " is an empty list, expected an item or more");
}

// ctc_loss reads memory that is not its own at a label that is no class. Of padded targets, (batch, length), what is beyond a
// row's length does not count.
void ctc_labels(const Arguments &a) {
  at::Tensor labels = a.tensor("targets"), scores = a.tensor("log_probs");
  if (labels.dim() == 2) {
    const c10::IValue &given = a.value("target_lengths");
    at::Tensor lengths = given.isTensor() ? given.toTensor() : at::tensor(given.toIntVector());
    at::Tensor column = at::arange(labels.size(1), labels.options().dtype(at::kLong));
    labels = labels.masked_select(column < lengths.to(labels.device()).unsqueeze(1));
  }
  within("label", labels, extent(scores, -1));
}

// A pooling's indices are of elements in the last `dims` dimensions of its input, and as many as its output.
template <int dims>
void pooled(const Arguments &a) {
  at::Tensor x = a.tensor("self");
  int64_t n = 1;
  for (int64_t d = 1; d <= dims; d++) n *= extent(x, -d);
  same_size(a, "indices", "grad_output");
  within(a, "indices", n);
}

// The share of a step at which a window begins, for each channel and dimension.
void random_samples(const Arguments &a) {
  at::Tensor t = a.tensor("random_samples");
  TORCH_CHECK(t.numel() == 0 || t.is_meta() || ((t >= 0) & (t < 1)).all().item<bool>(), "random_samples has values that are not in [0, 1)");
}

void class_labels(const Arguments &a) {
  at::Tensor x = a.tensor("self");
  within(a, "target", extent(x, x.dim() == 1 ? 0 : 1), a.has("ignore_index") ? a.integer("ignore_index") : kNone);
}

void bags(const Arguments &a) {
  at::Tensor grad = a.tensor("grad"), indices = a.tensor("indices"), bag = a.tensor("offset2bag");
  int64_t rows = a.has("num_weights") ? a.integer("num_weights") : extent(a.tensor("weight"), 0);
  within(a, "indices", rows, a.has("padding_idx") ? a.integer("padding_idx") : kNone);
  within(a, "offset2bag", extent(grad, 0));
  within(a, "offsets", elements(indices) + 1);
  if (a.has("mode") && a.integer("mode") == 2) within(a, "maximum_indices", rows, -1);
  TORCH_CHECK(elements(bag) == 0 || elements(bag) == elements(indices), "offset2bag has ", elements(bag), " elements, expected ",
              elements(indices), " as indices");
  at::Tensor sizes = a.tensor("bag_size");
  TORCH_CHECK(elements(sizes) == 0 || elements(sizes) >= extent(grad, 0), "bag_size has ", elements(sizes), " elements, expected ",
              extent(grad, 0));
  at::Tensor top = a.tensor("maximum_indices");
  TORCH_CHECK(!top.defined() || a.integer("mode") != 2 || top.sizes() == grad.sizes(), "maximum_indices is ", top.sizes(), ", expected ",
              grad.sizes());
  at::Tensor weights = a.tensor("per_sample_weights");
  TORCH_CHECK(!weights.defined() || elements(weights) == elements(indices), "per_sample_weights has ", elements(weights),
              " elements, expected ", elements(indices), " as indices");
}

// LAPACK's pivots count from 1 in every language.
template <const char *const *pivots, const char *const *matrix>
void pivoted(const Arguments &a) {
  at::Tensor p = a.tensor(*pivots);
  if (p.defined() && !p.is_meta()) within(*pivots, p.abs() - 1, extent(a.tensor(*matrix), -1));
  TORCH_CHECK(extent(p, -1) <= extent(a.tensor(*matrix), -1), *pivots, " is ", p.sizes(), " for a matrix ", a.tensor(*matrix).sizes());
}

const char *const kPivots = "pivots", *const kLU = "LU", *const kLD = "LD", *const kLUPivots = "LU_pivots", *const kLUData = "LU_data";

void not_negative(const Arguments &a, const char *name) {
  for (int64_t n : a.integers(name)) TORCH_CHECK(n >= 0, name, " has ", n, ", expected no negative sizes");
}

void not_empty(const Arguments &a, const char *name) {
  TORCH_CHECK(elements(a.tensor(name)) > 0, name, " is ", a.tensor(name).sizes(), ", expected an element or more");
}

// The kernels of Fourier transforms trust fft_fft and its kin, which look at the dimensions and types.
void transformed(const Arguments &a) {
  at::Tensor x = a.tensor("self");
  std::vector<int64_t> dims = a.integers("dim");
  TORCH_CHECK(!dims.empty() && elements(x) > 0, "self is ", x.sizes(), " with ", dims.size(), " dims, expected elements and a dimension");
  for (int64_t d : dims)
    TORCH_CHECK(d >= -x.dim() && d < x.dim(), "dim ", d + (d >= 0), " of a tensor with ", x.dim(), " dimensions");
}

void refuse(const Arguments &) {
  TORCH_CHECK(false, "is for libtorch's own use: it does not look at what it is given");
}

struct Rule {
  const char *ops; // names apart by spaces, of which each stands for its in-place form too
  Guard check;
};

const Rule rules[] = {
    {"ctc_loss _ctc_loss _ctc_loss_backward", ctc_labels},
    {"nll_loss_backward nll_loss2d_backward multi_margin_loss_backward", class_labels},
    {"embedding_dense_backward", [](const Arguments &a) { within(a, "indices", a.integer("num_weights"), a.integer("padding_idx")); }},
    {"_embedding_bag_backward _embedding_bag_dense_backward _embedding_bag_sparse_backward "
     "_embedding_bag_per_sample_weights_backward", bags},
    {"max_pool2d_with_indices_backward adaptive_max_pool2d_backward fractional_max_pool2d_backward", pooled<2>},
    {"max_pool3d_with_indices_backward adaptive_max_pool3d_backward fractional_max_pool3d_backward", pooled<3>},
    {"fractional_max_pool2d fractional_max_pool3d", random_samples},
    {"searchsorted", [](const Arguments &a) { within(a, "sorter", extent(a.tensor("sorted_sequence"), -1)); }},
    {"_convert_indices_from_coo_to_csr", [](const Arguments &a) { within(a, "self", a.integer("size")); }},
    {"linalg_lu_solve", pivoted<&kPivots, &kLU>},
    {"linalg_ldl_solve", pivoted<&kPivots, &kLD>},
    {"lu_solve", pivoted<&kLUPivots, &kLUData>},
    {"_local_scalar_dense item", [](const Arguments &a) {
       int64_t n = elements(a.tensor("self"));
       TORCH_CHECK(n == 1, "the tensor has ", n, " elements, expected 1");
     }},
    {"sum_to_size", [](const Arguments &a) { not_negative(a, "size"); }},
    {"align_tensors _stack cat concat concatenate", [](const Arguments &a) { has_items(a, "tensors"); }},
    {"_histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors", [](const Arguments &a) { has_items(a, "bins"); }},
    {"_fft_c2c _fft_r2c", transformed},
    {"_fft_c2r", [](const Arguments &a) {
       transformed(a);
       int64_t last = a.integer("last_dim_size"), half = a.tensor("self").size(a.integers("dim").back());
       TORCH_CHECK(last >= 1 && last / 2 + 1 == half, "last_dim_size ", last, " of a spectrum of ", half);
     }},
    {"_weight_norm _weight_norm_interface", [](const Arguments &a) { not_empty(a, "v"); }},
    {"_weight_norm_interface_backward _weight_norm_differentiable_backward", [](const Arguments &a) { not_empty(a, "saved_v"); }},
    {"native_channel_shuffle", [](const Arguments &a) {
       not_empty(a, "self");
       int64_t channels = extent(a.tensor("self"), 1), groups = a.integer("groups");
       TORCH_CHECK(groups >= 1 && channels % groups == 0, "groups is ", groups, " of ", channels, " channels");
     }},
    {"batch_norm_update_stats", [](const Arguments &a) { not_empty(a, "input"); }},
    {"choose_qparams_optimized", [](const Arguments &a) {
       int64_t n = a.integer("numel"), bins = a.integer("n_bins"), bits = a.integer("bit_width");
       double ratio = a.value("ratio").toDouble();
       TORCH_CHECK(n >= 1 && n <= elements(a.tensor("input")), "numel is ", n, " of ", elements(a.tensor("input")), " elements");
       TORCH_CHECK(bins >= 1 && bins <= 1 << 20 && bits >= 1 && bits <= 16 && ratio >= 0 && ratio <= 1, "n_bins is ", bins, ", bit_width ",
                   bits, ", ratio ", ratio, ", expected 1 or more bins, 1 to 16 bits and a ratio from 0 to 1");
     }},
    {"matrix_exp_backward", [](const Arguments &a) {
       TORCH_CHECK(a.tensor("self").dim() >= 2, "self is ", a.tensor("self").sizes(), ", expected matrices");
       same_size(a, "grad", "self");
     }},
    {"_cummax_helper _cummin_helper", [](const Arguments &a) { same_size(a, "values", "self"), same_size(a, "indices", "self"); }},
    {"align_to", [](const Arguments &a) {
       int64_t at = a.has("ellipsis_idx") ? a.integer("ellipsis_idx") : 0;
       TORCH_CHECK(at >= 0 && (size_t)at <= (a.has("order") ? a.value("order").toListRef().size() : 0), "ellipsis_idx ", at + 1,
                   ", expected a place in order or behind it");
     }},
    {"flatten", [](const Arguments &a) {
       int64_t dims = a.tensor("self").dim();
       for (auto *name : {"start_dim", "end_dim"})
         if (a.has(name) && a.value(name).isInt())
           TORCH_CHECK(a.integer(name) >= -std::max<int64_t>(dims, 1) && a.integer(name) < std::max<int64_t>(dims, 1), name, " ",
                       a.integer(name) + (a.integer(name) >= 0), " of a tensor with ", dims, " dimensions");
     }},
    {"_add_batch_dim _remove_batch_dim _new_zeros_with_same_feature_meta _thnn_differentiable_gru_cell_backward "
     "_thnn_differentiable_lstm_cell_backward _thnn_fused_gru_cell_backward _thnn_fused_lstm_cell_backward "
     "_thnn_fused_lstm_cell_backward_impl quantized_lstm_cell quantized_gru_cell quantized_rnn_relu_cell quantized_rnn_tanh_cell "
     "_sparse_coo_tensor_unsafe _sparse_csr_tensor_unsafe _sparse_csc_tensor_unsafe _sparse_bsr_tensor_unsafe _sparse_bsc_tensor_unsafe "
     "_sparse_compressed_tensor_unsafe _symeig_helper _batch_norm_impl_index_backward _reshape_alias_copy "
     "_compute_linear_combination", refuse},
};

}  // namespace

Guard guard_of(const std::string &op) {
  for (const Rule &r : rules)
    if (names_operator(r.ops, op)) return r.check;
  return nullptr;
}

bool within_storage(const at::Tensor &t) {
  if (!t.defined() || t.layout() != at::kStrided || !t.has_storage() || t.is_meta() || t.is_nested() || t.numel() == 0) return true;
  if (t.scalar_type() == c10::ScalarType::QUInt4x2 || t.scalar_type() == c10::ScalarType::QUInt2x4) return true; // several elements a byte
  double first = (double)t.storage_offset(), last = first;
  for (int64_t d = 0; d < t.dim(); d++) {
    double reach = (double)(t.size(d) - 1) * (double)t.stride(d);
    (reach < 0 ? first : last) += reach;
  }
  return first >= 0 && (last + 1) * (double)t.element_size() <= (double)t.storage().nbytes();
}

}  // namespace dgt
