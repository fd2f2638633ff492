#include "layerdb/base/result.h"

#include <cerrno>
#include <cstring>
#include <string_view>

namespace ufs {

Error Error::With(std::string_view context) && {
  std::string text(context);
  if (context_) text.append(": ").append(*context_);
  context_ = std::make_shared<const std::string>(std::move(text));
  return std::move(*this);
}

std::string Error::ToString() const {
  // What the system calls these is about disks and networks.
  if (code_ == EUCLEAN || code_ == ENOTUNIQ) {
    const std::string_view word = code_ == EUCLEAN ? "damaged" : "ambiguous";
    if (!context_) return std::string(word);
    const bool said = context_->find("damaged") != std::string::npos;
    return code_ == ENOTUNIQ || said ? *context_
                                     : *context_ + ": " + std::string(word);
  }
  char buffer[128];
  // GNU strerror_r: may or may not use the buffer, never fails.
  std::string reason = strerror_r(code_, buffer, sizeof(buffer));
  return context_ ? *context_ + ": " + reason : reason;
}

}  // namespace ufs
