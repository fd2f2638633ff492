#include "tools/run/health.h"

#include <cerrno>

namespace ufs {
namespace {

using Duration = HealthCheck::Duration;

constexpr char kStarting[] = "starting";
constexpr char kHealthy[] = "healthy";
constexpr char kUnhealthy[] = "unhealthy";
constexpr size_t kProbesKept = 5;

// Of an image, in nanoseconds; 0 is "not said".
Status TakeTime(const char* what, int64_t nanoseconds, Duration& target) {
  if (nanoseconds == 0) return Ok();
  const auto time = std::chrono::duration_cast<Duration>(
      std::chrono::nanoseconds(nanoseconds));
  if (time < Duration(1))
    return Error(EINVAL, std::string("the image's health check: ") + what +
                             " is less than a millisecond");
  target = time;
  return Ok();
}

Result<std::vector<std::string>> CommandOfImage(
    const std::vector<std::string>& test) {
  if (test.empty() || test[0].empty() || test[0] == "NONE")
    return std::vector<std::string>();
  if (test[0] == "CMD" && test.size() > 1)
    return std::vector<std::string>(test.begin() + 1, test.end());
  if (test[0] == "CMD-SHELL" && test.size() == 2)
    return std::vector<std::string>{"/bin/sh", "-c", test[1]};
  return Error(EINVAL,
               "the image's health check is none of NONE, CMD ARG... and "
               "CMD-SHELL TEXT; use --no-healthcheck or --health-cmd");
}

Status ReadMs(const JsonReader& json, const char* key, Duration& target) {
  int64_t ms = target.count();
  TRY(json.Read(key, ms));
  target = Duration(ms);
  return Ok();
}

}  // namespace

Json HealthCheck::ToJson() const {
  return {{"command", command},
          {"interval_ms", interval.count()},
          {"timeout_ms", timeout.count()},
          {"start_period_ms", start_period.count()},
          {"start_interval_ms", start_interval.count()},
          {"retries", retries}};
}

Status HealthCheck::Read(const JsonReader& json) {
  TRY(json.Read("command", command));
  TRY(ReadMs(json, "interval_ms", interval));
  TRY(ReadMs(json, "timeout_ms", timeout));
  TRY(ReadMs(json, "start_period_ms", start_period));
  TRY(ReadMs(json, "start_interval_ms", start_interval));
  return json.Read("retries", retries);
}

Result<HealthCheck> CombineHealth(const HealthOptions& options,
                                  const ImageHealthcheck& image) {
  HealthCheck check;
  if (options.none) return check;
  if (options.shell.empty())
    check.command = TRY(CommandOfImage(image.test));
  else
    check.command = {"/bin/sh", "-c", options.shell};
  if (!check.wanted()) {
    if (options.any())
      return Error(EINVAL,
                   "--health-interval and the like need --health-cmd, as the "
                   "layers bring no health check");
    return check;
  }
  TRY(TakeTime("its interval", image.interval_ns, check.interval));
  TRY(TakeTime("its timeout", image.timeout_ns, check.timeout));
  TRY(TakeTime("its start period", image.start_period_ns, check.start_period));
  TRY(TakeTime("its start interval", image.start_interval_ns,
               check.start_interval));
  if (image.retries < 0)
    return Error(EINVAL, "the image's health check: its retries are negative");
  if (image.retries > 0) check.retries = image.retries;
  check.interval = options.interval.value_or(check.interval);
  check.timeout = options.timeout.value_or(check.timeout);
  check.start_period = options.start_period.value_or(check.start_period);
  check.start_interval = options.start_interval.value_or(check.start_interval);
  check.retries = options.retries.value_or(check.retries);
  return check;
}

void Health::Add(HealthProbe probe, bool young, int retries) {
  if (probe.exit_code == 0) {
    failing_streak_ = 0;
    status_ = kHealthy;
  } else if (status_ != kStarting || !young) {
    ++failing_streak_;
    if (failing_streak_ >= retries) status_ = kUnhealthy;
  }
  log_.push_back(std::move(probe));
  if (log_.size() > kProbesKept) log_.pop_front();
}

Json Health::ToJson() const {
  Json log = Json::array();
  for (const HealthProbe& probe : log_)
    log.push_back({{"start", probe.start},
                   {"end", probe.end},
                   {"exit_code", probe.exit_code},
                   {"output", probe.output}});
  return {{"status", status_},
          {"failing_streak", failing_streak_},
          {"log", std::move(log)}};
}

Result<Health> Health::FromJson(const JsonReader& json) {
  Health health;
  TRY(json.Require("status", health.status_));
  TRY(json.Read("failing_streak", health.failing_streak_));
  for (const JsonReader& element : TRY(TRY(json.Get("log")).Elements())) {
    HealthProbe probe;
    TRY(element.Read("start", probe.start));
    TRY(element.Read("end", probe.end));
    TRY(element.Read("exit_code", probe.exit_code));
    TRY(element.Read("output", probe.output));
    health.log_.push_back(std::move(probe));
  }
  return health;
}

}  // namespace ufs
