// tensor.cpp - see shim.h: handles, autograd, random state, memory.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "torch/internal.h"

namespace {

thread_local std::string error_text;

// The allocator behind every CPU tensor: malloc, counted. The counts drive Lua's collector, which cannot see the memory
// behind its 8-byte handles. Freed blocks stay with malloc (see the thresholds below), so that a training step reuses
// the pages of the one before instead of asking the kernel for zeroed ones. Blocks are aligned here, with what malloc gave in
// front of them: posix_memalign of glibc before 2.38 looks for n + 64 bytes and thus leaves a freed block of n where it is; batches
// of the same size then took new memory again and again, to gigabytes.
constexpr size_t kAlign = 64;

void *&given(void *p) { return static_cast<void **>(p)[-1]; }

std::atomic<uint64_t> live_bytes{0}, total_bytes{0}, peak_bytes{0};

void counted_free(void *p) {
  if (!p) return;
  void *block = given(p);
  live_bytes.fetch_sub(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

void *counted_alloc(size_t n) {
  if (n == 0) return nullptr;
  void *block = n < PTRDIFF_MAX ? std::malloc(n + kAlign) : nullptr;
  if (!block)
    TORCH_CHECK(false, "out of memory: could not get ", n, " bytes for a tensor (", live_bytes.load(), " in use)");
  uint64_t got = malloc_usable_size(block);
  total_bytes.fetch_add(got, std::memory_order_relaxed);
  uint64_t now = live_bytes.fetch_add(got, std::memory_order_relaxed) + got;
  uint64_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  void *p = reinterpret_cast<void *>((reinterpret_cast<uintptr_t>(block) + kAlign) & ~(kAlign - 1)); // 16 bytes in front or more
  given(p) = block;
  return p;
}

struct CountedAllocator final : at::Allocator {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  at::DataPtr allocate(size_t n) override { return make(n); }
  void copy_data(void *dest, const void *src, std::size_t count) const override { memcpy(dest, src, count); }
#else
  at::DataPtr allocate(size_t n) const override { return make(n); }
#endif
  at::DeleterFnPtr raw_deleter() const override { return &counted_free; }

 private:
  static at::DataPtr make(size_t n) {
    void *p = counted_alloc(n);
    return {p, p, &counted_free, at::Device(at::DeviceType::CPU)};
  }
};

CountedAllocator counted_allocator;

struct Install {
  Install() {
    c10::SetCPUAllocator(&counted_allocator, /*priority=*/255);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2047 << 20);
    mallopt(M_TOP_PAD, 64 << 20);
#if TORCH_VERSION_MAJOR >= 2
    at::globalContext().setCheckSparseTensorInvariants(true); /* a position out of range would be read later; 1.13 always looks */
#endif
  }
} install;

// Positions and dimensions in libtorch's usual errors: its numbers count from 0, those of a script from 1.
void count_from_one(std::string &what) {
  static const struct {
    const char *words, *before[2]; // what stands before the numbers
    bool back;                     // a negative number counts from the end and stays
  } errors[] = {
      {"Dimension out of range (expected", {", ", "but got "}, true},
      {" out of range for tensor of size ", {"index ", "at dimension "}, true},
      {" is out of bounds for dimension ", {"index ", "for dimension "}, false},
      {" is out of bounds.", {"Target ", nullptr}, false},
      {"at non-singleton dimension ", {"at non-singleton dimension ", nullptr}, false},
      {"must match except in dimension ", {"except in dimension ", "for tensor number "}, false},
      {"stack expects each tensor to be equal size", {"at entry ", "at entry "}, false},
      {" appears multiple times in the list of dims", {"dim ", nullptr}, false},
      {" exceeds dimension size ", {"start (", nullptr}, false},
      {"tried to access index ", {"tried to access index ", nullptr}, true},
      {"found negative index ", {"negative index ", "for dim "}, false},
      {"size is inconsistent with indices: ", {"for dim ", "found index "}, false},
      {" does not match the shape of the indexed tensor ", {"at index ", "at index "}, false},
      {"invalid max index: ", {"max index: ", nullptr}, false},
  };
  for (const auto &e : errors) {
    if (what.find(e.words) == std::string::npos) continue;
    size_t at = 0;
    for (const char *before : e.before) {
      size_t found = before ? what.find(before, at) : std::string::npos;
      if (found == std::string::npos) return;
      at = found + strlen(before);
      size_t sign = !e.back && what[at] == '-';
      size_t end = std::min(what.find_first_not_of("0123456789", at + sign), what.size());
      if (end > at + sign && end < at + 19) what.replace(at, end - at, std::to_string(std::stoll(what.substr(at, end - at)) + 1));
    }
    return;
  }
}

}  // namespace

namespace dgt {

void set_error(std::string message) { error_text = std::move(message); }

std::string message_of(const std::exception &e) {
  auto *c = dynamic_cast<const c10::Error *>(&e);
  std::string what = c ? c->what_without_backtrace() : e.what();
  // Where it was thrown, and the list of every kernel that would have been there: not what a user can act on.
  for (auto *end : {"\nException raised", " This could be because", " You may have run into this message"})
    what.resize(std::min(what.size(), what.find(end)));
  count_from_one(what);
  return what;
}

}  // namespace dgt

using dgt::guard;
using dgt::wrap;

extern "C" {

const char *dgt_error(void) { return error_text.c_str(); }

void dgt_release(dgt_tensor *t) { delete t; }
int dgt_dim(const dgt_tensor *t) {
  return guard(-1, [&] { return (int)t->t.dim(); });
}
int64_t dgt_size(const dgt_tensor *t, int dim) {
  return guard<int64_t>(-1, [&] { return t->t.size(dim); });
}
int64_t dgt_numel(const dgt_tensor *t) {
  return guard<int64_t>(-1, [&] { return t->t.numel(); });
}
int dgt_dtype(const dgt_tensor *t) {
  return guard(-1, [&] { return (int)t->t.scalar_type(); });
}

const char *dgt_layout(const dgt_tensor *t) {
  return guard<const char *>("other", [&] {
    if (t->t.is_nested()) return "nested";
    switch (t->t.layout()) {
      case at::kStrided: return "strided";
      case at::kSparse: return "sparse_coo";
      case at::kSparseCsr: return "sparse_csr";
      case at::kSparseCsc: return "sparse_csc";
      case at::kSparseBsr: return "sparse_bsr";
      case at::kSparseBsc: return "sparse_bsc";
      default: return "other";
    }
  });
}

static const struct {
  const char *name;
  at::ScalarType type;
} dtypes[] = {
    {"uint8", at::kByte},        {"int8", at::kChar},         {"int16", at::kShort},
    {"int32", at::kInt},         {"int64", at::kLong},        {"float16", at::kHalf},
    {"float32", at::kFloat},     {"float64", at::kDouble},    {"bool", at::kBool},
    {"bfloat16", at::kBFloat16}, {"complex64", at::kComplexFloat}, {"complex128", at::kComplexDouble},
    {"byte", at::kByte},         {"char", at::kChar},         {"short", at::kShort},
    {"int", at::kInt},           {"long", at::kLong},         {"half", at::kHalf},
    {"float", at::kFloat},       {"double", at::kDouble},
};

const char *dgt_dtype_name(int dtype) {
  for (auto &d : dtypes)
    if ((int)d.type == dtype) return d.name;
  return "other";
}

int dgt_dtype_by_name(const char *name) {
  for (auto &d : dtypes)
    if (strcmp(d.name, name) == 0) return (int)d.type;
  return -1;
}

const char *dgt_device(const dgt_tensor *t) {
  static thread_local std::string text;
  return guard<const char *>("no device", [&] {
    text = t->t.device().str();
    return text.c_str();
  });
}

int dgt_is_cpu(const dgt_tensor *t) {
  return guard(0, [&] { return t->t.defined() && t->t.is_cpu() && t->t.layout() == at::kStrided && !t->t.is_nested(); });
}
int dgt_is_contiguous(const dgt_tensor *t) {
  return guard(-1, [&]() -> int { return t->t.is_contiguous(); });
}
int dgt_is_defined(const dgt_tensor *t) { return t->t.defined(); }
const void *dgt_id(const dgt_tensor *t) { return t->t.unsafeGetTensorImpl(); }
void *dgt_data(const dgt_tensor *t) {
  return guard<void *>(nullptr, [&] { return dgt_is_cpu(t) ? t->t.data_ptr() : nullptr; });
}

dgt_tensor *dgt_empty(int dtype, int ndim, const int64_t *sizes) {
  return guard<dgt_tensor *>(nullptr, [&] {
    return wrap(at::empty(at::IntArrayRef(sizes, (size_t)ndim), at::TensorOptions().dtype((at::ScalarType)dtype)));
  });
}

int dgt_item(const dgt_tensor *t, dgt_value *out) {
  return guard(-1, [&] {
    TORCH_CHECK(t->t.numel() == 1, "item: the tensor has ", t->t.numel(), " elements of shape ", t->t.sizes(),
                ", expected 1");
    at::Scalar s = t->t.item();
    *out = dgt_value{};
    if (s.isBoolean()) {
      out->tag = DGT_BOOL;
      out->as.b = s.toBool();
    } else if (s.isIntegral(false)) {
      out->tag = DGT_INT;
      out->as.i = s.toLong();
    } else {
      out->tag = DGT_DOUBLE;
      out->as.d = s.toDouble();
    }
    return 0;
  });
}

int dgt_requires_grad(const dgt_tensor *t) {
  return guard(-1, [&]() -> int { return t->t.requires_grad(); });
}
int dgt_is_leaf(const dgt_tensor *t) {
  return guard(-1, [&]() -> int { return t->t.is_leaf(); });
}

int dgt_set_requires_grad(dgt_tensor *t, int on) {
  return guard(-1, [&] {
    TORCH_CHECK(!on || at::isFloatingType(t->t.scalar_type()), "requires_grad: the tensor is ",
                dgt_dtype_name(dgt_dtype(t)), ", expected a floating type");
    TORCH_CHECK(on || t->t.is_leaf(), "requires_grad can be turned off on leaf tensors only; use :detach()");
    t->t.set_requires_grad(on != 0);
    return 0;
  });
}

dgt_tensor *dgt_grad(const dgt_tensor *t) {
  return guard<dgt_tensor *>(nullptr, [&]() -> dgt_tensor * {
    const at::Tensor &g = t->t.grad();
    return g.defined() ? wrap(g) : nullptr;
  });
}

int dgt_set_grad(dgt_tensor *t, const dgt_tensor *grad) {
  return guard(-1, [&] {
    TORCH_CHECK(!grad || grad->t.sizes() == t->t.sizes(), "grad has shape ", grad->t.sizes(), ", expected ",
                t->t.sizes());
    TORCH_CHECK(!grad || (grad->t.scalar_type() == t->t.scalar_type() && grad->t.device() == t->t.device()), "grad is ",
                dgt_dtype_name(dgt_dtype(grad)), " on ", grad->t.device(), ", expected ", dgt_dtype_name(dgt_dtype(t)), " on ",
                t->t.device(), " as the tensor is");
    t->t.mutable_grad() = grad ? grad->t : at::Tensor();
    return 0;
  });
}

int dgt_backward(const dgt_tensor *t, const dgt_tensor *gradient, int retain_graph, int create_graph) {
  return guard(-1, [&] {
    torch::autograd::backward({t->t}, gradient ? torch::autograd::variable_list{gradient->t}
                                               : torch::autograd::variable_list{},
                              retain_graph != 0, create_graph != 0);
    return 0;
  });
}

int dgt_autograd_grad(dgt_tensor *const *outputs, int noutputs, dgt_tensor *const *inputs, int ninputs,
                      dgt_tensor *const *grad_outputs, int retain_graph, int create_graph, int allow_unused,
                      dgt_tensor **grads) {
  return guard(-1, [&] {
    torch::autograd::variable_list outs, ins, gouts;
    for (int i = 0; i < noutputs; i++) outs.push_back(outputs[i]->t);
    for (int i = 0; i < ninputs; i++) ins.push_back(inputs[i]->t);
    for (int i = 0; grad_outputs && i < noutputs; i++) gouts.push_back(grad_outputs[i]->t);
    auto got = torch::autograd::grad(outs, ins, gouts, retain_graph != 0, create_graph != 0, allow_unused != 0);
    for (int i = 0; i < ninputs; i++) grads[i] = got[(size_t)i].defined() ? wrap(got[(size_t)i]) : nullptr;
    return 0;
  });
}

int dgt_grad_mode(int on) {
  bool old = c10::GradMode::is_enabled();
  if (on >= 0) c10::GradMode::set_enabled(on != 0);
  return old;
}

int dgt_manual_seed(uint64_t seed) {
  return guard(-1, [&] {
    at::manual_seed(seed);
    return 0;
  });
}

dgt_tensor *dgt_rng_state(void) {
  return guard<dgt_tensor *>(nullptr, [&] {
    auto gen = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(gen.mutex());
    return wrap(gen.get_state());
  });
}

int dgt_set_rng_state(const dgt_tensor *state) {
  return guard(-1, [&] {
    auto gen = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(gen.mutex());
    gen.set_state(state->t);
    return 0;
  });
}

void dgt_set_threads(int n) {
  guard(0, [&] {
    at::set_num_threads(n);
    return 0;
  });
}
int dgt_threads(void) { return at::get_num_threads(); }

void dgt_memory(uint64_t *live, uint64_t *total) {
  *live = live_bytes.load(std::memory_order_relaxed);
  *total = total_bytes.load(std::memory_order_relaxed);
}

uint64_t dgt_memory_peak(int reset) {
  uint64_t peak = peak_bytes.load(std::memory_order_relaxed);
  if (reset) peak_bytes.store(live_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return peak;
}

const char *dgt_version(void) { return TORCH_VERSION; }

}  // extern "C"
