#include "layerdb/percent.h"

#include <cerrno>
#include <cstdint>

#include "layerdb/digest.h"

namespace ufs {
namespace {

bool StandsForItself(char c, bool first) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
      (c >= 'A' && c <= 'Z'))
    return true;
  return c == '_' || c == '@' || c == '+' || c == '-' || (c == '.' && !first);
}

}  // namespace

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (StandsForItself(c, encoded.empty())) {
      encoded += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      encoded += '%' + ToHex(&byte, 1);
    }
  }
  return encoded;
}

Result<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    uint8_t byte;
    if (!FromHex(text.substr(i + 1, 2), &byte, 1))
      return Error(EINVAL, "'" + std::string(text) + "' has a bare %");
    decoded += static_cast<char>(byte);
    i += 2;
  }
  if (PercentEncode(decoded) != text)
    return Error(EINVAL, "'" + std::string(text) + "' is not encoded");
  return decoded;
}

}  // namespace ufs
