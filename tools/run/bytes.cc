#include "tools/run/bytes.h"

#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>

namespace ufs {

Result<int64_t> ParseBytes(const std::string& text) {
  char* rest = nullptr;
  const double number = std::strtod(text.c_str(), &rest);
  std::string unit = rest;
  for (char& c : unit) c = static_cast<char>(std::tolower(c));
  if (unit.size() > 1 && unit.back() == 'b') unit.pop_back();
  if (unit.size() > 1 && unit.back() == 'i') unit.pop_back();
  const size_t power = unit.empty() ? 0 : std::string("bkmgt").find(unit);
  if (text.empty() || unit.size() > 1 || power == std::string::npos ||
      !std::isfinite(number) || number <= 0)
    return Error(EINVAL, "'" + text + "' is no size, as 512m or 2g");
  const double bytes = std::ldexp(number, static_cast<int>(10 * power));
  if (bytes < 1 || bytes > 9e18)
    return Error(EINVAL, "'" + text + "' is out of range");
  return static_cast<int64_t>(bytes);
}

}  // namespace ufs
