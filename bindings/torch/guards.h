// guards.h - what an operator of libtorch should refuse and does not: positions and sizes with which its kernel reads or writes
// memory that is not its own.
#ifndef DGT_GUARDS_H
#define DGT_GUARDS_H

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>

#include <string>

namespace dgt {

// Throws unless an operator may be called with these arguments, which count from 0. The words of errors count from 1.
using Guard = void (*)(const torch::jit::Stack &arguments);

// That of the operator, named without namespace; nullptr: libtorch looks by itself.
Guard guard_of(const std::string &op);

// Whether every element of a dense tensor lies within its storage; true of tensors without one.
bool within_storage(const at::Tensor &t);

}  // namespace dgt
#endif
