// The union of one whom the host does not obey: an ordinary user, without any
// capability. What his files' modes forbid, the kernel asks before it asks us;
// what we write beside them is no business of theirs.
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "fs/union_fixture.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

constexpr id_t kUser = 65534;
constexpr uint64_t kUserChunk = ChunkMap::kMinChunkBytes;

class UserTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    if (!IsHostRoot()) GTEST_SKIP() << "only root becomes somebody else";
    is_root_ = true;
  }
  void TearDown() override {
    fs_.reset();
    if (is_root_) {
      ASSERT_EQ(seteuid(0), 0);
      ASSERT_EQ(setegid(0), 0);
    }
    UnionFsTest::TearDown();
  }
  // All is his from now on. His capabilities go with the number.
  void BecomeUser() {
    ASSERT_EQ(chown(root_.c_str(), kUser, kUser), 0);
    for (const auto& entry : stdfs::recursive_directory_iterator(root_))
      ASSERT_EQ(lchown(entry.path().c_str(), kUser, kUser), 0);
    ASSERT_EQ(setegid(kUser), 0);
    ASSERT_EQ(seteuid(kUser), 0);
  }
  void MakeUnwritable(const std::string& path, mode_t mode) {
    ASSERT_EQ(chmod((root_ / path).c_str(), mode), 0);
  }
  Status SetMode(NodeId node, mode_t mode) {
    AttrChange change;
    change.mode = mode;
    const auto set = fs_->SetAttr(node, change, he_);
    return set.ok() ? Ok() : Status(set.error());
  }
  Status Touch(NodeId node) {
    AttrChange change;
    change.mtime = timespec{1000, 0};
    const auto set = fs_->SetAttr(node, change, he_);
    return set.ok() ? Ok() : Status(set.error());
  }
  mode_t Mode(const std::string& path) { return Stat(Walk(path)).mode & 07777; }
  mode_t HostMode(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(lstat((root_ / path).c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  }
  const Caller he_{kUser, kUser, 0, 022};

 private:
  bool is_root_ = false;
};

#define EXPECT_OK(expression)                          \
  do {                                                 \
    const auto done = (expression);                    \
    EXPECT_TRUE(done.ok()) << done.error().ToString(); \
  } while (false)

TEST_F(UserTest, FilesThatForbidWritingComeUp) {
  for (const char* name : {"changed", "moved", "touched", "linked"})
    Put(root_ / "base" / name, name);
  const char value[] = "kept";
  ASSERT_EQ(setxattr((root_ / "base/changed").c_str(), "user.k", value, 4, 0),
            0);
  for (const char* name : {"changed", "moved", "touched", "linked"})
    MakeUnwritable(std::string("base/") + name, 0444);
  BecomeUser();
  Mount();
  EXPECT_OK(SetMode(Walk("changed"), 0644));
  EXPECT_OK(fs_->Rename(NodeId::kRoot, N("moved"), NodeId::kRoot, N("g"), 0));
  EXPECT_OK(Touch(Walk("touched")));
  EXPECT_OK(fs_->Link(Walk("linked"), NodeId::kRoot, N("second")));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Mode("changed"), 0644u);
    EXPECT_EQ(fs_->GetXattr(Walk("changed"), "user.k").ok(), true);
    EXPECT_EQ(Mode("g"), 0444u);
    EXPECT_EQ(Read(Walk("g")), "moved");
    EXPECT_EQ(Mode("touched"), 0444u);
    EXPECT_EQ(Stat(Walk("touched")).mtime.tv_sec, 1000);
    EXPECT_EQ(Mode("second"), 0444u);
    EXPECT_EQ(Read(Walk("second")), "linked");
    EXPECT_EQ(HostMode("upper/g"), 0444u);
    EXPECT_EQ(HostMode("upper/touched"), 0444u);
    Mount();
  }
}

TEST_F(UserTest, DirectoriesThatForbidWritingComeUp) {
  Put(root_ / "base/changed/f", "f");
  Put(root_ / "base/outer/inner/f", "f");
  for (const char* path : {"changed", "outer/inner", "outer"})
    MakeUnwritable(std::string("base/") + path, 0555);
  BecomeUser();
  Mount();
  EXPECT_OK(SetMode(Walk("changed"), 0755));
  // Below it as well, for which nobody needs the directory's write permission.
  EXPECT_OK(SetMode(Walk("outer/inner/f"), 0600));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Mode("changed"), 0755u);
    EXPECT_EQ(Mode("outer"), 0555u);
    EXPECT_EQ(Mode("outer/inner"), 0555u);
    EXPECT_EQ(Mode("outer/inner/f"), 0600u);
    EXPECT_EQ(HostMode("upper/outer"), 0555u);
    EXPECT_EQ(HostMode("upper/outer/inner"), 0555u);
    Mount();
  }
  fs_.reset();
  // So that they can be removed.
  for (const char* layer : {"base", "upper"})
    for (const char* path : {"outer", "outer/inner"})
      MakeUnwritable(std::string(layer) + "/" + path, 0755);
}

TEST_F(UserTest, ANewDirectoryThatForbidsWritingHidesTheOld) {
  Put(root_ / "base/d/f", "f");
  BecomeUser();
  Mount();
  ASSERT_TRUE(fs_->Unlink(Walk("d"), N("f")).ok());
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("d")).ok());
  EXPECT_OK(fs_->MkDir(NodeId::kRoot, N("d"), 0555, he_));
  EXPECT_EQ(Mode("d"), 0555u);
  EXPECT_EQ(HostMode("upper/d"), 0555u);
  EXPECT_EQ(List("d").size(), 0u);
}

// As the owner's of any file: what the mode keeps from him is to read it.
TEST_F(UserTest, FilesThatForbidReadingAreTheirOwners) {
  for (const mode_t mode : {0200, 0000}) {
    const std::string kind = std::to_string(mode);
    for (const char* name : {"low", "meta", "empty"})
      Put(root_ / "base" / (name + kind),
          name == std::string("empty") ? "" : "0123");
    Put(root_ / "upper" / ("up" + kind), "0123");
  }
  BecomeUser();
  Mount();
  for (const mode_t mode : {0200, 0000}) {
    const std::string kind = std::to_string(mode);
    ASSERT_EQ(WriteAt(Walk("low" + kind), "x", 1), 0);
    ASSERT_TRUE(
        fs_->Create(NodeId::kRoot, N(("new" + kind).c_str()), mode, O_EXCL, he_)
            .ok());
    ASSERT_EQ(WriteAt(Walk("new" + kind), "0123", 0), 0);
    for (const char* name : {"low", "meta", "empty", "up"})
      EXPECT_OK(SetMode(Walk(name + kind), mode));
  }
  for (const mode_t mode : {0200, 0000}) {
    const std::string kind = std::to_string(mode);
    for (const char* name : {"low", "meta", "empty", "up", "new"}) {
      const std::string path = name + kind, moved = path + "-moved";
      SCOPED_TRACE(path);
      Mount();
      ASSERT_NE(Walk(path), NodeId::kNone);
      EXPECT_EQ(Mode(path), mode);
      AttrChange group;
      group.gid = kUser;
      EXPECT_TRUE(fs_->SetAttr(Walk(path), group, he_).ok());
      EXPECT_OK(Touch(Walk(path)));
      EXPECT_OK(fs_->Rename(NodeId::kRoot, N(path.c_str()), NodeId::kRoot,
                            N(moved.c_str()), 0));
      const uint64_t end = Stat(Walk(moved)).size_bytes;
      EXPECT_EQ(WriteAt(Walk(moved), "end", end), 0);
      EXPECT_EQ(WriteAt(Walk(moved), "y", 0), 0);
      EXPECT_OK(fs_->Link(Walk(moved), NodeId::kRoot, N(path.c_str())));
      EXPECT_EQ(List("").count(path), 1u);
      EXPECT_EQ(HostMode("upper/" + moved), mode);
      EXPECT_OK(fs_->Unlink(NodeId::kRoot, N(moved.c_str())));
      EXPECT_OK(SetMode(Walk(path), 0600));
      EXPECT_EQ(Read(Walk(path)).substr(0, 1), "y");
    }
  }
}

TEST_F(UserTest, DirectoriesThatForbidReadingAreTheirOwners) {
  Put(root_ / "base/d/f", "f");
  BecomeUser();
  Mount();
  EXPECT_OK(fs_->MkDir(NodeId::kRoot, N("new"), 0000, he_));
  EXPECT_OK(SetMode(Walk("d"), 0000));
  Mount();
  for (const char* name : {"d", "new"}) EXPECT_EQ(Mode(name), 0u);
  EXPECT_OK(fs_->Rename(NodeId::kRoot, N("d"), NodeId::kRoot, N("moved"), 0));
  EXPECT_OK(Touch(Walk("moved")));
  EXPECT_EQ(fs_->RmDir(NodeId::kRoot, N("moved")).code(), ENOTEMPTY);
  EXPECT_OK(fs_->RmDir(NodeId::kRoot, N("new")));
  EXPECT_OK(SetMode(Walk("moved"), 0700));
  Mount();
  EXPECT_EQ(List(""), std::set<std::string>{"moved"});
  EXPECT_EQ(Read(Walk("moved/f")), "f");
}

// Who has a file open writes to it, whatever became of its directory.
TEST_F(UserTest, AFileComesUpIntoADirectoryThatForbidsAll) {
  Put(root_ / "base/d/f", "text");
  BecomeUser();
  Mount();
  const NodeId file = Walk("d/f");
  EXPECT_OK(SetMode(Walk("d"), 0000));
  EXPECT_EQ(*fs_->Write(file, "T", 1, 0, nullptr), 1u);
  EXPECT_EQ(HostMode("upper/d"), 0u);
  EXPECT_OK(SetMode(Walk("d"), 0700));
  EXPECT_EQ(Read(Walk("d/f")), "Text");
}

// It goes with the whiteouts in it, for which nobody needs the right to write
// to it.
TEST_F(UserTest, EmptiedDirectoriesThatForbidWritingGo) {
  const std::vector<std::pair<std::string, mode_t>> kinds = {{"r-x", 0555},
                                                             {"---", 0000}};
  for (const auto& [kind, mode] : kinds)
    for (const char* name : {"removed", "moved", "replaced", "other"})
      Put(root_ / "base" / (name + kind) / "f", "f");
  BecomeUser();
  Mount();
  for (const auto& [kind, mode] : kinds) {
    SCOPED_TRACE(kind);
    std::map<std::string, NodeId> nodes;
    for (const char* name : {"removed", "moved", "replaced"}) {
      const NodeId dir = nodes[name] = Walk(name + kind);
      ASSERT_TRUE(fs_->Unlink(dir, N("f")).ok());
    }
    const std::string moved = "moved" + kind, away = "away" + kind;
    const std::string replaced = "replaced" + kind, other = "other" + kind;
    EXPECT_OK(fs_->Rename(NodeId::kRoot, N(moved.c_str()), NodeId::kRoot,
                          N(away.c_str()), 0));
    for (const auto& [name, dir] : nodes) EXPECT_OK(SetMode(dir, mode));
    EXPECT_OK(fs_->RmDir(NodeId::kRoot, N(("removed" + kind).c_str())));
    EXPECT_OK(fs_->RmDir(NodeId::kRoot, N(away.c_str())));
    EXPECT_OK(fs_->Rename(NodeId::kRoot, N(other.c_str()), NodeId::kRoot,
                          N(replaced.c_str()), 0));
    EXPECT_EQ(Read(Walk(replaced + "/f")), "f");
    // Who has them open sees them as they were.
    for (const auto& [name, dir] : nodes)
      EXPECT_EQ(Stat(dir).mode & 07777, mode) << name;
  }
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/tmp"));
  Mount();
  EXPECT_EQ(List(""), (std::set<std::string>{"replacedr-x", "replaced---"}));
}

TEST_F(UserTest, LookersAtOnceSeeNoModeThatIsLent) {
  Put(root_ / "base/f", "text");
  BecomeUser();
  Mount();
  EXPECT_OK(SetMode(Walk("f"), 0));
  std::atomic<int> failed{0}, showed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const auto found = fs_->Lookup(NodeId::kRoot, N("f"));
        if (!found.ok() || !found->has_value())
          ++failed;
        else if (((*found)->attr.mode & 07777) != 0)
          ++showed;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(showed, 0);
  EXPECT_EQ(HostMode("upper/f"), 0u);
}

// One waits with a mode that is lent until we let it go on.
TEST_F(UserTest, NobodyWaitsForAModeLentToAnotherObject) {
  for (const char* name : {"a", "b"}) {
    Put(root_ / "upper" / name, name);
    MakeUnwritable(std::string("upper/") + name, 0444);
  }
  BecomeUser();
  Mount();
  const NodeId a = Walk("a"), b = Walk("b");
  ASSERT_TRUE(ArmFault("lent.mode:sleep=3600000").ok());
  std::atomic<bool> looks{false};
  mode_t seen = 0;
  std::thread reads_a([&] { EXPECT_EQ(Read(a), "a"); });
  AwaitFault();
  std::thread looks_at_a([&] {
    looks = true;
    seen = Mode("a");
  });
  while (!looks) std::this_thread::yield();
  EXPECT_TRUE(EndsMeanwhile([&] {
    EXPECT_EQ(Read(b), "b");
    EXPECT_EQ(Mode("b"), 0444u);
    EXPECT_OK(SetMode(b, 0400));
    EXPECT_EQ(Mode("b"), 0400u);
  }));
  reads_a.join();
  looks_at_a.join();
  EXPECT_EQ(seen, 0444u);
  EXPECT_EQ(HostMode("upper/a"), 0444u);
  EXPECT_EQ(HostMode("upper/b"), 0400u);
}

TEST_F(UserTest, ModesThatAreSetMeanwhileStay) {
  constexpr int kFiles = 2, kRounds = 500;
  const std::vector<mode_t> modes = {0, 0111, 0222};  // nobody may read it
  const auto name = [](int n) { return "f" + std::to_string(n); };
  for (int n = 0; n < kFiles; ++n) Put(root_ / "base" / name(n), "text");
  BecomeUser();
  Mount();
  for (int n = 0; n < kFiles; ++n) EXPECT_OK(SetMode(Walk(name(n)), 0));
  std::atomic<int> failed{0}, showed{0};
  std::vector<std::thread> threads;
  for (int n = 0; n < kFiles; ++n) {
    threads.emplace_back([&, n] {
      const NodeId f = Walk(name(n));
      for (int i = 0; i <= kRounds; ++i) {
        const mode_t mode = modes[i % modes.size()];
        if (!SetMode(f, mode).ok()) ++failed;
        const auto attr = fs_->GetAttr(f);
        if (!attr.ok() || (attr->mode & 07777) != mode) ++failed;
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string looked_at = name(i % kFiles);
        const auto found = fs_->Lookup(NodeId::kRoot, N(looked_at.c_str()));
        if (!found.ok() || !found->has_value())
          ++failed;
        else if (std::find(modes.begin(), modes.end(),
                           (*found)->attr.mode & 07777) == modes.end())
          ++showed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(showed, 0) << "a mode that was only lent";
  for (int n = 0; n < kFiles; ++n)
    EXPECT_EQ(HostMode("upper/" + name(n)), modes[kRounds % modes.size()]);
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/lent"));
}

class NotGivenBackUserTest : public UserTest {
 protected:
  void SetUp() override {
    UserTest::SetUp();
    if (IsSkipped()) return;
    Put(root_ / "upper/f", "text");
    MakeUnwritable("upper/f", 0444);
    BecomeUser();
    Mount();
    ASSERT_TRUE(ArmFault("lent.mode_back:EIO").ok());
    EXPECT_EQ(Read(Walk("f")), "text");
    ASSERT_TRUE(ArmFault("").ok());
    ASSERT_EQ(HostMode("upper/f"), 0644u);
    ASSERT_TRUE(HasNotes());
  }
  bool HasNotes() { return !stdfs::is_empty(root_ / "upper.work/ufs/lent"); }
};

TEST_F(NotGivenBackUserTest, TheNextMountDoesIt) {
  Mount();
  EXPECT_EQ(HostMode("upper/f"), 0444u);
  EXPECT_FALSE(HasNotes());
}

TEST_F(NotGivenBackUserTest, WhatIsSetAfterwardsStays) {
  EXPECT_OK(SetMode(Walk("f"), 0400));
  EXPECT_FALSE(HasNotes());
  EXPECT_OK(fs_->SetXattr(Walk("f"), "user.k", "v", 0, he_));  // lends again
  EXPECT_EQ(HostMode("upper/f"), 0400u);
  Mount();
  EXPECT_EQ(HostMode("upper/f"), 0400u);
}

TEST_F(NotGivenBackUserTest, TheNextToWhomItIsLentDoesIt) {
  MakeUnwritable("upper/f", 0400);  // from outside
  EXPECT_OK(fs_->SetXattr(Walk("f"), "user.k", "v", 0, he_));
  EXPECT_EQ(HostMode("upper/f"), 0444u);
  EXPECT_FALSE(HasNotes());
}

// Who opened it for writing goes on when the mode is taken from it. Once with a
// file that stays split, once with one that does not.
TEST_F(UserTest, AHalfFileThatForbidsWritingIsWritten) {
  const std::vector<std::pair<const char*, uint64_t>> files = {
      {"large", 400 * kUserChunk}, {"small", 10 * kUserChunk}};
  for (const auto& [name, size] : files)
    Put(root_ / "base" / name, std::string(size, '.'));
  BecomeUser();
  Mount();
  for (const auto& [name, size] : files) {
    const NodeId f = Walk(name);
    ASSERT_EQ(WriteAt(f, "x", 0), 0);
    EXPECT_OK(SetMode(f, 0444));
    EXPECT_EQ(WriteAt(f, "y", 2 * kUserChunk), 0);
    EXPECT_OK(fs_->Settle());
    EXPECT_OK(Touch(f));
    std::string text(3 * kUserChunk, '\0');
    const auto got =
        fs_->Read(f, text.data(), text.size(), 0, UnionFs::Wait::kMayWait);
    ASSERT_TRUE(got.ok()) << got.error().ToString();
    EXPECT_EQ(text.substr(0, 2), "x.");
    EXPECT_EQ(text.substr(2 * kUserChunk, 2), "y.");
    EXPECT_EQ(HostMode(std::string("upper/") + name), 0444u);
  }
  const std::string upper = root_ / "upper/small";
  EXPECT_LT(getxattr(upper.c_str(), "user.overlay.metacopy", nullptr, 0), 0);
  EXPECT_EQ(Get(upper).substr(9 * kUserChunk), std::string(kUserChunk, '.'));
}

// No bits are lent to what is another's.
TEST_F(UserTest, AnothersFileIsReadAndNotWritten) {
  Put(root_ / "upper/f", "text");
  MakeUnwritable("upper/f", 0644);
  BecomeUser();
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(chown((root_ / "upper/f").c_str(), 0, 0), 0);
  ASSERT_EQ(seteuid(kUser), 0);
  Mount();
  EXPECT_EQ(Read(Walk("f")), "text");
  EXPECT_EQ(WriteAt(Walk("f"), "x", 0), EACCES);
  EXPECT_EQ(fs_->SetXattr(Walk("f"), "user.k", "v", 0, he_).code(), EACCES);
  EXPECT_EQ(HostMode("upper/f"), 0644u);
}

TEST_F(UserTest, ReadersAtOnceLeaveTheModeAlone) {
  constexpr int kRounds = 150, kThreads = 4;
  Put(root_ / "upper/f", "text");
  MakeUnwritable("upper/f", 0444);
  BecomeUser();
  for (int round = 0; round < kRounds; ++round) {
    Mount();
    const NodeId f = Walk("f");
    std::atomic<int> ready{0};
    std::atomic<int> failed{0}, showed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        char text[8];
        if (t > 0 &&
            fs_->Read(f, text, sizeof(text), 0, UnionFs::Wait::kMayWait)
                    .code() != 0)
          ++failed;
        for (int i = 0; t == 0 && i < 20; ++i) {
          const auto attr = fs_->GetAttr(f);
          if (!attr.ok() || (attr->mode & 07777) != 0444) ++showed;
        }
      });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(showed, 0) << "a mode that was only lent";
    ASSERT_EQ(HostMode("upper/f"), 0444u) << "round " << round;
  }
}

}  // namespace
}  // namespace ufs
