#include "fs/removal_fence.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <string>

namespace ufs {
namespace {

using std::chrono::milliseconds;

constexpr NodeId kFile{7}, kOther{8}, kDir{2};
constexpr milliseconds kPatient{60000};

TEST(RemovalFenceTest, WhoAsksWaitsUntilItIsPassed) {
  std::latch asked(1), release(1);
  std::atomic<bool> passed{false};
  std::string name;
  RemovalFence fence(
      [&](NodeId dir, const std::string& text) {
        EXPECT_EQ(dir, kDir);
        name = text;
        asked.count_down();
        release.wait();
        passed = true;
      },
      kPatient);
  EXPECT_FALSE(fence.MustWait(kFile));
  fence.Wait(kFile);  // for nothing
  fence.Note(kFile, kDir, "gone");
  EXPECT_TRUE(fence.MustWait(kFile));
  EXPECT_FALSE(fence.MustWait(kOther));
  std::thread waits([&] {
    fence.Wait(kFile);
    EXPECT_TRUE(passed);
  });
  asked.wait();
  EXPECT_TRUE(fence.MustWait(kFile));
  release.count_down();
  waits.join();
  EXPECT_EQ(name, "gone");
  EXPECT_FALSE(fence.MustWait(kFile));
}

// A pass that is under way began before the second removal.
TEST(RemovalFenceTest, AnotherRemovalIsPassedByItself) {
  std::atomic<int> passes{0};
  RemovalFence fence([&](NodeId, const std::string&) { ++passes; }, kPatient);
  fence.Note(kFile, kDir, "one");
  fence.Wait(kFile);
  fence.Note(kFile, kDir, "two");
  EXPECT_TRUE(fence.MustWait(kFile));
  fence.Wait(kFile);
  EXPECT_EQ(passes, 2);
}

TEST(RemovalFenceTest, NobodyWaitsForEver) {
  std::latch release(1);
  RemovalFence fence([&](NodeId, const std::string&) { release.wait(); },
                     milliseconds(10));
  fence.Note(kFile, kDir, "gone");
  fence.Wait(kFile);
  EXPECT_TRUE(fence.MustWait(kFile));
  release.count_down();
}

TEST(RemovalFenceTest, StopFreesWhoWaits) {
  std::latch asked(1), release(1);
  RemovalFence fence(
      [&](NodeId, const std::string&) {
        asked.count_down();
        release.wait();
      },
      kPatient);
  fence.Note(kFile, kDir, "gone");
  std::thread waits([&] { fence.Wait(kFile); });
  asked.wait();
  std::thread stops([&] { fence.Stop(); });
  waits.join();
  release.count_down();
  stops.join();
  EXPECT_FALSE(fence.MustWait(kFile));
}

TEST(RemovalFenceTest, RemembersNoMoreThanItHasRoomFor) {
  RemovalFence fence([](NodeId, const std::string&) {}, kPatient);
  constexpr uint64_t kMany = 1000;
  int remembered = 0;
  for (uint64_t i = 1; i <= kMany; ++i) fence.Note(NodeId{i}, kDir, "n");
  for (uint64_t i = 1; i <= kMany; ++i) remembered += fence.MustWait(NodeId{i});
  EXPECT_TRUE(fence.MustWait(NodeId{kMany}));
  EXPECT_LE(remembered, 256);
}

}  // namespace
}  // namespace ufs
