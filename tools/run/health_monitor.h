// Asks a container again and again whether it is well. What is asked runs in
// the container as `ufs exec` would run it, by a child of ours: the supervisor
// never waits for the container.
// Threads: in a process with one thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"
#include "tools/run/health.h"

namespace ufs {

class HealthMonitor {
 public:
  using Clock = std::chrono::steady_clock;

  // For the container `name` whose runtime's state is in `state_root`.
  HealthMonitor(HealthCheck check, std::string state_root, std::string name)
      : check_(std::move(check)),
        state_root_(std::move(state_root)),
        name_(std::move(name)) {}

  // It was started; nothing is known of it.
  void Begin();
  // It has ended; nobody is asked any more.
  void End();

  // What poll shall wait for (POLLIN; -1: nothing), and how long at most, in
  // milliseconds; -1: for ever.
  int fd() const { return asker_ ? asker_->answer.get() : -1; }
  int PatienceMs() const;

  // Does what is due; true when `health` has changed. A container that
  // `is_paused` is not asked.
  bool Act(const std::function<bool()>& is_paused, Health& health);

 private:
  // Somebody who asks.
  struct Asker {
    runtime::kernel::Child child;
    UniqueFd answer;
    std::string since;         // RFC 3339
    Clock::time_point latest;  // then we stop waiting
  };

  bool IsYoung() const { return Clock::now() - began_ < check_.start_period; }
  void Rest(const Health& health);
  Status Ask();
  bool Hear(const std::function<bool()>& is_paused, Health& health);
  void Dismiss();

  const HealthCheck check_;
  const std::string state_root_, name_;
  bool running_ = false;
  Clock::time_point began_, due_;
  std::optional<Asker> asker_;
};

}  // namespace ufs
