#include "fs/turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ufs {
namespace {

TEST(TurnsTest, NobodyWaitsForAnotherKey) {
  Turns<int> turns;
  const Turn first(turns, 1);
  for (int key = 2; key < 1000; ++key) const Turn other(turns, key);
  const TurnOfAll several(turns, {2, 3, 2});
  const TurnOfAll none(turns, std::vector<int>());
}

// Who waits for 1 and 2 keeps nobody from 2.
TEST(TurnsTest, WhoWaitsHoldsNone) {
  Turns<int> turns;
  std::thread waiting;
  std::atomic<bool> done = false;
  {
    const Turn first(turns, 1);
    waiting = std::thread([&] {
      const TurnOfAll both(turns, {2, 1});
      done = true;
    });
    for (int i = 0; i < 1000; ++i) {
      const Turn second(turns, 2);
      std::this_thread::yield();
    }
    EXPECT_FALSE(done);
  }
  waiting.join();
  EXPECT_TRUE(done);
}

TEST(TurnsTest, OneAtATimeForEach) {
  constexpr int kThreads = 8, kRounds = 2000, kKeys = 3;
  Turns<int> turns;
  std::atomic<int> inside[kKeys] = {};
  int done[kKeys] = {};  // guarded by the turn
  std::atomic<int> collisions = 0;
  const auto work = [&](int key) {
    if (++inside[key] != 1) ++collisions;
    ++done[key];
    --inside[key];
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const int a = (t + i) % kKeys, b = i % kKeys;
        if (t % 2 == 0) {
          const Turn turn(turns, a);
          work(a);
        } else {
          const TurnOfAll turn(turns, {a, b});
          work(a);
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(collisions, 0);
  EXPECT_EQ(done[0] + done[1] + done[2], kThreads * kRounds);
}

}  // namespace
}  // namespace ufs
