// schema.h - libtorch's operator schemas, prepared for fitting Lua values to them. See dispatch.cpp.
#ifndef DGT_SCHEMA_H
#define DGT_SCHEMA_H

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "torch/guards.h"
#include "torch/positions.h"
#include "torch/shim.h"

namespace dgt {

// What an argument or a result is, beside "optional" and "list of".
enum class Want { tensor, tensors, scalar, scalars, integer, integers, number, numbers, boolean, booleans, string, strings,
                  dimname, dimnames, dtype, layout, memory_format, qscheme, device, generator, other };

struct Arg {
  std::string name;
  Want want = Want::other;
  bool optional = false;      // None is a value
  bool item_optional = false; // for lists of tensors: items may be None
  bool has_default = false;
  bool kwarg_only = false;
  bool written = false; // the operator writes into this tensor, or into those of this list
  int fixed = 0; // N of int[N]: a single integer means N equal ones
  bool may_be_empty = false; // for such a list: {} has a meaning, which the kernels know
  From1 from1 = From1::unknown;
  c10::IValue def;
};

struct Overload {
  c10::OperatorHandle handle;
  std::vector<Arg> args;
  std::vector<Arg> results; // only name, want, written and from1 are set
  bool out = false; // has written arguments that must be given by name: out=
  int self = 0; // the argument that a method passes its tensor for: the one called self, else the first

  const std::string &name() const { return handle.schema().overload_name(); }
};

// What an error calls it, such as "a whole number".
std::string want_name(const Arg &a);

}  // namespace dgt

struct dgt_op {
  std::string name; // "aten::add"
  std::vector<dgt::Overload> overloads; // in the order in which PyTorch tries them; those with out= last
  bool ready = false;
  std::vector<c10::OperatorName> names;
  dgt::Guard guard = nullptr;

  std::string bare() const { return name.substr(name.find("::") + 2); }
};

namespace dgt {

// Fills in op.overloads, once.
void prepare(dgt_op &op);

}  // namespace dgt
#endif
