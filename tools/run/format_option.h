// --format of the verbs that print JSON: docker's word for --json, where it
// asks for that.
#pragma once

#include <string>

#include "tools/argument_parser.h"

namespace ufs {

// Takes "json"; refuses a template, and says what to use instead.
class FormatOption {
 public:
  void Declare(ArgumentParser& parser, const char* names = "--format");
  // After Parse.
  bool json() const { return !format_.empty(); }

 private:
  std::string format_;
};

}  // namespace ufs
