// The keys that leave a container running and go away from its terminal.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

// "ctrl-p,ctrl-q" -> the bytes a terminal sends for them: letters, and "ctrl-"
// with a letter or one of @[\]^_. Empty for an empty text: none.
Result<std::string> ParseDetachKeys(std::string_view text);

// Looks for the keys in what is typed.
class DetachKeys {
 public:
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}

  // What of `typed` is for the container: all but keys that may be the
  // beginning of ours, which come with the next call if they were not. Once
  // `detached`, what follows is dropped.
  std::string Filter(std::string_view typed);
  bool detached() const { return detached_; }

 private:
  const std::string keys_;
  size_t matched_ = 0;
  bool detached_ = false;
};

}  // namespace ufs
