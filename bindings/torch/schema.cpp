// schema.cpp - see schema.h: operators by name, and what their arguments are.
#include "torch/schema.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "torch/internal.h"
#include "torch/names.h"

namespace dgt {
namespace {

using c10::TypeKind;

c10::TypePtr inside_optional(const c10::TypePtr &t, bool *optional) {
  if (t->kind() != TypeKind::OptionalType) return t;
  if (optional) *optional = true;
  return t->castRaw<c10::OptionalType>()->getElementType();
}

// libtorch keeps some types as others: a ScalarType is an int to TorchScript. `real` tells.
Want want_of(const c10::TypePtr &fake, const c10::TypePtr &real) {
  switch (real->kind()) {
    case TypeKind::ScalarTypeType: return Want::dtype;
    case TypeKind::LayoutType: return Want::layout;
    case TypeKind::MemoryFormatType: return Want::memory_format;
    case TypeKind::QSchemeType: return Want::qscheme;
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
    case TypeKind::GeneratorType: return Want::generator;
    default: return Want::other;
  }
}

Want list_of(Want item) {
  switch (item) {
    case Want::tensor: return Want::tensors;
    case Want::scalar: return Want::scalars;
    case Want::integer: return Want::integers;
    case Want::number: return Want::numbers;
    case Want::boolean: return Want::booleans;
    case Want::string: return Want::strings;
    default: return Want::other;
  }
}

// A name of a dimension is a string to TorchScript, and nothing in the schema says so; these names are of nothing else.
bool is_dimname(const std::string &argument) {
  for (auto *n : {"dim", "dims", "names", "order", "outdim", "out_dim", "dim0", "dim1", "dim2"})
    if (argument == n) return true;
  return false;
}

bool is_written(const c10::AliasInfo *info) {
  if (!info) return false;
  auto &items = info->containedTypes();
  return info->isWrite() || std::any_of(items.begin(), items.end(), [](const c10::AliasInfo &i) { return i.isWrite(); });
}

// Name and kind of an argument or result.
Arg make(const c10::Argument &a) {
  Arg out;
  out.name = a.name();
  out.written = is_written(a.alias_info());
  c10::TypePtr fake = inside_optional(a.type(), &out.optional), real = inside_optional(a.real_type(), nullptr);
  if (fake->kind() == TypeKind::ListType) {
    c10::TypePtr item = inside_optional(fake->castRaw<c10::ListType>()->getElementType(), &out.item_optional);
    out.want = list_of(want_of(item, item));
    if (a.N()) out.fixed = (int)*a.N();
  } else {
    out.want = want_of(fake, real);
  }
  if (is_dimname(out.name) && out.want == Want::string) out.want = Want::dimname;
  if (is_dimname(out.name) && out.want == Want::strings) out.want = Want::dimnames;
  return out;
}

bool holds_positions(const Arg &a) {
  switch (a.from1) {
    case From1::dim: return a.want == Want::integer || a.want == Want::integers;
    case From1::written: return a.want == Want::tensor;
    default: return a.want == Want::tensor || a.want == Want::tensors || a.want == Want::integer || a.want == Want::integers;
  }
}

Arg make_argument(const c10::Argument &a, const std::string &op) {
  Arg out = make(a);
  out.kwarg_only = a.kwarg_only();
  if (a.default_value()) {
    out.has_default = true;
    out.def = *a.default_value();
  }
  out.may_be_empty = out.name == "stride" && op.find("pool") != std::string::npos; // the size of the window
  out.from1 = argument_from_one(op, out.name);
  bool result = out.written && out.kwarg_only; // out=: see the results
  if (result || !holds_positions(out)) out.from1 = From1::no;
  return out;
}

Overload make_overload(const c10::OperatorHandle &handle, const std::string &op) {
  Overload o{handle, {}, {}, false, 0};
  auto &schema = handle.schema();
  for (auto &a : schema.arguments()) {
    o.args.push_back(make_argument(a, op));
    const Arg &last = o.args.back();
    if (last.written && last.kwarg_only) o.out = true;
    if (last.name == "self" && !last.kwarg_only) o.self = (int)o.args.size() - 1;
  }
  for (auto &r : schema.returns()) {
    o.results.push_back(make(r));
    o.results.back().from1 = result_from_one(op, schema.overload_name(), o.args.size(), o.results.size() - 1);
  }
  return o;
}

// --- PyTorch's order: torchgen's sort_overloads. The first form that takes the arguments is the one that Python calls ---

// The type of an argument as torchgen writes it, by which signatures are sorted.
std::string python_type(const Arg &a, bool symbolic) {
  std::string n = a.fixed ? "[" + std::to_string(a.fixed) + "]" : "", null = a.optional ? "?" : "";
  switch (a.want) {
    case Want::tensor: return "Tensor" + null;
    case Want::tensors: return "TensorList" + n + null;
    case Want::scalar: return "Scalar" + null;
    case Want::scalars: return "ScalarList" + n + null;
    case Want::integer: return (symbolic ? "SymInt" : "int64_t") + null;
    case Want::integers: return (symbolic ? "SymIntArrayRef" : "IntArrayRef") + n + null;
    case Want::number: return "double" + null;
    case Want::numbers: return "ArrayRef<double>" + n + null;
    case Want::boolean: return "bool" + null;
    case Want::booleans: return "ArrayRef<bool>" + n + null;
    case Want::string: return "c10::string_view" + null;
    case Want::dimname: return "Dimname" + null;
    case Want::dimnames: return "DimnameList" + n + null;
    case Want::dtype: return "ScalarType" + null;
    case Want::layout: return "Layout" + null;
    case Want::memory_format: return "MemoryFormat" + null;
    case Want::device: return "Device" + null;
    case Want::generator: return "Generator" + null;
    default: return "other";
  }
}

struct Signature {
  std::string text;
  std::vector<const Arg *> args;
};

Signature signature_of(const Overload &o) {
  Signature s;
  bool star = false;
  auto &arguments = o.handle.schema().arguments();
  for (size_t i = 0; i < o.args.size(); i++) {
    const Arg &a = o.args[i];
    if (a.written && a.kwarg_only) continue;
    if (!s.args.empty()) s.text += ", ";
    if (a.kwarg_only && !star) star = true, s.text += "*, ";
    bool symbolic = c10::str(*arguments[i].real_type()).find("SymInt") != std::string::npos;
    s.text += python_type(a, symbolic) + " " + (a.name == "self" ? "input" : a.name) + (a.has_default ? "=" : "");
    s.args.push_back(&a);
  }
  return s;
}

bool same_type(const Arg &a, const Arg &b) {
  return a.want == b.want && a.fixed == b.fixed && a.optional == b.optional;
}

bool is_name(const Arg &a) { return a.want == Want::dimname || a.want == Want::dimnames; }
bool is_list(const Arg &a) {
  switch (a.want) {
    case Want::tensors: case Want::scalars: case Want::integers: case Want::numbers: case Want::booleans: case Want::strings:
    case Want::dimnames: return true;
    default: return false;
  }
}

bool tried_before(const Arg &a, const Arg &b) {
  return (a.want == Want::scalar && b.want == Want::tensor && a.optional == b.optional) || (is_name(a) && !is_name(b)) ||
         (a.want == Want::integers && !a.fixed && !a.optional && b.want == Want::integer) || (a.want == Want::tensors && is_list(b));
}

bool tried_before(const Signature &a, const Signature &b) {
  if (a.args.size() != b.args.size()) return false;
  bool equal = true;
  for (size_t i = 0; i < a.args.size(); i++) {
    bool same = same_type(*a.args[i], *b.args[i]);
    if (!same && !tried_before(*a.args[i], *b.args[i])) return false;
    equal = equal && same;
  }
  return !equal;
}

void sort_overloads(std::vector<Overload> &all) {
  struct Entry {
    size_t at;
    Signature signature;
  };
  std::vector<Entry> waiting;
  for (size_t i = 0; i < all.size(); i++) waiting.push_back({i, signature_of(all[i])});
  std::sort(waiting.begin(), waiting.end(), [&](const Entry &a, const Entry &b) {
    if (all[a.at].out != all[b.at].out) return all[b.at].out;
    return a.signature.text < b.signature.text;
  });
  std::vector<Overload> sorted;
  while (!waiting.empty()) { // the first before which no other must be tried
    size_t i = 0;
    for (; i < waiting.size(); i++) {
      auto before = [&](const Entry &e) { return tried_before(e.signature, waiting[i].signature); };
      if (std::none_of(waiting.begin(), waiting.end(), before)) break;
    }
    if (i == waiting.size()) i = 0;
    sorted.push_back(std::move(all[waiting[i].at]));
    waiting.erase(waiting.begin() + (std::ptrdiff_t)i);
  }
  all = std::move(sorted);
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

}  // namespace

std::string want_name(const Arg &a) {
  if (a.want == Want::integers && a.fixed > 1) return c10::str("a list of ", a.fixed, " whole numbers");
  switch (a.want) {
    case Want::tensor: return "a tensor";
    case Want::tensors: return "a list of tensors";
    case Want::scalar: return "a number";
    case Want::scalars: return "a list of numbers";
    case Want::integer: return "a whole number";
    case Want::integers: return "a list of whole numbers";
    case Want::number: return "a number";
    case Want::numbers: return "a list of numbers";
    case Want::boolean: return "true or false";
    case Want::booleans: return "a list of true/false";
    case Want::string: return "a string";
    case Want::strings: return "a list of strings";
    case Want::dimname: return "a name of a dimension";
    case Want::dimnames: return "a list of names of dimensions";
    case Want::dtype: return "a dtype name such as 'float32'";
    case Want::layout: return "a layout name such as 'strided'";
    case Want::memory_format: return "a memory format name such as 'channels_last'";
    case Want::device: return "a device name such as 'cpu'";
    case Want::generator: return "a generator, as torch.generator(seed) makes";
    default: break;
  }
  return "something that has no Lua form";
}

void prepare(dgt_op &op) {
  if (op.ready) return;
  // The order in which libtorch gives them differs between runs, that of equal signatures must not.
  std::sort(op.names.begin(), op.names.end(),
            [](const c10::OperatorName &a, const c10::OperatorName &b) { return a.overload_name < b.overload_name; });
  for (auto &n : op.names) {
    if (n.overload_name.rfind("prim_", 0) == 0) continue; // TorchScript's own, where a dtype is any number
    auto handle = c10::Dispatcher::singleton().findSchema(n);
    if (handle) op.overloads.push_back(make_overload(*handle, op.bare()));
  }
  sort_overloads(op.overloads);
  op.guard = guard_of(op.bare());
  op.ready = true;
}

}  // namespace dgt

extern "C" {

dgt_op *dgt_find(const char *name) {
  return dgt::guard<dgt_op *>(nullptr, [&]() -> dgt_op * {
    std::string wanted = name;
    auto it = dgt::registry().find(wanted);
    if (it == dgt::registry().end() && !wanted.empty() && wanted.back() == '_') {
      wanted.pop_back();
      if (dgt::is_lua_word(wanted.substr(wanted.rfind(':') + 1))) it = dgt::registry().find(wanted);
    }
    return it == dgt::registry().end() ? nullptr : it->second.get();
  });
}

const char *dgt_schemas(dgt_op *op) {
  static thread_local std::string text;
  return dgt::guard<const char *>("", [&] {
    dgt::prepare(*op);
    text.clear();
    for (auto &o : op->overloads) text += c10::str(o.handle.schema(), "\n");
    return text.c_str();
  });
}

void dgt_each_op(void (*visit)(void *ctx, const char *name), void *ctx) {
  std::map<std::string, int> sorted;
  for (auto &op : dgt::registry()) sorted[op.first];
  for (auto &op : sorted) visit(ctx, op.first.c_str());
}

static const char *place_name(const dgt::Arg &a) {
  switch (a.from1) {
    case dgt::From1::unknown: return nullptr;
    case dgt::From1::no: return "no";
    default: return "position";
  }
}

int dgt_each_place(dgt_op *op, dgt_place_visitor visit, void *ctx) {
  return dgt::guard(-1, [&] {
    dgt::prepare(*op);
    for (auto &o : op->overloads) {
      for (auto &a : o.args) visit(ctx, o.name().c_str(), 0, a.name.c_str(), dgt::want_name(a).c_str(), place_name(a));
      for (auto &r : o.results) visit(ctx, o.name().c_str(), 1, r.name.c_str(), dgt::want_name(r).c_str(), place_name(r));
    }
    return 0;
  });
}

}  // extern "C"
