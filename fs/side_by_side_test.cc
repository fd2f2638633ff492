// Who works on one object waits for nobody who works on another: one waits at a
// fault point until we let him go on, and meanwhile the others finish.
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <atomic>
#include <thread>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

class SideBySideTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    for (const char* dir : {"a", "b"}) {
      Put(root_ / "base" / dir / "low", dir);
      Put(root_ / "base" / dir / "dir/below", dir);
    }
    Mount();
    a_ = Walk("a");
    b_ = Walk("b");
  }
  Status ChangeMode(NodeId node, mode_t mode) {
    AttrChange change;
    change.mode = mode;
    const auto set = fs_->SetAttr(node, change, root_caller_);
    return set.ok() ? Ok() : Status(set.error());
  }

  NodeId a_{}, b_{};
};

TEST_F(SideBySideTest, DirectoriesMove) {
  ASSERT_TRUE(ArmFault("rename.moved:sleep=3600000").ok());
  std::thread moves_a([&] {
    EXPECT_EQ(fs_->Rename(a_, N("dir"), a_, N("moved"), 0).code(), 0);
  });
  AwaitFault();
  EXPECT_TRUE(EndsMeanwhile([&] {
    EXPECT_EQ(fs_->Rename(b_, N("dir"), b_, N("moved"), 0).code(), 0);
    EXPECT_EQ(Read(Walk("b/moved/below")), "b");
  }));
  moves_a.join();
  EXPECT_EQ(Read(Walk("a/moved/below")), "a");
}

// With file flags (chattr) where the host has them.
class FixedTest : public SideBySideTest {
 protected:
  void SetUp() override {
    SideBySideTest::SetUp();
    for (const NodeId dir : {a_, b_})
      if (SetFlags(dir, FS_IMMUTABLE_FL) != 0)
        GTEST_SKIP() << "the host keeps no file flags, or not from us";
  }
  void TearDown() override {
    (void)ArmFault("");
    for (const NodeId dir : {a_, b_}) (void)SetFlags(dir, 0);
    SideBySideTest::TearDown();
  }
  int SetFlags(NodeId node, int flags) {
    return fs_->Ioctl(node, FS_IOC_SETFLAGS, &flags).code();
  }
  int Fixing(NodeId node) {
    int flags = 0;
    EXPECT_TRUE(fs_->Ioctl(node, FS_IOC_GETFLAGS, &flags).ok());
    return flags & (FS_IMMUTABLE_FL | FS_APPEND_FL);
  }
  int FixingOnHost(const char* path) {
    int flags = 0;
    const int fd = open((root_ / path).c_str(), O_RDONLY);
    EXPECT_EQ(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
    close(fd);
    return flags & (FS_IMMUTABLE_FL | FS_APPEND_FL);
  }
  bool HasNotes() { return !stdfs::is_empty(root_ / "upper.work/ufs/lent"); }
};

TEST_F(FixedTest, FilesComeUpIntoFixedDirectories) {
  const NodeId low_a = Walk("a/low"), low_b = Walk("b/low");
  ASSERT_TRUE(ArmFault("lent.flags:sleep=3600000").ok());
  std::atomic<bool> looks{false};
  int seen = 0;
  std::thread changes_a([&] { EXPECT_TRUE(ChangeMode(low_a, 0600).ok()); });
  AwaitFault();
  std::thread looks_at_a([&] {
    looks = true;
    seen = Fixing(a_);
  });
  while (!looks) std::this_thread::yield();
  EXPECT_TRUE(EndsMeanwhile([&] {
    EXPECT_TRUE(ChangeMode(low_b, 0600).ok());
    EXPECT_EQ(Fixing(b_), FS_IMMUTABLE_FL);
    EXPECT_EQ(SetFlags(b_, FS_APPEND_FL), 0);
    EXPECT_EQ(Fixing(b_), FS_APPEND_FL);
  }));
  changes_a.join();
  looks_at_a.join();
  EXPECT_EQ(seen, FS_IMMUTABLE_FL);
  EXPECT_EQ(FixingOnHost("upper/a"), FS_IMMUTABLE_FL);
  EXPECT_FALSE(HasNotes());
}

TEST_F(FixedTest, FlagsThatAreSetMeanwhileStay) {
  constexpr int kFiles = 100;
  const int choices[] = {FS_IMMUTABLE_FL, FS_APPEND_FL};
  for (const char* dir : {"a", "b"})
    for (int i = 0; i < kFiles; ++i)
      Put(root_ / "base" / dir / ("f" + std::to_string(i)), "f");
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (const NodeId dir : {a_, b_}) {
    threads.emplace_back([&, dir] {
      for (int i = 0; i < kFiles; ++i) {
        const std::string name = "f" + std::to_string(i);
        const auto found = fs_->Lookup(dir, N(name.c_str()));
        if (!found.ok() || !found->has_value() ||
            !ChangeMode((**found).node, 0600).ok())
          ++failed;
      }
    });
    threads.emplace_back([&, dir] {
      for (int i = 0; i < kFiles; ++i) {
        const int flag = choices[i % 2];
        if (SetFlags(dir, flag) != 0 || Fixing(dir) != flag) ++failed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  for (const char* dir : {"upper/a", "upper/b"})
    EXPECT_EQ(FixingOnHost(dir), choices[(kFiles - 1) % 2]);
  EXPECT_FALSE(HasNotes());
}

// What cannot be given back is left to the next mount.
class NotGivenBackTest : public FixedTest {
 protected:
  void SetUp() override {
    FixedTest::SetUp();
    if (IsSkipped()) return;
    const NodeId low = Walk("a/low");
    ASSERT_TRUE(ArmFault("lent.flags_back:EIO").ok());
    EXPECT_TRUE(ChangeMode(low, 0600).ok());
    ASSERT_TRUE(ArmFault("").ok());
    ASSERT_EQ(FixingOnHost("upper/a"), 0);
    ASSERT_TRUE(HasNotes());
  }
  void MountAgain() {
    Mount();
    a_ = Walk("a");
    b_ = Walk("b");
  }
};

TEST_F(NotGivenBackTest, TheNextMountDoesIt) {
  EXPECT_EQ(fs_->Unlink(a_, N("low")).code(), EPERM);
  EXPECT_TRUE(ChangeMode(Walk("a/dir/below"), 0600).ok());
  EXPECT_TRUE(HasNotes());
  MountAgain();
  EXPECT_EQ(FixingOnHost("upper/a"), FS_IMMUTABLE_FL);
  EXPECT_FALSE(HasNotes());
}

TEST_F(NotGivenBackTest, WhatIsSetAfterwardsStays) {
  ASSERT_EQ(SetFlags(a_, 0), 0);
  EXPECT_FALSE(HasNotes());
  MountAgain();
  EXPECT_EQ(FixingOnHost("upper/a"), 0);
}

}  // namespace
}  // namespace ufs
