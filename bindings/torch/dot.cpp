// dot.cpp - dot and vdot of complex vectors, for a libtorch whose BLAS returns complex numbers in another way than it expects.
//
// Such a libtorch (Debian's 1.13 with OpenBLAS) calls cdotu_ with a place for the result in front of the arguments. OpenBLAS
// takes that for the number of elements, finds 0 there, and every product of two complex vectors is 0. Where a first product
// is wrong, these kernels take the place of libtorch's; matmul, inner and their gradients come here too.
#include <ATen/ATen.h>
#include <ATen/ops/dot_native.h>
#include <ATen/ops/vdot_native.h>
#include <c10/util/Exception.h>
#include <torch/library.h>
#include <torch/version.h>

#include <memory>

namespace {

bool fits(const at::Tensor &a, const at::Tensor &b) {
  return a.is_complex() && a.dim() == 1 && b.dim() == 1 && a.scalar_type() == b.scalar_type() && a.numel() == b.numel();
}

// What does not fit is refused by libtorch in its own words.
at::Tensor dot(const at::Tensor &a, const at::Tensor &b) { return fits(a, b) ? (a * b).sum() : at::native::dot(a, b); }
at::Tensor vdot(const at::Tensor &a, const at::Tensor &b) { return fits(a, b) ? (a.conj() * b).sum() : at::native::vdot(a, b); }

#if TORCH_VERSION_MAJOR >= 2
namespace warnings = c10::WarningUtils;
struct Silent final : c10::WarningHandler {
  void process(const c10::Warning &) override {}
};
#else
namespace warnings = c10::Warning;
struct Silent final : c10::WarningHandler {
  void process(const c10::SourceLocation &, const std::string &, const bool) override {}
};
#endif

bool dot_is_wrong() {
  auto i = at::full({1}, c10::complex<float>(0, 1), at::kComplexFloat);
  return at::dot(i, i).item<c10::complex<float>>() != c10::complex<float>(-1, 0);
}

std::unique_ptr<torch::Library> replaced = [] {
  std::unique_ptr<torch::Library> lib;
  if (!dot_is_wrong()) return lib;
  Silent silent; // a kernel that takes another's place is worth a warning, but not here
  warnings::WarningHandlerGuard quiet(&silent);
  lib = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  lib->impl("dot", dot);
  lib->impl("vdot", vdot);
  return lib;
}();

}  // namespace
