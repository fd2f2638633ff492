#include "fs/completer.h"

#include <utility>

#include "fs/background_thread.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

using Clock = RateLimit::Clock;

constexpr std::chrono::minutes kTryAgain(1);

}  // namespace

Completer::Completer(uint64_t bytes_per_second, Step step, Clock::duration idle)
    : step_(std::move(step)),
      idle_(idle),
      limit_(bytes_per_second),
      thread_([this] { Run(); }) {}

Completer::~Completer() {
  {
    std::lock_guard lock(mu_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Completer::Run() {
  // Gives way, and no more than that: it holds locks while it writes.
  BecomeBackgroundThread("ufs-completer");
  std::unique_lock lock(mu_);
  Clock::time_point next = Clock::now() + idle_;
  while (!wake_.wait_until(lock, next, [this] { return stop_; })) {
    lock.unlock();
    const Clock::time_point start = Clock::now();
    const auto copied = step_();
    if (!copied.ok()) {
      log::Debug("not completed: " + copied.error().ToString());
      next = start + kTryAgain;
    } else if (*copied == 0) {
      next = start + idle_;
    } else {
      limit_.Spent(*copied, start);
      next = limit_.free_at();
    }
    lock.lock();
  }
}

}  // namespace ufs
