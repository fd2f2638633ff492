#include "fs/copy_turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ufs {
namespace {

TEST(CopyTurnsTest, NobodyWaitsForAnotherInode) {
  CopyTurns turns;
  const CopyTurns::Turn first(turns, NodeId{1});
  for (uint64_t id = 2; id < 1000; ++id)
    const CopyTurns::Turn other(turns, NodeId{id});
}

TEST(CopyTurnsTest, OneAtATimeForEach) {
  constexpr int kThreads = 8, kRounds = 2000, kInodes = 3;
  CopyTurns turns;
  std::atomic<int> inside[kInodes] = {};
  int done[kInodes] = {};  // guarded by the turn
  std::atomic<int> collisions = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const int n = (t + i) % kInodes;
        const CopyTurns::Turn turn(turns, NodeId{static_cast<uint64_t>(n + 1)});
        if (++inside[n] != 1) ++collisions;
        ++done[n];
        --inside[n];
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(collisions, 0);
  EXPECT_EQ(done[0] + done[1] + done[2], kThreads * kRounds);
}

}  // namespace
}  // namespace ufs
