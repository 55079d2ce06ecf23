// names.h - names and numbers: libtorch's enumerations by the names that PyTorch has for them (those of dtypes are in shim.h), and
// the names that a Lua script cannot write.
#ifndef DGT_NAMES_H
#define DGT_NAMES_H

#include <cstdint>
#include <string>

namespace dgt {

// The value of "strided", "sparse_coo" ...; -1: none of them.
int64_t layout_by_name(const char *name);
// "other" if this file does not know it.
const char *layout_name(int64_t layout);
// The value of "contiguous_format", "preserve_format", "channels_last" or "channels_last_3d"; -1: none of them.
int64_t memory_format_by_name(const char *name);

// Whether `word` is one of `words`, which are separated by spaces.
bool has_word(const char *words, const std::string &word);

// Whether the operator is one of `words`, or the in-place form of one.
bool names_operator(const char *words, const std::string &op);

// Whether it is a keyword of Lua, such as "end" or "repeat". An argument or operator of this name has a second name with a _ at its end.
bool is_lua_word(const std::string &name);

}  // namespace dgt
#endif
