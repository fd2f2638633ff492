#include "tools/run/duration.h"

#include <cerrno>
#include <charconv>

namespace ufs {
namespace {

constexpr double kMostMs = 365.0 * 24 * 3600 * 1000;

struct DurationUnit {
  const char* name;
  double ms;
};
// A name that begins as another does comes first.
constexpr DurationUnit kDurationUnits[] = {{"ns", 1e-6}, {"us", 1e-3},
                                           {"ms", 1},    {"s", 1e3},
                                           {"m", 60e3},  {"h", 3600e3}};

}  // namespace

Result<std::chrono::milliseconds> ParseDuration(const std::string& text) {
  const auto wrong = [&] {
    return Error(EINVAL, "'" + text +
                             "' is no length of time of at most a year, as "
                             "30s, 1m30s or 500ms");
  };
  if (text.empty()) return wrong();
  if (text == "0") return std::chrono::milliseconds(0);
  const char* at = text.data();
  const char* const end = at + text.size();
  double total = 0;
  while (at != end) {
    double number = 0;
    const auto [rest, error] =
        std::from_chars(at, end, number, std::chars_format::fixed);
    if (error != std::errc() || *at == '-') return wrong();
    const std::string_view left(rest, static_cast<size_t>(end - rest));
    const DurationUnit* unit = nullptr;
    for (const DurationUnit& known : kDurationUnits)
      if (unit == nullptr && left.starts_with(known.name)) unit = &known;
    if (unit == nullptr) return wrong();
    total += number * unit->ms;
    if (!(total <= kMostMs)) return wrong();
    at = rest + std::string_view(unit->name).size();
  }
  return std::chrono::milliseconds(static_cast<int64_t>(total));
}

}  // namespace ufs
