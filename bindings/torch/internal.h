// internal.h - what the C++ files of the shim share.
#ifndef DGT_INTERNAL_H
#define DGT_INTERNAL_H

#include <ATen/ATen.h>

#include <string>

#include "torch/shim.h"

struct dgt_tensor {
  at::Tensor t;
};

struct dgt_generator {
  at::Generator g;
};

namespace dgt {

// Autograd's zeros have no memory (sgn's gradient, for one). A script gets a copy that has.
inline at::Tensor with_memory(const at::Tensor &t) { return t._is_zerotensor() ? t.clone() : t; }

inline dgt_tensor *wrap(const at::Tensor &t) { return new dgt_tensor{with_memory(t)}; }

void set_error(std::string message);

// libtorch's message without its C++ backtrace, with dimensions and positions counted from 1, at most 2,000 characters.
std::string message_of(const std::exception &e);

// Runs f; an exception becomes a message and `failed`.
template <class R, class F>
R guard(R failed, F &&f) noexcept {
  try {
    return f();
  } catch (const std::exception &e) {
    set_error(message_of(e));
  } catch (...) {
    set_error("unknown C++ exception");
  }
  return failed;
}

}  // namespace dgt
#endif
