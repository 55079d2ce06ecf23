// ops.h - what the files that register core kernels as operators share.
//
// An operator NAME of the library `dgam` has a twin NAME_composite with the same schema, written in ATen operators
// only. NAME runs the C kernel for CPU tensors of the types that the kernel takes, and its twin for everything else.
// With `composite_forced()` it always runs the twin, so that a test can compare the two through the same model code.
#ifndef DGAM_TORCH_OPS_H
#define DGAM_TORCH_OPS_H

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <string>

#include "base/status.h"
#include "torch/shim.h"

namespace dgam {

// True after torch.ops.dgam.use_composite(true). Process-wide.
bool composite_forced();

// Lua's name of a type: "float32", "uint8" ...
inline const char *type_name(c10::ScalarType type) { return dgt_dtype_name((int)type); }

// Throws a status of the core as a C++ exception. Its message is the core's, after the operator's name (once).
inline void check(const char *op, dgam_status s) {
  if (s == DGAM_OK) return;
  std::string text = dgam_error(), name = op;
  if (text.compare(0, name.size() + 2, name + ": ") == 0) text.erase(0, name.size() + 2);
  TORCH_CHECK(false, "dgam::", name, ": ", text.empty() ? dgam_status_name(s) : text.c_str());
}

}  // namespace dgam

// The same for wrong arguments: DGAM_CHECK("gic", clip.dim() == 5, "clip has ", clip.dim(), " dimensions, expected 5").
#define DGAM_CHECK(op, cond, ...) TORCH_CHECK(cond, "dgam::", op, ": ", __VA_ARGS__)

namespace dgam {

// The tensor with its values in memory. It is a copy if they are a conjugate or negation not yet computed, or autograd's zeros.
at::Tensor computed(const at::Tensor &t);

// The same, contiguous.
at::Tensor readable(const at::Tensor &t);

// Call it in a backward written in C; autograd would otherwise take the result for a constant.
inline void refuse_second_derivatives(const char *op) {
  DGAM_CHECK(op, !at::GradMode::is_enabled(),
             "has no second derivatives in C; take them after torch.ops.dgam.use_composite(true)");
}

}  // namespace dgam

#endif
