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
#include "torch/names.h"

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

}  // namespace

namespace dgt {

void set_error(std::string message) { error_text = std::move(message); }

}  // namespace dgt

using dgt::guard;
using dgt::wrap;

// Names of dimensions, of which newer versions of libtorch know nothing any more: there the second of each pair is taken.
template <class T> static auto named(const T &t, int) -> decltype(t.has_names()) { return t.has_names(); }
template <class T> static bool named(const T &, long) { return false; }
template <class T> static auto nameless(const T &t, int) -> decltype(t.rename({})) {
  return t.has_names() ? t.rename({}) : t;
}
template <class T> static T nameless(const T &t, long) { return t; }
template <class T> static auto dim_name(const T &t, size_t dim, std::string &text, int) -> decltype(t.names().empty()) {
  auto name = t.names().at(dim);
  if (!name.isWildcard()) text = name.symbol().toUnqualString();
  return !name.isWildcard();
}
template <class T> static bool dim_name(const T &, size_t, std::string &, long) { return false; }

extern "C" {

const char *dgt_error(void) { return error_text.c_str(); }

void dgt_release(dgt_tensor *t) { delete t; }
int dgt_dim(const dgt_tensor *t) {
  return guard(-1, [&] { return (int)t->t.dim(); });
}
int64_t dgt_size(const dgt_tensor *t, int dim) {
  return guard<int64_t>(-1, [&] { return t->t.size(dim); });
}
int dgt_has_names(const dgt_tensor *t) {
  return guard(0, [&]() -> int { return named(t->t, 0); });
}
const char *dgt_dim_name(const dgt_tensor *t, int dim) {
  static thread_local std::string text;
  return guard<const char *>(nullptr, [&]() -> const char * { return dim_name(t->t, (size_t)dim, text, 0) ? text.c_str() : nullptr; });
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
    return dgt::layout_name((int64_t)t->t.layout());
  });
}

const char *dgt_device(const dgt_tensor *t) {
  static thread_local std::string text;
  return guard<const char *>("no device", [&] {
    text = t->t.device().str();
    return text.c_str();
  });
}

int dgt_is_device(const char *name) {
  try {
    at::empty({0}, at::TensorOptions().device(at::Device(std::string(name))));
    return 1;
  } catch (const std::exception &) {
    return 0;
  }
}

int dgt_is_contiguous(const dgt_tensor *t) {
  return guard(-1, [&]() -> int { return t->t.is_contiguous(); });
}
const void *dgt_id(const dgt_tensor *t) { return t->t.unsafeGetTensorImpl(); }

static std::string obstacle(const at::Tensor &t) {
  if (t.is_nested()) return "is nested, expected a dense one";
  if (t.layout() != at::kStrided) return c10::str("is ", dgt::layout_name((int64_t)t.layout()), ", expected a dense one; use :to_dense()");
  if (!t.is_cpu()) return "is on " + t.device().str() + ", expected cpu; use :cpu()";
  if (!t.has_storage() || t._is_zerotensor()) return "has no memory of its own";
  if (t.is_conj() || t.is_neg()) return "is a conjugate or negation that is not computed yet; use :plain()";
  if (!t.is_contiguous()) return "is not contiguous; use :contiguous()";
  return "";
}

const char *dgt_obstacle(const dgt_tensor *t) {
  static thread_local std::string text;
  text = guard<std::string>("has no memory that can be read", [&] { return obstacle(t->t); });
  return text.empty() ? nullptr : text.c_str();
}

void *dgt_data(const dgt_tensor *t) {
  return guard<void *>(nullptr, [&] { return dgt_obstacle(t) ? nullptr : t->t.data_ptr(); });
}

// The values as they are, in ordinary memory: see dgt_plain.
static at::Tensor plain(const at::Tensor &t) {
  at::Tensor x = dgt::with_memory(t.detach().cpu()).resolve_conj().resolve_neg();
  return nameless(x, 0).contiguous();
}

dgt_tensor *dgt_plain(const dgt_tensor *t) {
  return guard<dgt_tensor *>(nullptr, [&]() {
    bool dense = !t->t.is_nested() && t->t.layout() == at::kStrided && (t->t.has_storage() || t->t._is_zerotensor());
    TORCH_CHECK(dense, "the tensor ", obstacle(t->t));
    return wrap(plain(t->t));
  });
}

dgt_tensor *dgt_empty(int dtype, int ndim, const int64_t *sizes) {
  return guard<dgt_tensor *>(nullptr, [&] {
    return wrap(at::empty(at::IntArrayRef(sizes, (size_t)ndim), at::TensorOptions().dtype((at::ScalarType)dtype)));
  });
}

int dgt_item(const dgt_tensor *t, dgt_value out[2]) {
  return guard(-1, [&] {
    TORCH_CHECK(!t->t.is_nested() && t->t.numel() == 1, "item: the tensor has ", t->t.is_nested() ? 0 : t->t.numel(),
                " elements of shape ", t->t.is_nested() ? at::IntArrayRef() : t->t.sizes(), ", expected 1");
    at::Scalar s = dgt::with_memory(t->t).resolve_conj().resolve_neg().item();
    out[0] = out[1] = dgt_value{};
    if (s.isBoolean()) {
      out[0].tag = DGT_BOOL;
      out[0].as.b = s.toBool();
    } else if (s.isIntegral(false)) {
      out[0].tag = DGT_INT;
      out[0].as.i = s.toLong();
    } else {
      bool complex = s.isComplex();
      out[0].tag = DGT_DOUBLE;
      out[0].as.d = complex ? s.toComplexDouble().real() : s.toDouble();
      if (!complex) return 1;
      out[1].tag = DGT_DOUBLE;
      out[1].as.d = s.toComplexDouble().imag();
      return 2;
    }
    return 1;
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
    TORCH_CHECK(!on || at::isFloatingType(t->t.scalar_type()) || at::isComplexType(t->t.scalar_type()), "requires_grad: the tensor is ",
                dgt_dtype_name(dgt_dtype(t)), ", expected a floating or complex type");
    TORCH_CHECK(on || t->t.is_leaf(), "requires_grad can be turned off on leaf tensors only; use :detach()");
    t->t.set_requires_grad(on != 0);
    return 0;
  });
}

dgt_tensor *dgt_grad(const dgt_tensor *t) {
  return guard<dgt_tensor *>(nullptr, [&]() -> dgt_tensor * {
    const at::Tensor &g = t->t.grad();
    if (g.defined() && g._is_zerotensor()) t->t.mutable_grad() = dgt::with_memory(g); // the next call gives the same one
    return g.defined() ? wrap(t->t.grad()) : nullptr;
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

dgt_generator *dgt_generator_new(uint64_t seed) {
  return guard<dgt_generator *>(nullptr, [&] { return new dgt_generator{at::detail::createCPUGenerator(seed)}; });
}

void dgt_generator_free(dgt_generator *g) { delete g; }

static at::Generator generator_of(const dgt_generator *g) { return g ? g->g : at::detail::getDefaultCPUGenerator(); }

dgt_tensor *dgt_rng_state(const dgt_generator *g) {
  return guard<dgt_tensor *>(nullptr, [&] {
    auto gen = generator_of(g);
    std::lock_guard<std::mutex> lock(gen.mutex());
    return wrap(gen.get_state());
  });
}

int dgt_set_rng_state(dgt_generator *g, const dgt_tensor *state) {
  return guard(-1, [&] {
    auto gen = generator_of(g);
    std::lock_guard<std::mutex> lock(gen.mutex());
    gen.set_state(plain(state->t));
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
