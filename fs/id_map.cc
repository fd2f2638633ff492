#include "fs/id_map.h"

#include <charconv>

namespace ufs {
namespace {

// What the kernel shows for an id that a user namespace does not map.
constexpr uint32_t kOverflowId = 65534;

bool Overlaps(uint32_t a, uint32_t b, uint32_t a_length, uint32_t b_length) {
  return uint64_t{a} < uint64_t{b} + b_length &&
         uint64_t{b} < uint64_t{a} + a_length;
}

}  // namespace

Result<IdMap> IdMap::Parse(std::string_view text) {
  const std::string whole(text);
  const auto bad = [&](std::string_view why) {
    return Error(EINVAL, "id mapping '" + whole + "': " + std::string(why));
  };
  if (text.starts_with(':')) text.remove_prefix(1);

  std::vector<uint32_t> numbers;
  while (!text.empty()) {
    uint32_t number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return bad("expected HOST:SHOWN:LENGTH");
    numbers.push_back(number);
    text.remove_prefix(end - text.data());
    if (text.empty()) break;
    if (text.front() != ':') return bad("expected ':' between numbers");
    text.remove_prefix(1);
    if (text.empty()) return bad("ends in ':'");
  }
  if (numbers.size() % 3 != 0) return bad("needs three numbers for each range");

  IdMap map;
  for (size_t i = 0; i < numbers.size(); i += 3) {
    const Range range{numbers[i], numbers[i + 1], numbers[i + 2]};
    if (range.length == 0) return bad("a range of length 0");
    if (uint64_t{range.host} + range.length > uint64_t{UINT32_MAX} + 1 ||
        uint64_t{range.shown} + range.length > uint64_t{UINT32_MAX} + 1)
      return bad("a range past the largest id");
    for (const Range& other : map.ranges_) {
      if (Overlaps(range.host, other.host, range.length, other.length) ||
          Overlaps(range.shown, other.shown, range.length, other.length))
        return bad("ranges overlap");
    }
    map.ranges_.push_back(range);
  }
  return map;
}

uint32_t IdMap::ToShown(uint32_t host) const {
  if (identity()) return host;
  for (const Range& r : ranges_)
    if (host >= r.host && host - r.host < r.length)
      return r.shown + (host - r.host);
  return kOverflowId;
}

std::optional<uint32_t> IdMap::ToHost(uint32_t shown) const {
  if (identity()) return shown;
  for (const Range& r : ranges_)
    if (shown >= r.shown && shown - r.shown < r.length)
      return r.host + (shown - r.shown);
  return std::nullopt;
}

}  // namespace ufs
