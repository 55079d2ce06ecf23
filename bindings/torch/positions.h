// positions.h - counting from one: which arguments and results of libtorch's operators are positions.
//
// Lua counts from 1, libtorch from 0. A dimension, an index, a tensor of indices and a class label are positions; a count, a
// size and an offset between two elements are not. libtorch's schemas do not say which is which, so positions.cpp does: by the
// argument's name where that is enough, else by operator and name. tests/lua/torch_positions_spec.lua fails when a libtorch has
// an argument that looks like a position and stands in no table.
#ifndef DGT_POSITIONS_H
#define DGT_POSITIONS_H

#include <cstddef>
#include <string>

namespace dgt {

enum class From1 {
  unknown,      // in no table; passed on as it is
  no,           // in a table, and not a position; passed on as it is
  dim,          // a dimension; -1 is the last
  index,        // a position or a tensor of them; -1 is the last. libtorch may not check the range
  last,         // the last position inside a range, where libtorch counts the first outside
  index_tensor, // a tensor of positions; libtorch takes no negative ones
  optional,     // a position, or a number below 1 that is none (ignore_index = -100)
  written       // a tensor that the operator fills with positions
};

// Of the argument `name` of the operator `op` (without namespace and overload).
From1 argument_from_one(const std::string &op, const std::string &name);

// Of result number r (from 0) of an operator with `nargs` arguments: From1::index if it is a tensor of positions, From1::no or
// From1::unknown.
From1 result_from_one(const std::string &op, const std::string &overload, size_t nargs, size_t r);

}  // namespace dgt
#endif
