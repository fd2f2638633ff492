// The lines of the small text files a store keeps: a key, a value.
#pragma once

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

// The text up to `separator`, which is taken away too.
inline std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == text.npos ? text.size() : at + 1);
  return taken;
}

// EINVAL for what is not all of it a number that fits.
template <typename Number>
Status ParseNumber(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end)
    return Error(EINVAL, "'" + std::string(text) + "' is no number");
  return Ok();
}

}  // namespace ufs
