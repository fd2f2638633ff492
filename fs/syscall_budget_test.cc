// How many system calls the union makes on the host for what programs do most.
// A process that holds the union is traced; what memory and locks cost is left
// out. One more is a regression.
#include <functional>

#include "fs/traced_run.h"
#include "fs/union_fixture.h"

namespace ufs {
namespace {

class SyscallBudgetTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    Put(root_ / "base/dir/file", "content");
    Put(root_ / "base/dir/other", "content");
    Put(root_ / "base/dir/third", "content");
    Mount();
    dir_ = Walk("dir");
    // The directory is in the upper, and there is a whiteout.
    ASSERT_TRUE(fs_->Unlink(dir_, N("third")).ok());
  }

  void ExpectAtMost(int budget, const std::function<bool()>& body) {
    const int64_t calls = CallsOf(body);
    if (calls < 0) GTEST_SKIP() << "processes may not be traced here";
    EXPECT_LE(calls, budget);
    EXPECT_GT(calls, 0);
  }

  static constexpr int kLayers = 20;
  NodeId dir_ = NodeId::kNone;
};

// The names of a directory are read when that costs no more than asking for
// those it has not: then the object alone is asked for, and its marks.
TEST_F(SyscallBudgetTest, LookupInManyLayersAsksThoseThatHaveTheName) {
  UnionConfig config = Config();
  config.upper.reset();
  config.layers.clear();
  for (int i = 0; i < kLayers; ++i) {
    config.layers.push_back(root_ / ("layer" + std::to_string(i)));
    Put(config.layers.back() + "/many/own" + std::to_string(i), "content");
  }
  for (int i = 0; i < 4; ++i)
    Put(root_ / ("layer0/many/deep" + std::to_string(i)), "content");
  fs_.reset();
  fs_ = UnionFs::Open(config).value();
  const NodeId many = Walk("many");
  ASSERT_TRUE(fs_->Lookup(many, N("deep0")).ok());
  ASSERT_TRUE(fs_->Lookup(many, N("deep1")).ok());
  ExpectAtMost(2, [&] { return fs_->Lookup(many, N("deep2")).ok(); });
  ExpectAtMost(2, [&] { return fs_->Lookup(many, N("own7")).ok(); });
}

// Upper, layer, whiteout: what the upper does not have, and a layer has, need
// not be asked for again.
TEST_F(SyscallBudgetTest, UnlinkOfALowerFile) {
  ExpectAtMost(4, [&] { return fs_->Unlink(dir_, N("file")).ok(); });
}

TEST_F(SyscallBudgetTest, ChangingTheModeOfALowerFile) {
  const NodeId file = Walk("dir/file");
  AttrChange change;
  change.mode = 0600;
  ExpectAtMost(21, [&] { return fs_->SetAttr(file, change, {}).ok(); });
}

// Of a file with many names each comes into the upper once: the last costs what
// the first ones do.
TEST_F(SyscallBudgetTest, ChangingAFileThroughEachOfItsNames) {
  constexpr int kNames = 200, kEarly = 10;
  const auto name_of = [](int i) { return "name" + std::to_string(i); };
  Put(root_ / "base/names/name0", "content");
  for (int i = 1; i < kNames; ++i)
    stdfs::create_hard_link(root_ / "base/names/name0",
                            root_ / "base/names" / name_of(i));
  Mount();
  const NodeId names = Walk("names");
  AttrChange change;
  change.mode = 0600;
  const auto change_by = [&](int i) {
    const std::string name = name_of(i);
    const auto found = fs_->Lookup(names, N(name.c_str()));
    return found.ok() && found->has_value() &&
           fs_->SetAttr((**found).node, change, {}).ok();
  };
  int64_t early = 0;
  for (int i = 0; i < kNames - 1; ++i) {
    if (i == kEarly) early = CallsOf([&] { return change_by(i); });
    ASSERT_TRUE(change_by(i));
  }
  if (early < 0) GTEST_SKIP() << "processes may not be traced here";
  EXPECT_GT(early, 0);
  EXPECT_LE(CallsOf([&] { return change_by(kNames - 1); }), early);
  struct stat stat {};
  ASSERT_EQ(lstat((root_ / "upper/names/name198").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_nlink, nlink_t{kNames + 1}) << "and the index's";
  // No name is left.
  const NodeId file = Walk("names/name0");
  const auto change_it = [&] { return fs_->SetAttr(file, change, {}).ok(); };
  EXPECT_LT(CallsOf(change_it), early);
}

TEST_F(SyscallBudgetTest, AppendToALowerFile) {
  const NodeId file = Walk("dir/file");
  ExpectAtMost(30, [&] { return WriteAt(file, "more", 7) == 0; });
}

// The first write copies its chunk, the next one to it nothing.
TEST_F(SyscallBudgetTest, WritesToLargeLowerFiles) {
  for (const char* name : {"first", "next"})
    Put(root_ / "base/dir" / name, std::string(4 << 20, 'l'));
  Mount();
  const NodeId first = Walk("dir/first"), next = Walk("dir/next");
  ASSERT_EQ(WriteAt(next, "x", 1 << 20), 0);
  ExpectAtMost(21, [&] { return WriteAt(first, "x", 1 << 20) == 0; });
  ExpectAtMost(1, [&] { return WriteAt(next, "y", (1 << 20) + 5) == 0; });
}

TEST_F(SyscallBudgetTest, ReadsOfALowerFile) {
  const NodeId file = Walk("dir/file");
  const auto read = [&] {
    char byte;
    return fs_->Read(file, &byte, 1, 0, UnionFs::Wait::kMayWait).ok();
  };
  ExpectAtMost(2, read);
  ASSERT_TRUE(read());
  ExpectAtMost(1, read);
}

TEST_F(SyscallBudgetTest, MkDir) {
  ASSERT_EQ(Walk("dir/new"), NodeId::kNone);
  ExpectAtMost(
      2, [&] { return fs_->MkDir(dir_, N("new"), 0755, root_caller_).ok(); });
}

TEST_F(SyscallBudgetTest, RenameOfAFileOfTheUpper) {
  ASSERT_TRUE(fs_->Create(dir_, N("new"), 0644, O_EXCL, root_caller_).ok());
  ASSERT_EQ(Walk("dir/newer"), NodeId::kNone);
  ExpectAtMost(
      8, [&] { return fs_->Rename(dir_, N("new"), dir_, N("newer"), 0).ok(); });
}

TEST_F(SyscallBudgetTest, RenameOfALowerFile) {
  ASSERT_NE(Walk("dir/file"), NodeId::kNone);
  ExpectAtMost(35, [&] {
    return fs_->Rename(dir_, N("file"), dir_, N("moved"), 0).ok();
  });
}

// Whatever is in it.
TEST_F(SyscallBudgetTest, RenameOfALowerDirectory) {
  for (int i = 0; i < 100; ++i)
    Put(root_ / "base/tree/sub" / std::to_string(i), "content");
  Mount();
  ASSERT_NE(Walk("tree/sub"), NodeId::kNone);
  ExpectAtMost(46, [&] {
    return fs_->Rename(NodeId::kRoot, N("tree"), NodeId::kRoot, N("moved"), 0)
        .ok();
  });
}

TEST_F(SyscallBudgetTest, LinkOfAFileOfTheUpper) {
  ASSERT_TRUE(fs_->Create(dir_, N("new"), 0644, O_EXCL, root_caller_).ok());
  const NodeId file = Walk("dir/new");
  ASSERT_EQ(Walk("dir/other-name"), NodeId::kNone);
  ExpectAtMost(2, [&] { return fs_->Link(file, dir_, N("other-name")).ok(); });
}

// fdatasync leaves out attributes, and those that say which of the data counts
// may have changed since it came to the disk.
TEST_F(SyscallBudgetTest, FDataSyncSyncsMarksThatChangedOnce) {
  Put(root_ / "base/large", std::string(4 << 20, 'l'));
  const NodeId large = Walk("large");
  ASSERT_EQ(WriteAt(large, "x", 0), 0);
  ASSERT_TRUE(fs_->Settle().ok());
  const auto sync = [&] { return fs_->FSync(large, /*data_only=*/true).ok(); };
  const int64_t once = CallsOf(sync);
  if (once < 0) GTEST_SKIP() << "processes may not be traced here";
  EXPECT_EQ(once, 2);
  EXPECT_EQ(CallsOf([&] { return sync() && sync(); }), once + 1);
}

TEST_F(SyscallBudgetTest, Create) {
  ASSERT_EQ(Walk("dir/new"), NodeId::kNone);
  ExpectAtMost(2, [&] {
    return fs_->Create(dir_, N("new"), 0644, O_EXCL, root_caller_).ok();
  });
}

// What the kernel asks before and after it: the directory has marks, which say
// nothing that stat(2) shows.
TEST_F(SyscallBudgetTest, AttributesBesideACreation) {
  const auto made = fs_->Create(dir_, N("new"), 0644, O_EXCL, root_caller_);
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(fs_->GetAttr(dir_).ok());
  ExpectAtMost(1, [&] { return fs_->GetAttr(dir_).ok(); });
  const auto has_no_capability = [&] {
    return fs_->GetXattr(made->node, kCapabilityXattr).code() == ENODATA;
  };
  const int64_t calls = CallsOf(has_no_capability);
  EXPECT_TRUE(calls <= 0) << calls << " calls for what a new file has not";
}

// The directory's own whiteouts are known without a look at each; two calls
// keep its times for who has it open.
TEST_F(SyscallBudgetTest, RemovingADirectoryAsksForNoWhiteout) {
  ASSERT_TRUE(fs_->Unlink(dir_, N("file")).ok());
  ASSERT_TRUE(fs_->Unlink(dir_, N("other")).ok());
  ASSERT_TRUE(List("dir").empty());
  ExpectAtMost(46, [&] { return fs_->RmDir(NodeId::kRoot, N("dir")).ok(); });
}

}  // namespace
}  // namespace ufs
