// messages.cpp - libtorch's errors in words that a script can act on: see message_of in internal.h.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>

#include "torch/internal.h"

namespace {

// Adds one to the number that begins at `at`; with `back` not to a negative one. Where the number ends.
size_t add_one(std::string &what, size_t at, bool back) {
  size_t sign = what[at] == '-';
  size_t end = std::min(what.find_first_not_of("0123456789", at + sign), what.size());
  if (end == at + sign || end >= at + 19 || (sign && back)) return end;
  std::string number = std::to_string(std::stoll(what.substr(at, end - at)) + 1);
  what.replace(at, end - at, number);
  return at + number.size();
}

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
      {"Expected reduction dim ", {"reduction dim ", nullptr}, true},
      {" being empty", {"with dimension ", nullptr}, false},
      {"Found unnamed dim at index ", {"at index ", nullptr}, false},
      {"Halving dimension must be even", {"but dimension ", nullptr}, false},
      {"input tensor's size at dimension ", {"size at dimension ", nullptr}, true},
      {"Size does not match at dimension ", {"at dimension ", "apart from dimension "}, false},
      {" apart from dimension ", {"apart from dimension ", nullptr}, false},
      {"Padding size should be less than", {" at dimension ", nullptr}, false},
      {"expected size of input's dimension ", {"input's dimension ", nullptr}, false},
      {"and bins for dimension ", {"bins for dimension ", nullptr}, false},
      {"must have 2 or fewer dimensions. Input ", {"dimensions. Input ", nullptr}, false},
      {"must have same slice shapes", {"at dimension ", "at dimension "}, false},
      {"Expected tensor to have size ", {"at dimension ", nullptr}, false},
      {" does not have size 3", {"dimension ", nullptr}, true},
      {" must have length 3", {"inputs dimension ", nullptr}, true},
      {"maximum size for tensor at dimension ", {"at dimension ", nullptr}, false},
      {"multiply up to the size of dim ", {"size of dim ", nullptr}, true},
      {"diagonal dimensions cannot be identical ", {"identical ", ", "}, true},
      {"contracted dimensions need to match", {"in dim ", "in dim "}, true},
      {"k out of range for dimension ", {"for dimension ", nullptr}, true},
      {"attempted to split along dimension ", {"along dimension ", nullptr}, false},
      {"expected rotation dims to be different", {"dim0 = ", "dim1 = "}, true},
      {"repeated dim in `", {"` ([", nullptr}, true},
      {"given to nested_tensor must have the same dimension", {"Tensor at index ", "Tensor at index "}, false},
  };
  for (const auto &e : errors) {
    if (what.find(e.words) == std::string::npos) continue;
    size_t at = 0;
    for (const char *before : e.before) {
      size_t found = before ? what.find(before, at) : std::string::npos;
      if (found == std::string::npos) return;
      at = found + strlen(before);
      bool list = what[at - 1] == '[';
      do at = add_one(what, at, e.back);
      while (list && what.compare(at, 2, ", ") == 0 && (at += 2));
    }
    return;
  }
}

}  // namespace

namespace dgt {

std::string message_of(const std::exception &e) {
  auto *c = dynamic_cast<const c10::Error *>(&e);
  std::string what = c ? c->what_without_backtrace() : e.what();
  // Where it was thrown, and the list of every kernel that would have been there: not what a user can act on.
  for (auto *end : {"\nException raised", " This could be because", " You may have run into this message"})
    what.resize(std::min(what.size(), what.find(end)));
  count_from_one(what);
  if (what.size() > 2000) what = what.substr(0, 2000) + " ...";
  return what;
}

}  // namespace dgt
