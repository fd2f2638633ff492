#include "fs/upper_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "layerdb/base/mount_info.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// A device of nothing that is mounted.
const dev_t kNoMount = makedev(4095, 1);

class UpperLockTest : public testing::Test {
 protected:
  UpperLockTest() {
    std::string path = testing::TempDir() + "upper_lock.XXXXXX";
    work_ = mkdtemp(path.data());
    const UniqueFd work = OpenWork();
    ufs_ = MakeDir({work, "ufs"}, 0700).value();
  }
  ~UpperLockTest() override {
    EXPECT_TRUE(RemoveTree({AT_FDCWD, work_.c_str()}).ok());
  }

  UniqueFd OpenWork() const {
    return sys::Open(work_.c_str(), O_RDONLY | O_DIRECTORY).value();
  }
  // As another mount has it.
  UniqueFd Hold() const {
    UniqueFd fd = OpenWork();
    EXPECT_TRUE(sys::FLock(fd, LOCK_EX | LOCK_NB).ok());
    return fd;
  }
  Status Lock() const {
    const UniqueFd fd = OpenWork();
    return LockForMount(fd, "upper directory x", work_);
  }

  std::string work_;
  UniqueFd ufs_;
};

TEST_F(UpperLockTest, IsHadWhereNobodyHasIt) {
  ASSERT_TRUE(NoteMount(ufs_, kNoMount).ok());
  EXPECT_TRUE(Lock().ok());
}

TEST_F(UpperLockTest, NamesTheMountThatHasIt) {
  const std::vector<MountInfo> mounts = ReadMountInfo();
  ASSERT_FALSE(mounts.empty());
  const UniqueFd held = Hold();
  ASSERT_TRUE(NoteMount(ufs_, mounts.front().device).ok());
  const auto start = steady_clock::now();
  const Status locked = Lock();
  EXPECT_LT(steady_clock::now() - start, milliseconds(900));
  EXPECT_EQ(locked.code(), EBUSY);
  EXPECT_NE(locked.error().ToString().find(
                "upper directory x is in use by the mount at " +
                mounts.front().mountpoint),
            std::string::npos)
      << locked.error().ToString();
}

TEST_F(UpperLockTest, WaitsForADaemonWhoseMountIsGone) {
  UniqueFd held = Hold();
  ASSERT_TRUE(NoteMount(ufs_, kNoMount).ok());
  std::thread daemon([&] {
    std::this_thread::sleep_for(milliseconds(1500));
    held.reset();
  });
  EXPECT_TRUE(Lock().ok());
  daemon.join();
}

TEST_F(UpperLockTest, WaitsForNobodyElse) {
  const UniqueFd held = Hold();
  for (const std::string note :
       {"", "nonsense", "1 0:1", "0 0:1 pid:[1]", "1 0:1 pid:[1]"}) {
    ASSERT_TRUE(ReplaceFile(ufs_, "mount", note).ok());
    const auto start = steady_clock::now();
    EXPECT_EQ(Lock().code(), EBUSY) << note;
    EXPECT_LT(steady_clock::now() - start, seconds(5)) << note;
  }
}

TEST_F(UpperLockTest, WhatLiesThereStopsNobody) {
  const std::string note = work_ + "/ufs/mount";
  ASSERT_EQ(mkfifo(note.c_str(), 0600), 0);
  {
    const UniqueFd held = Hold();
    EXPECT_EQ(Lock().code(), EBUSY);
  }
  EXPECT_TRUE(NoteMount(ufs_, kNoMount).ok());
  EXPECT_TRUE(Lock().ok());
}

TEST_F(UpperLockTest, AnothersFileIsNotWrittenTo) {
  const std::string other = work_ + "/other", note = work_ + "/ufs/mount";
  ASSERT_TRUE(ReplaceFile(OpenWork(), "other", "kept").ok());
  ASSERT_EQ(link(other.c_str(), note.c_str()), 0);
  EXPECT_TRUE(NoteMount(ufs_, kNoMount).ok());
  EXPECT_EQ(ReadSmallFile({AT_FDCWD, other.c_str()}, 100).value(), "kept");
}

TEST_F(UpperLockTest, TheNoteIsTheLast) {
  ASSERT_TRUE(NoteMount(ufs_, makedev(4095, 1048575)).ok());
  ASSERT_TRUE(NoteMount(ufs_, makedev(0, 7)).ok());
  const std::string note = ReadSmallFile({ufs_, "mount"}, 100).value();
  EXPECT_EQ(note.find(std::to_string(getpid()) + " 0:7 pid:["), 0u) << note;
  EXPECT_EQ(note.find('\n'), note.size() - 1) << note;
}

}  // namespace
}  // namespace ufs
