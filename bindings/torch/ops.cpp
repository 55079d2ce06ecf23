// ops.cpp - see ops.h
#include "torch/ops.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <atomic>

namespace dgam {

static std::atomic<bool> forced{false};

bool composite_forced() { return forced.load(std::memory_order_relaxed); }

// Returns the old setting.
static bool use_composite(bool on) { return forced.exchange(on); }

at::Tensor computed(const at::Tensor &t) {
  if (!t.defined()) return t;
  return (t._is_zerotensor() ? t.clone() : t).resolve_conj().resolve_neg();
}

at::Tensor readable(const at::Tensor &t) { return t.defined() ? computed(t).contiguous() : t; }

}  // namespace dgam

TORCH_LIBRARY_FRAGMENT(dgam, m) { m.def("use_composite(bool on) -> bool", &dgam::use_composite); }
