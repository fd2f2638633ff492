// RateLimit: when the next piece of some work may be done, so that it takes no
// more than so many bytes a second. A piece may be of any size: what it was too
// much is waited for after it. Nothing is saved up while there is no work.
//
// It has no clock: who uses it says what time it is. Threads: one.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace ufs {

class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // REQUIRES: bytes_per_second > 0.
  explicit RateLimit(uint64_t bytes_per_second)
      : bytes_per_second_(static_cast<double>(bytes_per_second)) {}

  // So many bytes were moved, from `start` on.
  void Spent(uint64_t bytes, Clock::time_point start) {
    // No clock goes on for longer than this.
    constexpr double kMostSeconds = 1e9;
    const std::chrono::duration<double> cost(
        std::min(static_cast<double>(bytes) / bytes_per_second_, kMostSeconds));
    free_at_ = std::max(free_at_, start) +
               std::chrono::duration_cast<Clock::duration>(cost);
  }
  // When the next piece may begin.
  Clock::time_point free_at() const { return free_at_; }

 private:
  const double bytes_per_second_;
  Clock::time_point free_at_{};
};

}  // namespace ufs
