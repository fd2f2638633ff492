#include "tools/run/restart.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace ufs {
namespace {

using When = RestartPolicy::When;

constexpr RestartClock::Duration kFirstDelay = std::chrono::milliseconds(100);
constexpr RestartClock::Duration kLongestDelay = std::chrono::minutes(1);
constexpr RestartClock::Duration kLongEnough = std::chrono::seconds(10);
constexpr char kOnFailure[] = "on-failure";

}  // namespace

Result<RestartPolicy> RestartPolicy::Parse(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string word = text.substr(0, colon);
  if (word == kOnFailure && colon != text.npos) {
    RestartPolicy policy{When::kOnFailure, 0};
    const char* const end = text.data() + text.size();
    const auto [rest, error] =
        std::from_chars(text.data() + colon + 1, end, policy.most);
    if (error == std::errc() && rest == end && policy.most >= 0) return policy;
  } else if (colon == text.npos) {
    if (word == "no") return RestartPolicy{};
    if (word == kOnFailure) return RestartPolicy{When::kOnFailure, 0};
    if (word == "always") return RestartPolicy{When::kAlways, 0};
    if (word == "unless-stopped") return RestartPolicy{When::kUnlessStopped, 0};
  }
  return Error(EINVAL, "'" + text +
                           "': no, on-failure, on-failure:N, always or "
                           "unless-stopped");
}

std::string RestartPolicy::ToString() const {
  switch (when) {
    case When::kNever:
      return "no";
    case When::kOnFailure:
      return most == 0 ? kOnFailure
                       : std::string(kOnFailure) + ":" + std::to_string(most);
    case When::kAlways:
      return "always";
    case When::kUnlessStopped:
      return "unless-stopped";
  }
  return "no";
}

std::optional<RestartClock::Duration> RestartClock::Next(int exit_code,
                                                         Duration ran) {
  if (!policy_.restarts()) return std::nullopt;
  if (policy_.when == When::kOnFailure &&
      (exit_code == 0 || (policy_.most > 0 && restarts_ >= policy_.most)))
    return std::nullopt;
  delay_ = ran >= kLongEnough || delay_ == Duration::zero()
               ? kFirstDelay
               : std::min(2 * delay_, kLongestDelay);
  ++restarts_;
  return delay_;
}

}  // namespace ufs
