#include "fs/completer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>

namespace ufs {
namespace {

using namespace std::chrono_literals;
using Clock = RateLimit::Clock;

TEST(RateLimitTest, BytesTakeTheirTime) {
  RateLimit limit(1000);
  const Clock::time_point start = Clock::now();
  Clock::time_point now = start;
  uint64_t moved = 0;
  while (now < start + 10s) {
    limit.Spent(250, now);
    moved += 250;
    now = limit.free_at();
  }
  EXPECT_EQ(moved, 10'000u);
}

TEST(RateLimitTest, WhatAPieceWasTooLargeIsWaitedFor) {
  RateLimit limit(1000);
  const Clock::time_point start = Clock::now();
  limit.Spent(60'000, start);
  EXPECT_EQ(limit.free_at(), start + 60s);
}

TEST(RateLimitTest, NothingIsSavedUp) {
  RateLimit limit(1000);
  const Clock::time_point start = Clock::now();
  limit.Spent(1000, start);
  limit.Spent(1000, start + 1h);
  EXPECT_EQ(limit.free_at(), start + 1h + 1s);
}

TEST(CompleterTest, EndsAtOnceWhateverItWaitsFor) {
  const Clock::time_point start = Clock::now();
  for (const Result<uint64_t>& step :
       {Result<uint64_t>(uint64_t{1} << 40), Result<uint64_t>(uint64_t{0}),
        Result<uint64_t>(Error(EIO))})
    Completer completer(
        1, [&] { return step; }, 0s);
  EXPECT_LT(Clock::now() - start, 4s);
}

TEST(CompleterTest, StepsAsOftenAsTheRateAllows) {
  std::atomic<int> steps{0};
  Completer completer(
      1, [&]() -> Result<uint64_t> { return ++steps < 3 ? 0 : uint64_t{1000}; },
      0s);
  // Two that find nothing to do come at once here; the third takes 1,000 s.
  const Clock::time_point start = Clock::now();
  while (steps < 3 && Clock::now() < start + 10s) std::this_thread::yield();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(steps, 3);
}

}  // namespace
}  // namespace ufs
