#include "fs/completer.h"

#include <pthread.h>
#include <sys/resource.h>

#include <utility>

#include "layerdb/base/log.h"

namespace ufs {
namespace {

using Clock = RateLimit::Clock;

constexpr std::chrono::minutes kTryAgain(1);
constexpr int kNicest = 19;

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
  pthread_setname_np(pthread_self(), "ufs-completer");
  // Of this thread alone; and with it its place in the disk's queue. No less
  // than that: it holds locks while it writes.
  (void)setpriority(PRIO_PROCESS, 0, kNicest);
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
