// guards.h - arguments that an operator of libtorch should refuse and does not: positions, sizes and lists with which its kernel
// reads or writes memory that is not its own. tests/fuzz/operators.lua looks for more of them.
#ifndef DGT_GUARDS_H
#define DGT_GUARDS_H

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

namespace dgt {

struct Overload;

// The arguments of a call by name. Positions in them count from 0; errors count from 1.
class Arguments {
 public:
  Arguments(const Overload &o, const torch::jit::Stack &stack) : overload_(o), stack_(stack) {}
  bool has(const char *name) const; // in the schema, and not None
  const c10::IValue &value(const char *name) const;
  at::Tensor tensor(const char *name) const; // undefined if there is none
  int64_t integer(const char *name) const;
  std::vector<int64_t> integers(const char *name) const;

 private:
  int find(const char *name) const;
  const Overload &overload_;
  const torch::jit::Stack &stack_;
};

// Throws unless the operator may be called with these arguments.
using Guard = void (*)(const Arguments &a);

// The guard of an operator, named without namespace; nullptr: libtorch checks by itself.
Guard guard_of(const std::string &op);

// Whether every element of a dense tensor lies within its storage; true of tensors without one.
bool within_storage(const at::Tensor &t);

}  // namespace dgt
#endif
