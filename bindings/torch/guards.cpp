// guards.cpp - see guards.h
#include "torch/guards.h"

#include <ATen/ATen.h>

#include "torch/internal.h"

namespace dgt {
namespace {

// ctc_loss(log_probs, targets, input_lengths, target_lengths, ...) reads memory that is not its own at a label that is no
// class. Of padded targets, (batch, length), what is beyond a row's length does not count.
void check_ctc_labels(const torch::jit::Stack &arguments) {
  int64_t classes = arguments[0].toTensor().size(-1);
  at::Tensor labels = arguments[1].toTensor();
  if (labels.dim() == 2) {
    at::Tensor lengths = arguments[3].isTensor() ? arguments[3].toTensor() : at::tensor(arguments[3].toIntVector());
    at::Tensor column = at::arange(labels.size(1), labels.options().dtype(at::kLong));
    labels = labels.masked_select(column < lengths.to(labels.device()).unsqueeze(1));
  }
  if (labels.numel() == 0) return;
  auto bounds = at::aminmax(labels);
  int64_t least = std::get<0>(bounds).item<int64_t>(), most = std::get<1>(bounds).item<int64_t>();
  TORCH_CHECK(least >= 0 && most < classes, "label ", (least < 0 ? least : most) + 1, ", expected 1 to ", classes);
}

}  // namespace

Guard guard_of(const std::string &op) {
  if (op == "ctc_loss" || op == "_ctc_loss") return check_ctc_labels;
  return nullptr;
}

bool within_storage(const at::Tensor &t) {
  if (!t.defined() || t.layout() != at::kStrided || !t.has_storage() || t.is_meta() || t.is_nested() || t.numel() == 0) return true;
  if (t.scalar_type() == c10::ScalarType::QUInt4x2 || t.scalar_type() == c10::ScalarType::QUInt2x4) return true; // several elements a byte
  double first = (double)t.storage_offset(), last = first;
  for (int64_t d = 0; d < t.dim(); d++) {
    double reach = (double)(t.size(d) - 1) * (double)t.stride(d);
    (reach < 0 ? first : last) += reach;
  }
  return first >= 0 && (last + 1) * (double)t.element_size() <= (double)t.storage().nbytes();
}

}  // namespace dgt
