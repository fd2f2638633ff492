#include "layerdb/base/fault.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace ufs {
namespace {

FaultPoint kStep("fault_test.step");
DonePoint kDone("fault_test.done");

class FaultTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(ArmFault("").ok()); }
};

TEST_F(FaultTest, PassesUnlessArmed) { EXPECT_TRUE(kStep.Visit().ok()); }

TEST_F(FaultTest, FailsTheNthVisitOnce) {
  ASSERT_TRUE(ArmFault("fault_test.step:ENOSPC:2").ok());
  EXPECT_EQ(kStep.Visit().code(), 0);
  EXPECT_EQ(kStep.Visit().code(), ENOSPC);
  EXPECT_EQ(kStep.Visit().code(), 0);
}

TEST_F(FaultTest, KillsTheProcess) {
  EXPECT_EXIT(
      {
        (void)ArmFault("fault_test.step:kill");
        (void)kStep.Visit();
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FaultTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(ArmFault("fault_test.step").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:EWHAT").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:EIO:0").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:EIO:2x").code(), EINVAL);
  EXPECT_EQ(ArmFault("fault_test.step:sleep=").code(), EINVAL);
  EXPECT_EQ(ArmFault("trace:/no/such/directory/t").code(), ENOENT);
  EXPECT_EQ(ArmFault("no.such.point:EIO").code(), EINVAL);
  EXPECT_TRUE(kStep.Visit().ok());
}

TEST_F(FaultTest, WhatIsDoneCannotFail) {
  EXPECT_EQ(ArmFault("fault_test.done:EIO").code(), EINVAL);
  EXPECT_EXIT(
      {
        (void)ArmFault("fault_test.done:kill");
        kDone.Visit();
      },
      testing::KilledBySignal(SIGKILL), "");
}

TEST_F(FaultTest, SleepsOnce) {
  ASSERT_TRUE(ArmFault("fault_test.step:sleep=50").ok());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(kStep.Visit().ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin,
            std::chrono::milliseconds(50));
}

TEST_F(FaultTest, SleepsNoLongerThanArmed) {
  ASSERT_TRUE(ArmFault("fault_test.step:sleep=3600000").ok());
  std::atomic<bool> done = false;
  std::thread sleeper([&] {
    EXPECT_TRUE(kStep.Visit().ok());
    done = true;
  });
  std::this_thread::yield();
  EXPECT_FALSE(done);
  ASSERT_TRUE(ArmFault("").ok());
  sleeper.join();
}

TEST_F(FaultTest, TracesEveryVisit) {
  const std::string path = testing::TempDir() + "/fault_test.trace";
  // In a process of its own: a trace goes on to its end.
  EXPECT_EXIT(
      {
        (void)ArmFault("trace:" + path);
        (void)kStep.Visit();
        kDone.Visit();
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
  std::ifstream in(path);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(text, "fault_test.step\nfault_test.done\n");
  remove(path.c_str());
}

TEST_F(FaultTest, AllAreKnown) {
  std::vector<std::string> names;
  for (const FaultPoint* point : FaultPoint::All())
    names.emplace_back(point->name());
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::count(names.begin(), names.end(), "fault_test.step"), 1);
  EXPECT_EQ(std::count(names.begin(), names.end(), "fault_test.done"), 1);
}

}  // namespace
}  // namespace ufs
