// Whether a container that has ended is started again, and after how long, by
// docker's rules. Threads: any.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

struct RestartPolicy {
  enum class When { kNever, kOnFailure, kAlways, kUnlessStopped };
  When when = When::kNever;
  int most = 0;  // restarts on failure; 0: any number

  // "no", "on-failure[:N]", "always", "unless-stopped".
  static Result<RestartPolicy> Parse(const std::string& text);
  std::string ToString() const;
  bool restarts() const { return when != When::kNever; }
};

// Counts the restarts of one container.
class RestartClock {
 public:
  using Duration = std::chrono::milliseconds;

  explicit RestartClock(RestartPolicy policy) : policy_(policy) {}

  // It has ended after `ran`. How long to wait before it is started again:
  // 100 ms, then twice as long each time up to a minute, and from the beginning
  // once it has run for 10 s. Nullopt: it has ended for good.
  std::optional<Duration> Next(int exit_code, Duration ran);

  int restarts() const { return restarts_; }

 private:
  const RestartPolicy policy_;
  Duration delay_{0};
  int restarts_ = 0;
};

}  // namespace ufs
