// dispatch.cpp - see shim.h: every operator of libtorch's dispatcher, called by name.
//
// A name ("aten::sum") has overloads, each with a schema: typed arguments, defaults, results (schema.h). A call tries each overload
// against the values it was given; the cheapest fit wins (an exact type costs nothing, a conversion something; of equal ones the
// first in PyTorch's order), then the stack is filled and the operator called boxed. So nothing is bound by hand and nothing
// drifts from libtorch. Which arguments and results count from 1 is in positions.h; what libtorch should refuse and does not, in
// guards.h.
#include <c10/core/Scalar.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "torch/guards.h"
#include "torch/internal.h"
#include "torch/names.h"
#include "torch/schema.h"

using c10::IValue;
using dgt::Arg;
using dgt::From1;
using dgt::Overload;
using dgt::Want;

namespace {

// --- fitting values to arguments ---

enum { NO = -1, EXACT = 0, NEAR = 1, FAR = 5 };

bool is_number(const dgt_value &v) { return v.tag == DGT_INT || v.tag == DGT_DOUBLE; }

bool is_scalar_tensor(const dgt_value &v) {
  return v.tag == DGT_TENSOR && !v.as.t->t.is_nested() && v.as.t->t.dim() == 0 && !v.as.t->t.requires_grad();
}
bool is_scalar(const dgt_value &v) { return is_number(v) || v.tag == DGT_BOOL || is_scalar_tensor(v); }

// A whole number, or a tensor without dimensions that holds one.
bool is_whole(const dgt_value &v) {
  return v.tag == DGT_INT || (is_scalar_tensor(v) && at::isIntegralType(v.as.t->t.scalar_type(), false));
}

int64_t whole(const dgt_value &v) { return v.tag == DGT_INT ? v.as.i : v.as.t->t.item<int64_t>(); }
double number(const dgt_value &v) { return v.tag == DGT_INT ? (double)v.as.i : v.as.d; }

template <class Pred>
bool all_items(const dgt_value &v, Pred pred) {
  for (size_t i = 0; i < v.n; i++)
    if (!pred(v.as.list[i])) return false;
  return true;
}

template <class Pred>
int list_cost(const dgt_value &v, Pred pred) {
  return v.tag == DGT_LIST && all_items(v, pred) ? EXACT : NO;
}

// int[3] takes three numbers, one that stands for all, or as many as its default has. Kernels of libtorch read past the end
// of a shorter list. int[1] is libtorch's way to write "one, or a list of any length".
bool length_fits(const Arg &a, size_t n) {
  if (a.fixed < 2 || n == 1 || n == (size_t)a.fixed || (n == 0 && a.may_be_empty)) return true;
  return a.has_default && a.def.isIntList() && n == a.def.toIntVector().size();
}

bool is_string(const dgt_value &v) { return v.tag == DGT_STRING; }

int cost(const Arg &a, const dgt_value &v) {
  if (v.tag == DGT_NONE) return a.optional ? EXACT : NO;
  switch (a.want) {
    case Want::tensor: // a number is a tensor that nobody sees again: nothing is written into it
      return v.tag == DGT_TENSOR ? EXACT : !a.written && (is_number(v) || v.tag == DGT_BOOL) ? FAR : NO;
    case Want::tensors:
      if (v.tag == DGT_TENSOR) return FAR;
      return list_cost(v, [&](const dgt_value &i) { return i.tag == DGT_TENSOR || (a.item_optional && i.tag == DGT_NONE); });
    case Want::scalar: return is_scalar_tensor(v) ? FAR : is_scalar(v) ? EXACT : NO;
    case Want::scalars: return list_cost(v, is_scalar);
    case Want::integer: return v.tag == DGT_INT ? EXACT : is_whole(v) ? FAR : NO;
    case Want::integers:
      if (is_whole(v)) return v.tag == DGT_INT ? NEAR : FAR;
      return length_fits(a, v.n) ? list_cost(v, is_whole) : NO;
    case Want::number: return v.tag == DGT_DOUBLE ? EXACT : v.tag == DGT_INT ? NEAR : NO;
    case Want::numbers:
      if (is_number(v)) return 2 * NEAR; // histogramdd(x, 3, 4): two bins, not bins and a range
      return list_cost(v, is_number);
    case Want::boolean: return v.tag == DGT_BOOL ? EXACT : NO;
    case Want::booleans: return list_cost(v, [](const dgt_value &i) { return i.tag == DGT_BOOL; });
    case Want::string:
    case Want::dimname: return is_string(v) ? NEAR : NO;
    case Want::strings: return list_cost(v, is_string);
    case Want::dimnames: // torch.none: a dimension without a name
      if (is_string(v)) return NEAR;
      return list_cost(v, [](const dgt_value &i) { return is_string(i) || i.tag == DGT_NONE; });
    case Want::dtype: return is_string(v) && dgt_dtype_by_name(v.as.s) >= 0 ? EXACT : NO;
    case Want::layout: return is_string(v) && dgt::layout_by_name(v.as.s) >= 0 ? EXACT : NO;
    case Want::memory_format: return is_string(v) && dgt::memory_format_by_name(v.as.s) >= 0 ? EXACT : NO;
    case Want::device: return is_string(v) && dgt_dtype_by_name(v.as.s) < 0 ? EXACT : NO;
    case Want::generator: return v.tag == DGT_GENERATOR ? EXACT : NO;
    default: return NO;
  }
}

int64_t from_one(const Arg &a, int64_t i) {
  switch (a.from1) {
    case From1::dim:
      TORCH_CHECK(i != 0, "argument '", a.name, "' is 0; dimensions count from 1, or from -1 backwards");
      return i > 0 ? i - 1 : i;
    case From1::index:
    case From1::index_tensor:
      TORCH_CHECK(i != 0, "argument '", a.name, "' is 0; indices count from 1, or from -1 backwards");
      return i > 0 ? i - 1 : i;
    case From1::last: // the last one that belongs: 1-based inclusive = 0-based exclusive
      return i >= 0 ? i : i == -1 ? INT64_MAX : i + 1;
    case From1::optional: return i - 1;
    default: return i;
  }
}

at::Tensor index_from_one(const Arg &a, const at::Tensor &t) {
  bool back = a.from1 == From1::index;
  if ((!back && a.from1 != From1::index_tensor) || !t.defined() || !at::isIntegralType(t.scalar_type(), false)) return t;
  if (!back) return t - 1; // 0 becomes -1, which libtorch reports as out of range
  if (a.want == Want::tensors && t.scalar_type() == at::kByte) return t.to(at::kBool); // an old-style mask; index_put_ wants bool
  TORCH_CHECK(t.is_meta() || !(t == 0).any().item<bool>(), "an index is 0; indices count from 1, or from -1 backwards");
  return t - (t > 0).to(t.scalar_type());
}

at::Tensor tensor_of(const Arg &a, const dgt_value &v) {
  if (v.tag == DGT_TENSOR) return index_from_one(a, v.as.t->t);
  at::Tensor n = v.tag == DGT_BOOL  ? at::scalar_tensor((bool)v.as.b, at::kBool)
                 : v.tag == DGT_INT ? at::scalar_tensor(v.as.i, at::kLong)
                                    : at::scalar_tensor(v.as.d, at::kDouble);
  n.unsafeGetTensorImpl()->set_wrapped_number(true); // a number takes the other operand's type
  return index_from_one(a, n);
}

at::Scalar scalar_of(const dgt_value &v) {
  if (v.tag == DGT_TENSOR) return v.as.t->t.item();
  return v.tag == DGT_BOOL ? at::Scalar((bool)v.as.b) : v.tag == DGT_INT ? at::Scalar(v.as.i) : at::Scalar(v.as.d);
}

std::string string_of(const dgt_value &v) { return std::string(v.as.s, v.n); }

std::string dimname_of(const dgt_value &v) {
  std::string name = v.tag == DGT_NONE ? "*" : string_of(v);
  bool valid = !name.empty() && !std::isdigit((unsigned char)name[0]) &&
               std::all_of(name.begin(), name.end(), [](unsigned char c) { return c == '_' || std::isalnum(c); });
  TORCH_CHECK(name == "*" || valid, "'", name, "' is no name of a dimension: letters, digits and _, no digit first");
  return "dimname::" + name;
}

// The items of a list, or the one value that stands for it, as the IValue of a list.
template <class T, class F>
IValue list_of(const dgt_value &v, F item) {
  c10::List<T> list;
  if (v.tag != DGT_LIST) list.push_back(item(v));
  for (size_t i = 0; v.tag == DGT_LIST && i < v.n; i++) list.push_back(item(v.as.list[i]));
  return IValue(std::move(list));
}

// The same, where one number stands for a.fixed equal ones.
template <class T, class F>
IValue numbers_of(const Arg &a, const dgt_value &v, F item) {
  if (v.tag == DGT_LIST) return list_of<T>(v, item);
  int n = a.from1 == From1::dim ? 1 : std::max(1, a.fixed);
  c10::List<T> list;
  for (int i = 0; i < n; i++) list.push_back(item(v));
  return IValue(std::move(list));
}

IValue convert(const Arg &a, const dgt_value &v) {
  if (v.tag == DGT_NONE) return IValue();
  switch (a.want) {
    case Want::tensor: return tensor_of(a, v);
    case Want::tensors:
      if (!a.item_optional) return list_of<at::Tensor>(v, [&](const dgt_value &i) { return index_from_one(a, i.as.t->t); });
      return list_of<c10::optional<at::Tensor>>(v, [&](const dgt_value &i) {
        return i.tag == DGT_NONE ? c10::optional<at::Tensor>() : c10::optional<at::Tensor>(index_from_one(a, i.as.t->t));
      });
    case Want::scalar: return scalar_of(v);
    case Want::scalars: return list_of<at::Scalar>(v, scalar_of);
    case Want::integer: return from_one(a, whole(v));
    case Want::integers: return numbers_of<int64_t>(a, v, [&](const dgt_value &i) { return from_one(a, whole(i)); });
    case Want::number: return number(v);
    case Want::numbers: return numbers_of<double>(a, v, number);
    case Want::boolean: return (bool)v.as.b;
    case Want::booleans: return list_of<bool>(v, [](const dgt_value &i) { return (bool)i.as.b; });
    case Want::string: return string_of(v);
    case Want::strings: return list_of<std::string>(v, string_of);
    case Want::dimname: return dimname_of(v);
    case Want::dimnames: return list_of<std::string>(v, dimname_of);
    case Want::dtype: return (int64_t)dgt_dtype_by_name(v.as.s);
    case Want::layout: return dgt::layout_by_name(v.as.s);
    case Want::memory_format: return dgt::memory_format_by_name(v.as.s);
    case Want::device: return c10::Device(string_of(v));
    case Want::generator: return v.as.g->g;
    default: break;
  }
  TORCH_CHECK(false, "argument '", a.name, "' has a type that Lua values cannot take");
}

// A resize that runs out of memory leaves a tensor with its new shape over its old storage, and the next kernel would
// write past the end: such a tensor becomes an empty one.
void restore(const dgt_value &v) {
  if (v.tag == DGT_LIST)
    for (size_t i = 0; i < v.n; i++) restore(v.as.list[i]);
  if (v.tag == DGT_TENSOR && !dgt::within_storage(v.as.t->t)) v.as.t->t.unsafeGetTensorImpl()->set_sizes_contiguous({0});
}

struct Call {
  const dgt_value *args;
  int nargs;
  const dgt_named *named;
  int nnamed;
  bool method; // the first value is the tensor whose method it is
};

// Which value goes to which argument; nullptr: the default. `gathered` of the values from the one of gather_arg on were given as
// separate integers for one list (zeros(2, 3)).
struct Fit {
  int total = 0;
  int near = 0; // how far it came: 2 for a value that found its argument, 1 for one that does not fit it
  const dgt_value *value[DGT_MAXARGS];
  int gather_arg = -1, gathered = 0;
};

// Text that stays short, whatever is described.
void describe(std::string &s, const dgt_value &v) {
  switch (v.tag) {
    case DGT_NONE: s += "nil"; break;
    case DGT_BOOL: s += v.as.b ? "true" : "false"; break;
    case DGT_INT: s += std::to_string(v.as.i); break;
    case DGT_DOUBLE: {
      char text[32];
      snprintf(text, sizeof text, "%.14g", v.as.d);
      s += text;
      if (strspn(text, "-0123456789") == strlen(text)) s += ".0"; // as Lua prints it
      break;
    }
    case DGT_STRING: s += "'" + std::string(v.as.s, std::min<size_t>(v.n, 40)) + "'"; break;
    case DGT_GENERATOR: s += "a generator"; break;
    case DGT_TENSOR: {
      const at::Tensor &t = v.as.t->t;
      s += c10::str("tensor ", dgt_dtype_name(dgt_dtype(v.as.t)), " ");
      s += t.is_nested() ? "nested" : c10::str(t.sizes());
      break;
    }
    case DGT_LIST: {
      s += "{";
      size_t i = 0;
      for (; i < v.n && i < 6 && s.size() < 200; i++) {
        if (i) s += ", ";
        describe(s, v.as.list[i]);
      }
      s += i < v.n ? ", ...}" : "}";
      break;
    }
  }
}

std::string describe(const dgt_value &v) {
  std::string s;
  describe(s, v);
  return s;
}

bool wrong(std::string *why, const Arg &a, const dgt_value &v) {
  if (why) *why = c10::str("argument '", a.name, "' is ", describe(v), ", expected ", want_name(a));
  return false;
}

bool place(const Overload &o, size_t i, const dgt_value &v, Fit &f, std::string *why) {
  if (f.value[i]) {
    if (why) *why = c10::str("argument '", o.args[i].name, "' is given twice");
    return false;
  }
  int c = cost(o.args[i], v);
  f.near++;
  if (c == NO) return wrong(why, o.args[i], v);
  f.value[i] = &v;
  f.total += c;
  f.near++;
  return true;
}

// Separate integers for a list of any length take all that follow; the form that gathers fewest is meant: randint(1, 7, 3) is
// (low, high, size), not (high, size...). How many they are, 0 if there is but one or none.
int gathered(const Arg &a, const dgt_value *args, int n) {
  if (a.want != Want::integers || a.fixed != 0) return 0;
  int count = 0;
  while (count < n && is_whole(args[count])) count++;
  return count > 1 ? count : 0;
}

bool fit_positional(const Overload &o, const Call &c, Fit &f, std::string *why) {
  size_t n = o.args.size(), arg = 0;
  int next = 0;
  if (c.method && o.self > 0 && next < c.nargs && !place(o, (size_t)o.self, c.args[next++], f, why)) return false;
  for (; arg < n && next < c.nargs && !o.args[arg].kwarg_only; arg++) {
    if (c.method && o.self > 0 && arg == (size_t)o.self) continue;
    if (int count = gathered(o.args[arg], c.args + next, c.nargs - next)) {
      f.gather_arg = (int)arg;
      f.gathered = count;
      f.value[arg] = c.args + next;
      f.total += count * NEAR;
      f.near += 2 * count;
      next += count;
    } else if (!place(o, arg, c.args[next++], f, why)) {
      return false;
    }
  }
  if (next < c.nargs && why) *why = c10::str("takes at most ", next, " positional arguments, got ", c.nargs);
  return next == c.nargs;
}

bool is_called(const Arg &a, const std::string &name) {
  return name == a.name || (name == a.name + "_" && dgt::is_lua_word(a.name));
}

// `out`, as PyTorch calls what is written: one tensor, or a list of them in the schema's order.
bool fit_out(const Overload &o, const dgt_value &v, Fit &f, std::string *why) {
  std::vector<size_t> written;
  for (size_t i = 0; i < o.args.size(); i++)
    if (o.args[i].written && o.args[i].kwarg_only) written.push_back(i);
  if (written.size() == 1) return place(o, written[0], v, f, why);
  if (v.tag != DGT_LIST || v.n != written.size()) {
    f.near++;
    if (why) *why = c10::str("argument 'out' is ", describe(v), ", expected a list of ", written.size(), " tensors");
    return false;
  }
  for (size_t k = 0; k < written.size(); k++)
    if (!place(o, written[k], v.as.list[k], f, why)) return false;
  return true;
}

bool fit_named(const Overload &o, const dgt_named &named, Fit &f, std::string *why) {
  for (size_t i = 0; i < o.args.size(); i++)
    if (is_called(o.args[i], named.name)) return place(o, i, named.value, f, why);
  if (o.out && strcmp(named.name, "out") == 0) return fit_out(o, named.value, f, why);
  if (why) *why = c10::str("has no argument named '", named.name, "'");
  return false;
}

// Fits the values to the overload; false, and why, if they do not.
bool fit(const Overload &o, const Call &c, Fit &f, std::string *why) {
  size_t n = o.args.size();
  if (n > DGT_MAXARGS) return false;
  std::fill(f.value, f.value + n, nullptr);
  if (!fit_positional(o, c, f, why)) return false;
  for (int k = 0; k < c.nnamed; k++)
    if (!fit_named(o, c.named[k], f, why)) return false;
  for (size_t i = 0; i < n; i++)
    if (!f.value[i] && !o.args[i].has_default) {
      if (why) *why = c10::str("argument '", o.args[i].name, "' is missing, expected ", want_name(o.args[i]));
      return false;
    }
  return true;
}

const Overload *choose(const dgt_op &op, const Call &c, Fit &best_fit) {
  const Overload *best = nullptr;
  for (auto &o : op.overloads) {
    Fit f;
    if (!fit(o, c, f, nullptr) || (best && f.total >= best_fit.total)) continue;
    best = &o;
    best_fit = f;
    if (f.total == 0) break;
  }
  return best;
}

// --- what no form takes ---

std::string shortened(std::string text, size_t most) {
  if (text.size() > most) text = text.substr(0, most) + " ...";
  return text;
}

struct Miss {
  const Overload *o;
  int near;
  std::string why;
};

// The forms that came nearest, each with what was wrong.
std::string complain(const dgt_op &op, const Call &c) {
  std::string name = op.name.rfind("aten::", 0) == 0 ? "torch." + op.name.substr(6) : op.name;
  std::vector<Miss> misses;
  int most = -1;
  for (auto &o : op.overloads) {
    Fit f;
    std::string why;
    fit(o, c, f, &why);
    if (o.out && f.near <= most) continue; // the same form without out= came as near
    most = std::max(most, f.near);
    misses.push_back({&o, f.near, shortened(why, 300)});
  }
  if (misses.empty()) return name + ": has no form that Lua can call";
  if (misses.size() == 1) return c10::str(name, ": ", misses[0].why, "\n  ", shortened(c10::str(misses[0].o->handle.schema()), 700));
  std::stable_sort(misses.begin(), misses.end(), [](const Miss &a, const Miss &b) { return a.near > b.near; });
  std::string given;
  for (int i = 0; i < c.nargs && given.size() < 300; i++) given += (i ? ", " : "") + describe(c.args[i]);
  for (int k = 0; k < c.nnamed && given.size() < 300; k++)
    given += (c.nargs + k ? ", " : "") + std::string(c.named[k].name) + "=" + describe(c.named[k].value);
  std::string text = name + "(" + shortened(given, 400) + "): no form takes these arguments";
  size_t shown = std::min<size_t>(misses.size(), 3);
  for (size_t i = 0; i < shown; i++)
    text += c10::str("\n  ", shortened(c10::str(misses[i].o->handle.schema()), 300), "\n      ", misses[i].why);
  if (shown < misses.size()) text += c10::str("\n  and ", misses.size() - shown, " more, see torch.help \"", op.bare(), "\"");
  return text;
}

// --- results ---

char *copy_text(const std::string &s) {
  char *p = (char *)malloc(s.size() + 1);
  if (!p) throw std::bad_alloc();
  memcpy(p, s.c_str(), s.size() + 1);
  return p;
}

dgt_value text_value(const std::string &s) {
  dgt_value v{};
  v.tag = DGT_STRING;
  v.n = s.size();
  v.as.s = copy_text(s);
  return v;
}

dgt_value number_value(double d) {
  dgt_value v{};
  v.tag = DGT_DOUBLE;
  v.as.d = d;
  return v;
}

dgt_value list_value(size_t n) {
  dgt_value v{};
  v.tag = DGT_LIST;
  v.n = n;
  v.as.list = (dgt_value *)calloc(n ? n : 1, sizeof(dgt_value));
  if (!v.as.list) throw std::bad_alloc();
  return v;
}

// A list, of which nothing leaks if an item throws.
template <class Items>
dgt_value list_value(const Items &items, const Arg &result);

dgt_value result_value(const IValue &r, const Arg &result) {
  dgt_value v{};
  if (r.isTensor()) {
    const at::Tensor &t = r.toTensor();
    if (!t.defined()) return v;
    TORCH_CHECK(dgt::within_storage(t), "the result, ", t.sizes(), " with strides ", t.strides(), " at ", t.storage_offset(),
                ", would reach beyond its memory");
    v.as.t = dgt::wrap(result.from1 == From1::index ? t + 1 : t);
    v.tag = DGT_TENSOR;
  } else if (r.isInt() || r.isSymInt()) {
    int64_t i = r.isInt() ? r.toInt() : r.toSymInt().expect_int();
    if (result.want == Want::dtype) return text_value(dgt_dtype_name((int)i));
    if (result.want == Want::layout) return text_value(dgt::layout_name(i));
    if (result.want == Want::qscheme) return text_value(c10::toString((c10::QScheme)i));
    v.tag = DGT_INT;
    v.as.i = i;
  } else if (r.isDouble()) {
    return number_value(r.toDouble());
  } else if (r.isComplexDouble()) {
    v = list_value(2);
    v.as.list[0] = number_value(r.toComplexDouble().real());
    v.as.list[1] = number_value(r.toComplexDouble().imag());
  } else if (r.isBool()) {
    v.tag = DGT_BOOL;
    v.as.b = r.toBool();
  } else if (r.isString()) {
    return text_value(r.toStringRef());
  } else if (r.isDevice()) {
    return text_value(r.toDevice().str());
  } else if (r.isList()) {
    return list_value(r.toListRef(), result);
  } else if (r.isTuple()) {
    return list_value(r.toTupleRef().elements(), result);
  }
  return v;
}

template <class Items>
dgt_value list_value(const Items &items, const Arg &result) {
  dgt_value v = list_value(items.size());
  try {
    for (size_t i = 0; i < items.size(); i++) v.as.list[i] = result_value(items[i], result);
  } catch (...) {
    dgt_value_free(&v);
    throw;
  }
  return v;
}

// --- the call ---

void push_arguments(torch::jit::Stack &stack, const Overload &o, const Fit &f) {
  stack.reserve(o.args.size());
  for (size_t i = 0; i < o.args.size(); i++) {
    const Arg &a = o.args[i];
    if (!f.value[i]) {
      stack.push_back(a.from1 == From1::optional ? IValue(a.def.toInt() - 1) : a.def);
    } else if ((int)i == f.gather_arg) {
      dgt_value list{};
      list.tag = DGT_LIST;
      list.n = (size_t)f.gathered;
      list.as.list = const_cast<dgt_value *>(f.value[i]);
      stack.push_back(convert(a, list));
    } else {
      stack.push_back(convert(a, *f.value[i]));
    }
  }
}

// Positions that the operator wrote into tensors of the caller's count from one too.
void written_from_one(const Overload &o, const Fit &f, const torch::jit::Stack &results) {
  for (size_t i = 0; i < o.args.size(); i++)
    if (o.args[i].from1 == From1::written && f.value[i]) f.value[i]->as.t->t.add_(1);
  for (size_t r = 0; r < results.size(); r++)
    if (o.results[r].written && o.results[r].from1 == From1::index) results[r].toTensor().add_(1);
}

int give_results(const Overload &o, const torch::jit::Stack &stack, dgt_value *results) {
  TORCH_CHECK(stack.size() <= DGT_MAXRESULTS, stack.size(), " results, at most ", (int)DGT_MAXRESULTS);
  size_t r = 0;
  try {
    for (; r < stack.size(); r++) {
      Arg as = o.results[r];
      if (as.written) as.from1 = From1::no; // the caller holds this tensor
      results[r] = result_value(stack[r], as);
    }
  } catch (...) {
    while (r-- > 0) dgt_value_free(&results[r]);
    throw;
  }
  return (int)stack.size();
}

int run(dgt_op &op, const Overload &o, const Fit &f, dgt_value *results) {
  torch::jit::Stack stack;
  push_arguments(stack, o, f);
  if (op.guard) op.guard(dgt::Arguments(o, stack));
  o.handle.callBoxed(&stack);
  TORCH_CHECK(stack.size() == o.results.size(), stack.size(), " results where the schema has ", o.results.size());
  written_from_one(o, f, stack);
  return give_results(o, stack, results);
}

}  // namespace

extern "C" {

int dgt_call(dgt_op *op, int method, const dgt_value *args, int nargs, const dgt_named *named, int nnamed, dgt_value *results) {
  return dgt::guard(-1, [&] {
    dgt::prepare(*op);
    Call c{args, nargs, named, nnamed, method != 0};
    Fit f;
    const Overload *o = choose(*op, c, f);
    // { keepdim = nil } is an empty table: a list where the operator takes one, else no named arguments.
    if (!o && nnamed == 0 && nargs > 0 && args[nargs - 1].tag == DGT_LIST && args[nargs - 1].n == 0) {
      c.nargs--;
      o = choose(*op, c, f);
      if (!o) c.nargs++;
    }
    if (!o) {
      dgt::set_error(complain(*op, c));
      return -1;
    }
    try {
      return run(*op, *o, f, results);
    } catch (const std::exception &e) {
      std::string what = dgt::message_of(e);
      bool named_already = what.rfind(op->name, 0) == 0; // "dgam::gic: layout is ..."
      dgt::set_error(named_already ? what : op->bare() + ": " + what);
      for (int i = 0; i < nargs; i++) restore(args[i]);
      for (int k = 0; k < nnamed; k++) restore(named[k].value);
      return -1;
    }
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

}  // extern "C"
