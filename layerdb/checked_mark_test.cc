#include "layerdb/checked_mark.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>

#include "tests/harness/scratch_dir.h"

namespace ufs {
namespace {

class CheckedMarkTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = sys::Open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY).value();
    Write("contents");
    // Longer than a tick of the clock that stamps it.
    usleep(150'000);
    if (sys::Statx({File()})->stx_ctime.tv_nsec == 0)
      GTEST_SKIP() << "this file system counts seconds";
  }
  void Write(const std::string& text) {
    std::ofstream(scratch_.path() + "/file") << text;
  }
  UniqueFd File() const {
    return sys::OpenAt({dir_, "file"}, O_RDONLY).value();
  }
  CheckedMark Mark() const { return {dir_, "mark", file_ = File()}; }

  test::ScratchDir scratch_;
  UniqueFd dir_;
  mutable UniqueFd file_;
};

TEST_F(CheckedMarkTest, HoldsOnceSet) {
  EXPECT_FALSE(Mark().Holds());
  Mark().Set();
  EXPECT_TRUE(Mark().Holds());
}

TEST_F(CheckedMarkTest, HoldsForNoOtherFile) {
  Mark().Set();
  ASSERT_EQ(rename((scratch_.path() + "/file").c_str(),
                   (scratch_.path() + "/old").c_str()),
            0);
  Write("contents");
  EXPECT_FALSE(Mark().Holds());
}

TEST_F(CheckedMarkTest, HoldsNotWhenTheFileWasWrittenTo) {
  Mark().Set();
  const std::string path = scratch_.path() + "/file";
  std::fstream(path, std::ios::in | std::ios::out) << "C";
  // As one would who hides it.
  const timespec times[2] = {{0, UTIME_OMIT}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_FALSE(Mark().Holds());
}

TEST_F(CheckedMarkTest, WhatIsWrittenWhileItIsCheckedIsSeen) {
  const CheckedMark mark = Mark();
  Write("CONTENTS");
  mark.Set();
  EXPECT_FALSE(Mark().Holds());
}

TEST_F(CheckedMarkTest, WhatMayStillChangeWithinATickGetsNone) {
  using Clock = std::chrono::steady_clock;
  for (int tries = 0; tries < 100; ++tries) {
    const auto start = Clock::now();
    Write("contents");
    const CheckedMark mark = Mark();
    // Somebody else had the processor.
    if (Clock::now() - start > std::chrono::milliseconds(50)) continue;
    mark.Set();
    EXPECT_FALSE(mark.Holds());
    EXPECT_NE(access((scratch_.path() + "/mark").c_str(), F_OK), 0);
    return;
  }
  GTEST_SKIP() << "this machine is too slow to tell";
}

TEST_F(CheckedMarkTest, ANoteOfAnotherStartDoesNotHold) {
  Mark().Set();
  const std::string path = scratch_.path() + "/mark";
  std::fstream(path, std::ios::in | std::ios::out) << "00000000";
  EXPECT_FALSE(Mark().Holds());
  Mark().Set();
  EXPECT_TRUE(Mark().Holds());
}

}  // namespace
}  // namespace ufs
