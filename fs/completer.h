// Completer: brings up, behind everybody's back and no faster than allowed,
// what is missing of files that are partly in the upper, so that others can
// read them there. A thread of its own, which gives way to others.
//
// Where a step fails it waits a minute. Threads: any may end it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "fs/rate_limit.h"
#include "layerdb/base/result.h"

namespace ufs {

class Completer {
 public:
  // One step: the bytes it brought up, 0 where there is nothing to do now.
  using Step = std::function<Result<uint64_t>()>;

  // As often as the session makes files ordinary that have become whole.
  static constexpr std::chrono::seconds kLookAgain{5};

  // Where there is nothing to do it looks again after `idle`.
  Completer(uint64_t bytes_per_second, Step step,
            RateLimit::Clock::duration idle = kLookAgain);
  ~Completer();  // waits for the step under way, and for nothing else
  Completer(const Completer&) = delete;
  Completer& operator=(const Completer&) = delete;

 private:
  void Run();

  const Step step_;
  const RateLimit::Clock::duration idle_;
  RateLimit limit_;  // the thread's
  std::mutex mu_;
  std::condition_variable wake_;
  bool stop_ = false;  // guarded by mu_
  std::thread thread_;
};

}  // namespace ufs
