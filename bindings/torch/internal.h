// internal.h - what the C++ files of the shim share.
#ifndef DGT_INTERNAL_H
#define DGT_INTERNAL_H

#include <ATen/ATen.h>

#include <string>

#include "torch/shim.h"

struct dgt_tensor {
  at::Tensor t;
};

namespace dgt {

inline dgt_tensor *wrap(at::Tensor t) { return new dgt_tensor{std::move(t)}; }

void set_error(std::string message);

// The first line of what libtorch says, without its C++ backtrace.
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
