// dispatch.cpp - see shim.h: every operator of libtorch's dispatcher, called by name.
//
// A name ("aten::sum") has overloads, each with a schema: typed arguments, defaults, results. A call tries each overload
// against the values it was given; the cheapest fit wins (an exact type costs nothing, a conversion something), then the
// stack is filled and the operator called boxed. So nothing is bound by hand and nothing drifts from libtorch.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

#include "torch/internal.h"

namespace {

using c10::IValue;
using c10::TypeKind;

// --- counting from one: the one table of arguments and results it applies to ---

// index: a position or a tensor of them, negative ones counted backwards. index_tensor: positions in a tensor that libtorch
// checks by itself, which knows no negative ones.
enum class From1 { no, dim, index, last, index_tensor, ignore_index };

const char *const dim_names[] = {"dim",         "dims",      "dim0",      "dim1",       "dim2", "start_dim", "end_dim", "source",
                                 "destination", "dimension", "dims_self", "dims_other", "axis", "axis0",     "axis1",   "ch_axis"};

struct IndexEntry {
  const char *op;   // without namespace and overload
  const char *what; // argument name, or "" for results
  From1 how;
};

// Integer arguments that are positions, and arguments that are tensors of positions. multilabel_margin_loss: -1 ends a row.
// What tile calls dims is how often each dimension is repeated.
const IndexEntry index_arguments[] = {
    {"select", "index", From1::index},
    {"select_copy", "index", From1::index},
    {"select_scatter", "index", From1::index},
    {"narrow", "start", From1::index},
    {"narrow_copy", "start", From1::index},
    {"slice", "start", From1::index},
    {"slice", "end", From1::last},
    {"slice_scatter", "start", From1::index},
    {"slice_scatter", "end", From1::last},
    {"gather", "index", From1::index_tensor},
    {"scatter", "index", From1::index_tensor},
    {"scatter_", "index", From1::index_tensor},
    {"scatter_add", "index", From1::index_tensor},
    {"scatter_add_", "index", From1::index_tensor},
    {"scatter_reduce", "index", From1::index_tensor},
    {"scatter_reduce_", "index", From1::index_tensor},
    {"index_select", "index", From1::index_tensor},
    {"index_add", "index", From1::index_tensor},
    {"index_add_", "index", From1::index_tensor},
    {"index_copy", "index", From1::index_tensor},
    {"index_copy_", "index", From1::index_tensor},
    {"index_fill", "index", From1::index},
    {"index_fill_", "index", From1::index},
    {"index_reduce", "index", From1::index_tensor},
    {"index_reduce_", "index", From1::index_tensor},
    {"index", "indices", From1::index},
    {"index_put", "indices", From1::index},
    {"index_put_", "indices", From1::index},
    {"take", "index", From1::index},
    {"put", "index", From1::index},
    {"put_", "index", From1::index},
    {"take_along_dim", "indices", From1::index_tensor},
    {"embedding", "indices", From1::index_tensor},
    {"embedding", "padding_idx", From1::ignore_index},
    {"embedding_bag", "indices", From1::index_tensor},
    {"embedding_bag", "offsets", From1::index},
    {"embedding_bag", "padding_idx", From1::index},
    {"embedding_renorm", "indices", From1::index},
    {"embedding_renorm_", "indices", From1::index},
    {"one_hot", "self", From1::index_tensor},
    {"nll_loss", "target", From1::index_tensor},
    {"nll_loss", "ignore_index", From1::ignore_index},
    {"nll_loss2d", "target", From1::index_tensor},
    {"nll_loss2d", "ignore_index", From1::ignore_index},
    {"nll_loss_nd", "target", From1::index_tensor},
    {"nll_loss_nd", "ignore_index", From1::ignore_index},
    {"cross_entropy_loss", "target", From1::index_tensor},
    {"cross_entropy_loss", "ignore_index", From1::ignore_index},
    {"multi_margin_loss", "target", From1::index_tensor},
    {"multilabel_margin_loss", "target", From1::index},
    {"ctc_loss", "targets", From1::index_tensor},
    {"ctc_loss", "blank", From1::index},
    {"_ctc_loss", "targets", From1::index_tensor},
    {"_ctc_loss", "blank", From1::index},
    {"sparse_coo_tensor", "indices", From1::index_tensor},
    {"_sparse_coo_tensor_unsafe", "indices", From1::index_tensor},
    {"sparse_csr_tensor", "col_indices", From1::index_tensor},
    {"sparse_csc_tensor", "row_indices", From1::index_tensor},
    {"sparse_bsr_tensor", "col_indices", From1::index_tensor},
    {"sparse_bsc_tensor", "row_indices", From1::index_tensor},
    {"sparse_compressed_tensor", "plain_indices", From1::index_tensor},
    {"max_unpool2d", "indices", From1::index_tensor},
    {"max_unpool3d", "indices", From1::index_tensor},
    {"max_pool2d_with_indices_backward", "indices", From1::index_tensor},
    {"max_pool3d_with_indices_backward", "indices", From1::index_tensor},
    {"adaptive_max_pool2d_backward", "indices", From1::index_tensor},
    {"adaptive_max_pool3d_backward", "indices", From1::index_tensor},
    {"fractional_max_pool2d_backward", "indices", From1::index_tensor},
    {"fractional_max_pool3d_backward", "indices", From1::index_tensor},
    {"searchsorted", "sorter", From1::index_tensor},
    {"tile", "dims", From1::no},
    {"pooled_heads", "head", From1::index_tensor},
    {"pooled_heads_composite", "head", From1::index_tensor},
};

// Results that are tensors of positions (a sparse tensor's crow_indices are offsets, and stay): operator, and which result
// (from 0). Of where, the form with a condition alone.
const std::pair<const char *, int> index_results[] = {
    {"argmax", 0},    {"argmin", 0},   {"argsort", 0}, {"argwhere", 0}, {"max", 1},    {"min", 1},
    {"topk", 1},      {"sort", 1},     {"msort", 1},   {"kthvalue", 1}, {"median", 1}, {"nanmedian", 1},
    {"mode", 1},      {"cummax", 1},   {"cummin", 1},  {"nonzero", 0},  {"nonzero_numpy", 0},
    {"multinomial", 0}, {"randperm", 0}, {"where", 0}, {"tril_indices", 0}, {"triu_indices", 0},
    {"searchsorted", 0}, {"bucketize", 0}, {"max_pool1d_with_indices", 1}, {"max_pool2d_with_indices", 1},
    {"max_pool3d_with_indices", 1}, {"adaptive_max_pool1d", 1}, {"adaptive_max_pool2d", 1}, {"adaptive_max_pool3d", 1},
    {"fractional_max_pool2d", 1}, {"fractional_max_pool3d", 1},
    {"indices", 0},   {"_indices", 0}, {"col_indices", 0}, {"row_indices", 0},
    {"_unique", 1},   {"_unique2", 1}, {"unique_dim", 1}, {"unique_consecutive", 1}, {"unique_dim_consecutive", 1},
};

// --- schemas, prepared once ---

enum class Want { tensor, tensors, scalar, integer, number, boolean, string, dtype, device, other, integers, numbers,
                  booleans, strings, layout };

struct Arg {
  std::string name;
  Want want = Want::other;
  bool optional = false;     // None is a value
  bool item_optional = false; // for lists of tensors: items may be None
  bool has_default = false;
  bool kwarg_only = false;
  int fixed = 0; // N of int[N]: one integer stands for N equal ones
  From1 from1 = From1::no;
  IValue def;
};

struct Overload {
  c10::OperatorHandle handle;
  std::vector<Arg> args;
  std::vector<bool> index_result;
};

std::string want_name(const Arg &a) {
  if (a.want == Want::integers && a.fixed > 1) return c10::str("a list of ", a.fixed, " whole numbers");
  switch (a.want) {
    case Want::tensor: return "a tensor";
    case Want::tensors: return "a list of tensors";
    case Want::scalar: return "a number";
    case Want::integer: return "a whole number";
    case Want::number: return "a number";
    case Want::boolean: return "true or false";
    case Want::string: return "a string";
    case Want::dtype: return "a dtype name such as 'float32'";
    case Want::device: return "a device name such as 'cpu'";
    case Want::integers: return "a list of whole numbers";
    case Want::numbers: return "a list of numbers";
    case Want::booleans: return "a list of true/false";
    case Want::strings: return "a list of strings";
    case Want::layout: return "a layout";
    case Want::other: break;
  }
  return "something that has no Lua form";
}

Want want_of(const c10::TypePtr &fake, const c10::TypePtr &real) {
  switch (real->kind()) {
    case TypeKind::ScalarTypeType: return Want::dtype;
    case TypeKind::LayoutType: return Want::layout;
    default: break;
  }
  switch (fake->kind()) {
    case TypeKind::TensorType: return Want::tensor;
    case TypeKind::NumberType: return Want::scalar;
    case TypeKind::IntType:
    case TypeKind::SymIntType: return Want::integer;
    case TypeKind::FloatType: return Want::number;
    case TypeKind::BoolType: return Want::boolean;
    case TypeKind::StringType: return Want::string;
    case TypeKind::DeviceObjType: return Want::device;
    default: return Want::other;
  }
}

Arg make_arg(const c10::Argument &a, const std::string &op) {
  Arg out;
  out.name = a.name();
  out.kwarg_only = a.kwarg_only();
  c10::TypePtr fake = a.type(), real = a.real_type();
  if (fake->kind() == TypeKind::OptionalType) {
    out.optional = true;
    fake = fake->castRaw<c10::OptionalType>()->getElementType();
  }
  if (real->kind() == TypeKind::OptionalType) real = real->castRaw<c10::OptionalType>()->getElementType();
  if (fake->kind() == TypeKind::ListType) {
    c10::TypePtr item = fake->castRaw<c10::ListType>()->getElementType();
    if (item->kind() == TypeKind::OptionalType) {
      out.item_optional = true;
      item = item->castRaw<c10::OptionalType>()->getElementType();
    }
    switch (want_of(item, item)) {
      case Want::tensor: out.want = Want::tensors; break;
      case Want::integer: out.want = Want::integers; break;
      case Want::number:
      case Want::scalar: out.want = item->kind() == TypeKind::NumberType ? Want::other : Want::numbers; break;
      case Want::boolean: out.want = Want::booleans; break;
      case Want::string: out.want = Want::strings; break;
      default: out.want = Want::other;
    }
    if (a.N()) out.fixed = (int)*a.N();
  } else {
    out.want = want_of(fake, real);
  }
  if (a.default_value()) {
    out.has_default = true;
    out.def = *a.default_value();
  }
  if (out.want == Want::integer || out.want == Want::integers)
    for (auto *d : dim_names)
      if (out.name == d) out.from1 = From1::dim;
  for (auto &e : index_arguments)
    if (op == e.op && out.name == e.what) out.from1 = e.how;
  return out;
}

}  // namespace

struct dgt_op {
  std::string name;
  std::vector<Overload> overloads;
  bool ready = false;
  std::vector<c10::OperatorName> names;
  void (*check)(const std::vector<IValue> &arguments) = nullptr; // what the operator itself should refuse
};

namespace {

// ctc_loss(log_probs, targets, input_lengths, target_lengths, ...) reads memory that is not its own at a label that is no
// class. Of padded targets, (batch, length), what is beyond a row's length does not count.
void check_ctc_labels(const std::vector<IValue> &arguments) {
  int64_t classes = arguments[0].toTensor().size(-1);
  at::Tensor labels = arguments[1].toTensor();
  if (labels.dim() == 2) {
    at::Tensor lengths = arguments[3].isTensor() ? arguments[3].toTensor() : at::tensor(arguments[3].toIntVector());
    at::Tensor column = at::arange(labels.size(1), labels.options().dtype(at::kLong));
    labels = labels.masked_select(column < lengths.to(labels.device()).unsqueeze(1));
  }
  if (labels.numel() == 0) return;
  auto bounds = at::aminmax(labels);
  int64_t least = std::get<0>(bounds).item<int64_t>(), most = std::get<1>(bounds).item<int64_t>();
  TORCH_CHECK(least >= 0 && most < classes, "label ", (least < 0 ? least : most) + 1, ", expected 1 to ", classes);
}

std::unordered_map<std::string, std::unique_ptr<dgt_op>> &registry() {
  static auto *ops = [] {
    auto *m = new std::unordered_map<std::string, std::unique_ptr<dgt_op>>;
    for (auto &n : c10::Dispatcher::singleton().getAllOpNames()) {
      auto &slot = (*m)[n.name];
      if (!slot) {
        slot = std::make_unique<dgt_op>();
        slot->name = n.name;
      }
      slot->names.push_back(n);
    }
    return m;
  }();
  return *ops;
}

void prepare(dgt_op &op) {
  if (op.ready) return;
  // Named overloads that exist for out= and for named dimensions come last; libtorch's order is otherwise by name.
  std::sort(op.names.begin(), op.names.end(), [](const c10::OperatorName &a, const c10::OperatorName &b) {
    bool ao = a.overload_name.find("out") != std::string::npos, bo = b.overload_name.find("out") != std::string::npos;
    if (ao != bo) return bo;
    return a.overload_name < b.overload_name;
  });
  std::string bare = op.name.substr(op.name.find("::") + 2);
  if (bare == "ctc_loss" || bare == "_ctc_loss") op.check = check_ctc_labels;
  for (auto &n : op.names) {
    auto handle = c10::Dispatcher::singleton().findSchema(n);
    if (!handle) continue;
    Overload o{*handle, {}, {}};
    for (auto &a : handle->schema().arguments()) o.args.push_back(make_arg(a, bare));
    auto &results = handle->schema().returns();
    for (size_t r = 0; r < results.size(); r++) {
      bool index = false;
      for (auto &e : index_results)
        if (bare == e.first && (int)r == e.second) index = bare != "where" || o.args.size() == 1;
      o.index_result.push_back(index);
    }
    op.overloads.push_back(std::move(o));
  }
  op.ready = true;
}

// --- fitting values to arguments ---

enum { NO = -1, EXACT = 0, NEAR = 1, FAR = 5 };

bool is_number(const dgt_value &v) { return v.tag == DGT_INT || v.tag == DGT_DOUBLE; }

template <class Pred>
bool all_items(const dgt_value &v, Pred pred) {
  for (size_t i = 0; i < v.n; i++)
    if (!pred(v.as.list[i])) return false;
  return true;
}

// int[3] takes three numbers, one that stands for all, or as many as its default has. Kernels of libtorch read past the end
// of a shorter list. int[1] is libtorch's way to write "one, or a list of any length".
bool length_fits(const Arg &a, size_t n) {
  return a.fixed < 2 || n == 1 || n == (size_t)a.fixed || (a.has_default && a.def.isIntList() && n == a.def.toIntVector().size());
}

int cost(const Arg &a, const dgt_value &v) {
  if (v.tag == DGT_NONE) return a.optional ? EXACT : NO;
  switch (a.want) {
    case Want::tensor: return v.tag == DGT_TENSOR ? EXACT : is_number(v) || v.tag == DGT_BOOL ? FAR : NO;
    case Want::scalar:
      return is_number(v) || v.tag == DGT_BOOL ? EXACT
             : v.tag == DGT_TENSOR && v.as.t->t.dim() == 0 && !v.as.t->t.requires_grad() ? FAR : NO;
    case Want::integer: return v.tag == DGT_INT ? EXACT : NO;
    case Want::number: return v.tag == DGT_DOUBLE ? EXACT : v.tag == DGT_INT ? NEAR : NO;
    case Want::boolean: return v.tag == DGT_BOOL ? EXACT : NO;
    case Want::string: return v.tag == DGT_STRING ? NEAR : NO;
    case Want::dtype: return v.tag == DGT_STRING && dgt_dtype_by_name(v.as.s) >= 0 ? EXACT : NO;
    case Want::device: return v.tag == DGT_STRING && dgt_dtype_by_name(v.as.s) < 0 ? EXACT : NO;
    case Want::tensors:
      if (v.tag == DGT_TENSOR) return FAR;
      return v.tag == DGT_LIST && all_items(v, [&](const dgt_value &i) {
               return i.tag == DGT_TENSOR || (a.item_optional && i.tag == DGT_NONE);
             })
                 ? EXACT
                 : NO;
    case Want::integers:
      if (v.tag == DGT_INT) return NEAR;
      return v.tag == DGT_LIST && length_fits(a, v.n) && all_items(v, [](const dgt_value &i) { return i.tag == DGT_INT; })
                 ? EXACT
                 : NO;
    case Want::numbers:
      if (is_number(v)) return 2 * NEAR; // histogramdd(x, 3, 4): two bins, not bins and a range
      return v.tag == DGT_LIST && all_items(v, is_number) ? EXACT : NO;
    case Want::booleans:
      return v.tag == DGT_LIST && all_items(v, [](const dgt_value &i) { return i.tag == DGT_BOOL; }) ? EXACT : NO;
    case Want::strings:
      return v.tag == DGT_LIST && all_items(v, [](const dgt_value &i) { return i.tag == DGT_STRING; }) ? EXACT : NO;
    case Want::layout:
    case Want::other: return NO;
  }
  return NO;
}

int64_t from_one(const Arg &a, int64_t i) {
  switch (a.from1) {
    case From1::dim:
      TORCH_CHECK(i != 0, "argument '", a.name, "' is 0; dimensions count from 1, or from -1 backwards");
      return i > 0 ? i - 1 : i;
    case From1::index:
      TORCH_CHECK(i != 0, "argument '", a.name, "' is 0; indices count from 1, or from -1 backwards");
      return i > 0 ? i - 1 : i;
    case From1::last: // the last one that belongs: 1-based inclusive = 0-based exclusive
      return i >= 0 ? i : i == -1 ? INT64_MAX : i + 1;
    case From1::ignore_index: return i - 1;
    default: return i;
  }
}

at::Tensor index_from_one(const Arg &a, const at::Tensor &t) {
  bool back = a.from1 == From1::index;
  if ((!back && a.from1 != From1::index_tensor) || !t.defined() || !at::isIntegralType(t.scalar_type(), false)) return t;
  if (!back) return t - 1; // 0 becomes -1, which libtorch reports as out of range
  if (a.want == Want::tensors && t.scalar_type() == at::kByte) return t.to(at::kBool); // an old-style mask; index_put_ wants bool
  TORCH_CHECK(!(t == 0).any().item<bool>(), "an index is 0; indices count from 1, or from -1 backwards");
  return t - (t > 0).to(t.scalar_type());
}

IValue convert(const Arg &a, const dgt_value &v) {
  if (v.tag == DGT_NONE) return IValue();
  switch (a.want) {
    case Want::tensor:
      if (v.tag == DGT_TENSOR) return index_from_one(a, v.as.t->t);
      {
        at::Tensor n = v.tag == DGT_BOOL  ? at::scalar_tensor((bool)v.as.b, at::kBool)
                       : v.tag == DGT_INT ? at::scalar_tensor(v.as.i, at::kLong)
                                          : at::scalar_tensor(v.as.d, at::kDouble);
        n.unsafeGetTensorImpl()->set_wrapped_number(true); // a number takes the other operand's type
        return index_from_one(a, n);
      }
    case Want::scalar:
      if (v.tag == DGT_TENSOR) return v.as.t->t.item();
      return v.tag == DGT_BOOL ? IValue((bool)v.as.b) : v.tag == DGT_INT ? IValue(v.as.i) : IValue(v.as.d);
    case Want::integer: return from_one(a, v.as.i);
    case Want::number: return v.tag == DGT_INT ? (double)v.as.i : v.as.d;
    case Want::boolean: return (bool)v.as.b;
    case Want::string: return std::string(v.as.s, v.n);
    case Want::dtype: return (int64_t)dgt_dtype_by_name(v.as.s);
    case Want::device: return c10::Device(std::string(v.as.s, v.n));
    case Want::tensors: {
      const dgt_value *items = v.tag == DGT_LIST ? v.as.list : &v;
      size_t n = v.tag == DGT_LIST ? v.n : 1;
      if (a.item_optional) {
        c10::List<c10::optional<at::Tensor>> list;
        for (size_t i = 0; i < n; i++)
          list.push_back(items[i].tag == DGT_NONE ? c10::optional<at::Tensor>()
                                                  : c10::optional<at::Tensor>(index_from_one(a, items[i].as.t->t)));
        return IValue(std::move(list));
      }
      c10::List<at::Tensor> list;
      for (size_t i = 0; i < n; i++) list.push_back(index_from_one(a, items[i].as.t->t));
      return IValue(std::move(list));
    }
    case Want::integers: {
      std::vector<int64_t> list;
      if (v.tag == DGT_INT)
        list.assign((size_t)std::max(1, a.from1 == From1::dim ? 1 : a.fixed), from_one(a, v.as.i));
      else
        for (size_t i = 0; i < v.n; i++) list.push_back(from_one(a, v.as.list[i].as.i));
      return IValue(std::move(list));
    }
    case Want::numbers: {
      std::vector<double> list;
      auto number = [](const dgt_value &x) { return x.tag == DGT_INT ? (double)x.as.i : x.as.d; };
      if (v.tag == DGT_LIST)
        for (size_t i = 0; i < v.n; i++) list.push_back(number(v.as.list[i]));
      else
        list.assign((size_t)std::max(1, a.fixed), number(v));
      return IValue(std::move(list));
    }
    case Want::booleans: {
      c10::List<bool> list;
      for (size_t i = 0; i < v.n; i++) list.push_back((bool)v.as.list[i].as.b);
      return IValue(std::move(list));
    }
    case Want::strings: {
      c10::List<std::string> list;
      for (size_t i = 0; i < v.n; i++) list.push_back(std::string(v.as.list[i].as.s, v.as.list[i].n));
      return IValue(std::move(list));
    }
    default: break;
  }
  TORCH_CHECK(false, "argument '", a.name, "' has a type that Lua values cannot take");
}

// A resize that runs out of memory leaves a tensor with its new shape over its old storage, and the next kernel would
// write past the end: such a tensor becomes an empty one.
void restore(const dgt_value &v) {
  if (v.tag == DGT_LIST)
    for (size_t i = 0; i < v.n; i++) restore(v.as.list[i]);
  if (v.tag != DGT_TENSOR) return;
  const at::Tensor &t = v.as.t->t;
  if (!t.defined() || t.layout() != at::kStrided || !t.has_storage() || t.is_meta() || t.numel() == 0) return;
  double last = (double)t.storage_offset();
  for (int64_t d = 0; d < t.dim(); d++) last += (double)(t.size(d) - 1) * (double)t.stride(d);
  if ((last + 1) * (double)t.element_size() > (double)t.storage().nbytes()) t.unsafeGetTensorImpl()->set_sizes_contiguous({0});
}

// Which value goes to which argument: at[i] is the index of a positional value, npos + k a named one, -1 the default.
// Values from `gather` on were given as separate integers for one list (zeros(2, 3)).
struct Fit {
  int total = 0;
  int at[DGT_MAXARGS];
  int gather_arg = -1, gather_first = 0, gather_count = 0;
};

std::string describe(const dgt_value &v) {
  switch (v.tag) {
    case DGT_NONE: return "nil";
    case DGT_BOOL: return v.as.b ? "true" : "false";
    case DGT_INT: return std::to_string(v.as.i);
    case DGT_DOUBLE: {
      char text[32];
      snprintf(text, sizeof text, "%.14g", v.as.d);
      return strspn(text, "-0123456789") == strlen(text) ? std::string(text) + ".0" : text; // as Lua prints it
    }
    case DGT_STRING: return "'" + std::string(v.as.s, std::min<size_t>(v.n, 40)) + "'";
    case DGT_TENSOR: {
      const at::Tensor &t = v.as.t->t;
      std::string text = c10::str("tensor ", dgt_dtype_name(dgt_dtype(v.as.t)), " ");
      return t.is_nested() ? text + "nested" : c10::str(text, t.sizes());
    }
    case DGT_LIST: {
      std::string s = "{";
      for (size_t i = 0; i < v.n && i < 6; i++) s += (i ? ", " : "") + describe(v.as.list[i]);
      return s + (v.n > 6 ? ", ...}" : "}");
    }
  }
  return "?";
}

// Fits the values to the overload; false, and why, if they do not.
bool fit(const Overload &o, const dgt_value *args, int nargs, const dgt_named *named, int nnamed, Fit &f,
         std::string *why) {
  size_t n = o.args.size();
  if (n > DGT_MAXARGS) return false;
  std::fill(f.at, f.at + n, -1);
  int next = 0;
  for (size_t i = 0; i < n && next < nargs; i++) {
    const Arg &a = o.args[i];
    if (a.kwarg_only) break;
    int c = cost(a, args[next]);
    // Separate integers for a list of any length take all that follow; the form that gathers fewest is meant:
    // randint(1, 7, 3) is (low, high, size), not (high, size...).
    if (a.want == Want::integers && args[next].tag == DGT_INT && a.fixed == 0 && next + 1 < nargs) {
      int end = next;
      while (end < nargs && args[end].tag == DGT_INT) end++;
      f.gather_arg = (int)i;
      f.gather_first = next;
      f.gather_count = end - next;
      f.at[i] = next;
      f.total += f.gather_count * NEAR;
      next = end;
      continue;
    }
    if (c == NO) {
      if (why) *why = c10::str("argument '", a.name, "' is ", describe(args[next]), ", expected ", want_name(a));
      return false;
    }
    f.at[i] = next++;
    f.total += c;
  }
  if (next < nargs) {
    if (why) *why = c10::str("takes at most ", next, " positional arguments, got ", nargs);
    return false;
  }
  for (int k = 0; k < nnamed; k++) {
    size_t i = 0;
    while (i < n && o.args[i].name != named[k].name) i++;
    if (i == n) {
      if (why) *why = c10::str("has no argument named '", named[k].name, "'");
      return false;
    }
    if (f.at[i] != -1) {
      if (why) *why = c10::str("argument '", named[k].name, "' is given twice");
      return false;
    }
    int c = cost(o.args[i], named[k].value);
    if (c == NO) {
      if (why)
        *why = c10::str("argument '", named[k].name, "' is ", describe(named[k].value), ", expected ",
                        want_name(o.args[i]));
      return false;
    }
    f.at[i] = nargs + k;
    f.total += c;
  }
  for (size_t i = 0; i < n; i++)
    if (f.at[i] == -1 && !o.args[i].has_default) {
      if (why) *why = c10::str("argument '", o.args[i].name, "' is missing, expected ", want_name(o.args[i]));
      return false;
    }
  return true;
}

char *copy_text(const std::string &s) {
  char *p = (char *)malloc(s.size() + 1);
  if (!p) throw std::bad_alloc();
  memcpy(p, s.c_str(), s.size() + 1);
  return p;
}

dgt_value list_value(size_t n) {
  dgt_value v{};
  v.tag = DGT_LIST;
  v.n = n;
  v.as.list = (dgt_value *)calloc(n ? n : 1, sizeof(dgt_value));
  if (!v.as.list) throw std::bad_alloc();
  return v;
}

dgt_value result_value(const IValue &r, bool index) {
  dgt_value v{};
  if (r.isTensor()) {
    if (!r.toTensor().defined()) return v;
    v.tag = DGT_TENSOR;
    v.as.t = dgt::wrap(index ? r.toTensor() + 1 : r.toTensor());
  } else if (r.isInt() || r.isSymInt()) {
    v.tag = DGT_INT;
    v.as.i = r.isInt() ? r.toInt() : r.toSymInt().expect_int();
  } else if (r.isDouble()) {
    v.tag = DGT_DOUBLE;
    v.as.d = r.toDouble();
  } else if (r.isBool()) {
    v.tag = DGT_BOOL;
    v.as.b = r.toBool();
  } else if (r.isString()) {
    v.tag = DGT_STRING;
    v.n = r.toStringRef().size();
    v.as.s = copy_text(r.toStringRef());
  } else if (r.isDevice()) {
    std::string text = r.toDevice().str();
    v.tag = DGT_STRING;
    v.n = text.size();
    v.as.s = copy_text(text);
  } else if (r.isList()) {
    auto list = r.toListRef();
    v = list_value(list.size());
    for (size_t i = 0; i < list.size(); i++) v.as.list[i] = result_value(list[i], index);
  } else if (r.isTuple()) {
    auto &list = r.toTupleRef().elements();
    v = list_value(list.size());
    for (size_t i = 0; i < list.size(); i++) v.as.list[i] = result_value(list[i], index);
  }
  return v;
}

std::string complain(dgt_op *op, const dgt_value *args, int nargs, const dgt_named *named, int nnamed) {
  std::string bare = op->name.rfind("aten::", 0) == 0 ? "torch." + op->name.substr(6) : op->name;
  if (op->overloads.size() == 1 ||
      (op->overloads.size() == 2 && op->overloads[1].handle.schema().overload_name().find("out") != std::string::npos)) {
    Fit f;
    std::string why;
    fit(op->overloads[0], args, nargs, named, nnamed, f, &why);
    return c10::str(bare, ": ", why, "\n  ", op->overloads[0].handle.schema());
  }
  std::string text = bare + "(";
  for (int i = 0; i < nargs; i++) text += (i ? ", " : "") + describe(args[i]);
  for (int k = 0; k < nnamed; k++)
    text += (nargs + k ? ", " : "") + std::string(named[k].name) + "=" + describe(named[k].value);
  text += "): no form takes these arguments";
  for (auto &o : op->overloads) {
    if (o.handle.schema().overload_name().find("out") != std::string::npos) continue;
    Fit f;
    std::string why;
    fit(o, args, nargs, named, nnamed, f, &why);
    text += c10::str("\n  ", o.handle.schema(), "\n      ", why);
  }
  return text;
}

}  // namespace

extern "C" {

dgt_op *dgt_find(const char *name) {
  return dgt::guard<dgt_op *>(nullptr, [&]() -> dgt_op * {
    auto it = registry().find(name);
    return it == registry().end() ? nullptr : it->second.get();
  });
}

int dgt_call(dgt_op *op, const dgt_value *args, int nargs, const dgt_named *named, int nnamed, dgt_value *results) {
  return dgt::guard(-1, [&] {
    prepare(*op);
    const Overload *best = nullptr;
    Fit best_fit;
    auto choose = [&](int n) {
      for (auto &o : op->overloads) {
        Fit f;
        if (!fit(o, args, n, named, nnamed, f, nullptr)) continue;
        if (best && f.total >= best_fit.total) continue;
        best = &o;
        best_fit = f;
        if (f.total == 0) break;
      }
    };
    choose(nargs);
    // { keepdim = nil } is an empty table: a list where the operator takes one, else no named arguments.
    if (!best && nnamed == 0 && nargs > 0 && args[nargs - 1].tag == DGT_LIST && args[nargs - 1].n == 0) {
      choose(nargs - 1);
      if (best) nargs--;
    }
    if (!best) {
      dgt::set_error(complain(op, args, nargs, named, nnamed));
      return -1;
    }
    torch::jit::Stack stack;
    stack.reserve(best->args.size());
    try {
      for (size_t i = 0; i < best->args.size(); i++) {
        const Arg &a = best->args[i];
        int at = best_fit.at[i];
        if (at < 0)
          stack.push_back(a.from1 == From1::ignore_index ? IValue(a.def.toInt() - 1) : a.def);
        else if ((int)i == best_fit.gather_arg) {
          std::vector<int64_t> list;
          for (int k = 0; k < best_fit.gather_count; k++)
            list.push_back(from_one(a, args[best_fit.gather_first + k].as.i));
          stack.push_back(IValue(std::move(list)));
        } else
          stack.push_back(convert(a, at < nargs ? args[at] : named[at - nargs].value));
      }
      if (op->check) op->check(stack);
      best->handle.callBoxed(&stack);
    } catch (const std::exception &e) {
      std::string what = dgt::message_of(e);
      bool named_already = what.rfind(op->name, 0) == 0; // "dgam::gic: layout is ..."
      dgt::set_error(named_already ? what : op->name.substr(op->name.find("::") + 2) + ": " + what);
      for (int i = 0; i < nargs; i++) restore(args[i]);
      for (int k = 0; k < nnamed; k++) restore(named[k].value);
      return -1;
    }
    TORCH_CHECK(stack.size() <= DGT_MAXRESULTS, op->name, ": ", stack.size(), " results, at most ",
                (int)DGT_MAXRESULTS);
    for (size_t r = 0; r < stack.size(); r++) {
      bool index = r < best->index_result.size() && best->index_result[r];
      auto *alias = best->handle.schema().returns()[r].alias_info();
      if (index && alias && alias->isWrite()) { // out=: the caller holds this tensor; a view (indices) is copied instead
        stack[r].toTensor().add_(1);
        index = false;
      }
      results[r] = result_value(stack[r], index);
    }
    return (int)stack.size();
  });
}

void dgt_value_free(dgt_value *v) {
  if (v->tag == DGT_TENSOR) dgt_release(v->as.t);
  if (v->tag == DGT_STRING) free((void *)v->as.s);
  if (v->tag == DGT_LIST) {
    for (size_t i = 0; i < v->n; i++) dgt_value_free(&v->as.list[i]);
    free(v->as.list);
  }
  *v = dgt_value{};
}

const char *dgt_schemas(dgt_op *op) {
  static thread_local std::string text;
  return dgt::guard<const char *>("", [&] {
    prepare(*op);
    text.clear();
    for (auto &o : op->overloads) text += c10::str(o.handle.schema(), "\n");
    return text.c_str();
  });
}

void dgt_each_op(void (*visit)(void *ctx, const char *name), void *ctx) {
  std::map<std::string, int> sorted;
  for (auto &op : registry()) sorted[op.first];
  for (auto &op : sorted) visit(ctx, op.first.c_str());
}

}  // extern "C"
