#include "tools/run/duration.h"

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

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

constexpr long kNsPerSecond = 1'000'000'000;

// ".5" off the front, in nanoseconds; what is beyond these is left out.
long TakeFraction(std::string_view& text) {
  if (!text.starts_with('.')) return 0;
  text.remove_prefix(1);
  long ns = 0;
  for (long digit = kNsPerSecond / 10;
       !text.empty() && text[0] >= '0' && text[0] <= '9';
       text.remove_prefix(1), digit /= 10)
    ns += (text[0] - '0') * digit;
  return ns;
}

// "+01:00": how far ahead of UTC. Nothing for what is no such thing.
std::optional<time_t> ParseOffset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
    return std::nullopt;
  int hours = 0, minutes = 0;
  const auto read = [&](size_t at, int& value) {
    const char* const end = text.data() + at + 2;
    const auto [rest, error] = std::from_chars(text.data() + at, end, value);
    return error == std::errc() && rest == end && value >= 0;
  };
  if (!read(1, hours) || !read(4, minutes) || hours > 23 || minutes > 59)
    return std::nullopt;
  const time_t seconds = (hours * 60 + minutes) * 60;
  return text[0] == '-' ? -seconds : seconds;
}

std::optional<timespec> ParseDate(const std::string& text) {
  tm parts{};
  parts.tm_isdst = -1;  // whichever counts then
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &parts);
  if (rest == nullptr) return std::nullopt;
  timespec time{};
  std::string_view left(rest);
  if (left.starts_with('T') || left.starts_with(' ')) {
    const char* day = strptime(rest + 1, "%H:%M", &parts);
    if (day == nullptr) return std::nullopt;
    if (*day == ':') day = strptime(day + 1, "%S", &parts);
    if (day == nullptr) return std::nullopt;
    left = day;
    time.tv_nsec = TakeFraction(left);
  }
  if (left.empty()) {
    time.tv_sec = mktime(&parts);
    return time;
  }
  const auto ahead = ParseOffset(left);
  if (!ahead) return std::nullopt;
  time.tv_sec = timegm(&parts) - *ahead;
  return time;
}

std::optional<timespec> ParseSeconds(std::string_view text) {
  timespec time{};
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), time.tv_sec);
  if (error != std::errc() || text[0] == '-') return std::nullopt;
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  time.tv_nsec = TakeFraction(text);
  constexpr time_t kYear9999 = 253'370'764'800;
  if (!text.empty() || time.tv_sec >= kYear9999) return std::nullopt;
  return time;
}

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

Result<timespec> ParseMoment(const std::string& text, const timespec& now) {
  if (const auto time = ParseSeconds(text)) return *time;
  if (const auto time = ParseDate(text)) return *time;
  const auto ago = ParseDuration(text);
  if (!ago.ok())
    return Error(EINVAL, "'" + text +
                             "' is no time, as 10m (ago), "
                             "2026-12-01T08:30:00Z or seconds since 1970");
  constexpr long kNsPerMs = 1'000'000;
  timespec time = now;
  time.tv_sec -= *ago / std::chrono::seconds(1);
  time.tv_nsec -= (*ago % std::chrono::seconds(1)).count() * kNsPerMs;
  if (time.tv_nsec < 0) {
    --time.tv_sec;
    time.tv_nsec += kNsPerSecond;
  }
  return time;
}

}  // namespace ufs
