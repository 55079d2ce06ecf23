// names.cpp - see names.h
#include "torch/names.h"

#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "torch/shim.h"

namespace {

struct Name {
  const char *name;
  int64_t value;
};

template <size_t N>
int64_t value_of(const Name (&names)[N], const char *name) {
  for (const Name &n : names)
    if (strcmp(n.name, name) == 0) return n.value;
  return -1;
}

// Of several names for one value the first is its own.
template <size_t N>
const char *name_of(const Name (&names)[N], int64_t value) {
  for (const Name &n : names)
    if (n.value == value) return n.name;
  return "other";
}

#define DGT_DTYPE(name, type) {name, (int64_t)c10::ScalarType::type}
const Name dtypes[] = {
    DGT_DTYPE("uint8", Byte), DGT_DTYPE("int8", Char), DGT_DTYPE("int16", Short), DGT_DTYPE("int32", Int),
    DGT_DTYPE("int64", Long), DGT_DTYPE("float16", Half), DGT_DTYPE("float32", Float), DGT_DTYPE("float64", Double),
    DGT_DTYPE("bool", Bool), DGT_DTYPE("bfloat16", BFloat16), DGT_DTYPE("complex32", ComplexHalf),
    DGT_DTYPE("complex64", ComplexFloat), DGT_DTYPE("complex128", ComplexDouble), DGT_DTYPE("qint8", QInt8),
    DGT_DTYPE("quint8", QUInt8), DGT_DTYPE("qint32", QInt32), DGT_DTYPE("quint4x2", QUInt4x2), DGT_DTYPE("quint2x4", QUInt2x4),
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
    DGT_DTYPE("float8_e5m2", Float8_e5m2), DGT_DTYPE("float8_e4m3fn", Float8_e4m3fn),
    DGT_DTYPE("float8_e5m2fnuz", Float8_e5m2fnuz), DGT_DTYPE("float8_e4m3fnuz", Float8_e4m3fnuz),
    DGT_DTYPE("uint16", UInt16), DGT_DTYPE("uint32", UInt32), DGT_DTYPE("uint64", UInt64),
#endif
    DGT_DTYPE("byte", Byte), DGT_DTYPE("char", Char), DGT_DTYPE("short", Short), DGT_DTYPE("int", Int), DGT_DTYPE("long", Long),
    DGT_DTYPE("half", Half), DGT_DTYPE("float", Float), DGT_DTYPE("double", Double),
    DGT_DTYPE("cfloat", ComplexFloat), DGT_DTYPE("cdouble", ComplexDouble),
};

const Name layouts[] = {
    {"strided", (int64_t)c10::kStrided},      {"sparse_coo", (int64_t)c10::kSparse},
    {"sparse_csr", (int64_t)c10::kSparseCsr}, {"sparse_csc", (int64_t)c10::kSparseCsc},
    {"sparse_bsr", (int64_t)c10::kSparseBsr}, {"sparse_bsc", (int64_t)c10::kSparseBsc},
    {"mkldnn", (int64_t)c10::kMkldnn},
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
    {"jagged", (int64_t)c10::kJagged},
#endif
};

const Name memory_formats[] = {
    {"contiguous_format", (int64_t)c10::MemoryFormat::Contiguous},
    {"preserve_format", (int64_t)c10::MemoryFormat::Preserve},
    {"channels_last", (int64_t)c10::MemoryFormat::ChannelsLast},
    {"channels_last_3d", (int64_t)c10::MemoryFormat::ChannelsLast3d},
};

}  // namespace

namespace dgt {

int64_t layout_by_name(const char *name) { return value_of(layouts, name); }
const char *layout_name(int64_t layout) { return name_of(layouts, layout); }
int64_t memory_format_by_name(const char *name) { return value_of(memory_formats, name); }

bool has_word(const char *words, const std::string &word) {
  for (const char *at = words; (at = strstr(at, word.c_str())); at += word.size())
    if ((at == words || at[-1] == ' ') && (at[word.size()] == 0 || at[word.size()] == ' ')) return true;
  return false;
}

bool names_operator(const char *words, const std::string &op) {
  return has_word(words, op) || (op.size() > 1 && op.back() == '_' && has_word(words, op.substr(0, op.size() - 1)));
}

bool is_lua_word(const std::string &name) {
  static const char *const words[] = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
                                      "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"};
  return std::any_of(std::begin(words), std::end(words), [&](const char *w) { return name == w; });
}

}  // namespace dgt

extern "C" {

const char *dgt_dtype_name(int dtype) { return name_of(dtypes, dtype); }
int dgt_dtype_by_name(const char *name) { return (int)value_of(dtypes, name); }

}  // extern "C"
