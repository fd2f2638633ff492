// The union without FUSE: the rules of fs/README.md on small trees. What a
// kernel adds is tested by tests/semantics.
#include <sys/resource.h>

#include <thread>
#include <vector>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

TEST_F(UnionFsTest, TheTopmostLayerShows) {
  Put(root_ / "base/f", "base");
  Put(root_ / "app/f", "app");
  Put(root_ / "base/only", "below");
  Mount();
  EXPECT_EQ(Read(Walk("f")), "app");
  EXPECT_EQ(Read(Walk("only")), "below");
  EXPECT_EQ(Walk("none"), NodeId::kNone);
}

TEST_F(UnionFsTest, AWriteMovesTheFileUpAndLeavesTheLayerAlone) {
  Put(root_ / "base/d/f", "hello");
  Mount();
  const NodeId f = Walk("d/f");
  const uint64_t ino = Stat(f).ino;
  ASSERT_EQ(WriteAt(f, "J", 0), 0);
  EXPECT_EQ(Read(f), "Jello");
  EXPECT_EQ(Get(root_ / "base/d/f"), "hello");
  EXPECT_EQ(Get(root_ / "upper/d/f"), "Jello");
  EXPECT_EQ(Stat(f).ino, ino);
  Mount();
  EXPECT_EQ(Stat(Walk("d/f")).ino, ino);
}

// With verify=on a contents is hashed before its first byte is read.
TEST_F(UnionFsTest, WhatIsVerifiedIsReadByWhoMayWait) {
  Put(root_ / "base/f", "f");
  Put(root_ / "upper/new", "new");
  UnionConfig config = Config();
  config.verify = true;
  auto fs = UnionFs::Open(config);
  ASSERT_TRUE(fs.ok()) << fs.error().ToString();
  fs_ = std::move(*fs);
  char byte = 0;
  const auto read = [&](const char* name, UnionFs::Wait wait) {
    return fs_->Read(Walk(name), &byte, 1, 0, wait).code();
  };
  EXPECT_EQ(read("f", UnionFs::Wait::kNoWait), EAGAIN);
  EXPECT_EQ(read("f", UnionFs::Wait::kMayWait), 0);
  EXPECT_EQ(byte, 'f');
  EXPECT_EQ(read("new", UnionFs::Wait::kMayWait), 0);
  EXPECT_EQ(byte, 'n');
}

TEST_F(UnionFsTest, ReadingLeavesNoTraceInTheAccessTime) {
  Put(root_ / "base/low/f", "f");
  Put(root_ / "upper/up/f", "f");
  // Long ago, so that even relatime would write a new one.
  const timespec times[2] = {{1000, 0}, {1000000000, 0}};
  for (const char* path : {"base/low/f", "base/low", "upper/up/f", "upper/up"})
    ASSERT_EQ(utimensat(AT_FDCWD, (root_ / path).c_str(), times, 0), 0);
  Mount();
  for (const char* dir : {"low", "up"}) {
    EXPECT_EQ(List(dir), std::set<std::string>{"f"});
    const NodeId f = Walk(std::string(dir) + "/f");
    EXPECT_EQ(Read(f), "f");
    EXPECT_EQ(Stat(f).atime.tv_sec, 1000);
    EXPECT_EQ(Stat(Walk(dir)).atime.tv_sec, 1000);
  }
}

TEST_F(UnionFsTest, AModeChangeCopiesNoData) {
  Put(root_ / "base/f", std::string(100000, 'x'));
  Mount();
  AttrChange change;
  change.mode = 0600;
  const NodeId f = Walk("f");
  ASSERT_TRUE(fs_->SetAttr(f, change, {}).ok());
  EXPECT_EQ(Stat(f).mode & 07777, 0600u);
  EXPECT_EQ(Stat(f).size_bytes, 100000u);
  EXPECT_EQ(fs_->Stats().copy_ups_data, 0u);
  struct stat upper;
  ASSERT_EQ(stat((root_ / "upper/f").c_str(), &upper), 0);
  EXPECT_LE(upper.st_blocks, 8);  // at most a block of attributes
  Mount();
  EXPECT_EQ(Read(Walk("f")).substr(0, 3), "xxx");
  ASSERT_EQ(WriteAt(Walk("f"), "y", 1), 0);
  EXPECT_EQ(Read(Walk("f")).substr(0, 3), "xyx");
}

TEST_F(UnionFsTest, ARemovedMergedDirectoryHasNoNames) {
  Put(root_ / "base/d/f", "1");
  Mount();
  const NodeId d = Walk("d");
  ASSERT_TRUE(fs_->Unlink(d, N("f")).ok());
  EXPECT_EQ(Stat(d).nlink, 1u);
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("d")).ok());
  EXPECT_EQ(Stat(d).nlink, 0u);
}

// The host pays for one inode, however many names are deleted.
TEST_F(UnionFsTest, WhiteoutsAreNamesOfOneObject) {
  for (const char* name : {"f", "g", "h", "d/i"})
    Put(root_ / "base" / name, "1");
  Mount();
  for (const char* name : {"f", "g"})
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N(name)).ok());
  ASSERT_TRUE(fs_->Unlink(Walk("d"), N("i")).ok());
  const auto upper_of = [&](const char* name) {
    struct stat st {};
    EXPECT_EQ(lstat((root_ / "upper" / name).c_str(), &st), 0) << name;
    return st;
  };
  const struct stat first = upper_of("f");
  EXPECT_EQ(first.st_nlink, 3u);
  EXPECT_EQ(upper_of("g").st_ino, first.st_ino);
  EXPECT_EQ(upper_of("d/i").st_ino, first.st_ino);
  EXPECT_EQ(List("d"), std::set<std::string>());
  // New objects take their places; the next whiteout is a new one.
  for (const char* name : {"f", "g"})
    ASSERT_TRUE(
        fs_->Create(NodeId::kRoot, N(name), 0644, O_EXCL, root_caller_).ok());
  ASSERT_TRUE(fs_->Create(Walk("d"), N("i"), 0644, O_EXCL, root_caller_).ok());
  EXPECT_TRUE(S_ISREG(upper_of("f").st_mode));
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("f")).ok());
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("h")).ok());
  EXPECT_EQ(upper_of("f").st_ino, upper_of("h").st_ino);
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/tmp"));
  Mount();
  EXPECT_EQ(List(""), (std::set<std::string>{"d", "g"}));
  // Of another daemon's making, and as good.
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("g")).ok());
  EXPECT_EQ(List(""), std::set<std::string>{"d"});
}

TEST_F(UnionFsTest, DeletedNamesStayDeleted) {
  Put(root_ / "base/f", "1");
  Put(root_ / "base/d/g", "2");
  Mount();
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("f")).ok());
  EXPECT_EQ(fs_->RmDir(NodeId::kRoot, N("d")).code(), ENOTEMPTY);
  ASSERT_TRUE(fs_->Unlink(Walk("d"), N("g")).ok());
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("d")).ok());
  EXPECT_EQ(List(""), std::set<std::string>());
  Mount();
  EXPECT_EQ(Walk("f"), NodeId::kNone);
  EXPECT_EQ(Walk("d"), NodeId::kNone);
  ASSERT_TRUE(fs_->MkDir(NodeId::kRoot, N("d"), 0755, root_caller_).ok());
  EXPECT_EQ(List("d"), std::set<std::string>());
}

TEST_F(UnionFsTest, ALowerDirectoryIsRenamedWithoutItsContents) {
  Put(root_ / "base/d/deep/f", "data");
  Put(root_ / "app/d/g", "more");
  Mount();
  const uint64_t ino = Stat(Walk("d/deep/f")).ino;
  ASSERT_TRUE(
      fs_->Rename(NodeId::kRoot, N("d"), NodeId::kRoot, N("e"), 0).ok());
  EXPECT_EQ(Walk("d"), NodeId::kNone);
  EXPECT_EQ(Read(Walk("e/deep/f")), "data");
  EXPECT_EQ(fs_->Stats().copy_ups_data, 0u);
  Mount();
  EXPECT_EQ(List("e"), (std::set<std::string>{"deep", "g"}));
  EXPECT_EQ(Read(Walk("e/deep/f")), "data");
  EXPECT_EQ(Stat(Walk("e/deep/f")).ino, ino);
  ASSERT_TRUE(fs_->Rename(Walk("e"), N("deep"), NodeId::kRoot, N("d"), 0).ok());
  Mount();
  EXPECT_EQ(Read(Walk("d/f")), "data");
  EXPECT_EQ(List("d"), std::set<std::string>{"f"});
}

TEST_F(UnionFsTest, ARenamedUpperCanBeALayer) {
  Put(root_ / "base/a/c/f", "old");
  Mount();
  ASSERT_TRUE(
      fs_->Rename(NodeId::kRoot, N("a"), NodeId::kRoot, N("b"), 0).ok());
  // The old name comes back, with a child that has the name of a moved one.
  ASSERT_TRUE(fs_->MkDir(NodeId::kRoot, N("a"), 0755, root_caller_).ok());
  ASSERT_TRUE(fs_->MkDir(Walk("a"), N("c"), 0755, root_caller_).ok());
  fs_.reset();
  stdfs::create_directory(root_ / "upper2");
  UnionConfig config = Config();
  config.layers.push_back(root_ / "upper");
  config.upper = root_ / "upper2";
  fs_ = UnionFs::Open(config).value();
  EXPECT_EQ(Read(Walk("b/c/f")), "old");
  ASSERT_TRUE(
      fs_->Rename(Walk("b"), N("c"), NodeId::kRoot, N("moved"), 0).ok());
  fs_.reset();
  fs_ = UnionFs::Open(config).value();
  EXPECT_EQ(Read(Walk("moved/f")), "old");
  EXPECT_EQ(List("a/c"), std::set<std::string>());
}

TEST_F(UnionFsTest, HardLinksStayOneFile) {
  Put(root_ / "base/a", "one");
  stdfs::create_hard_link(root_ / "base/a", root_ / "base/b");
  Mount();
  EXPECT_EQ(Walk("a"), Walk("b"));
  ASSERT_EQ(WriteAt(Walk("a"), "O", 0), 0);
  EXPECT_EQ(Read(Walk("b")), "One");
  EXPECT_EQ(Stat(Walk("b")).nlink, 2u);
  ASSERT_TRUE(fs_->Link(Walk("b"), NodeId::kRoot, N("c")).ok());
  EXPECT_EQ(Stat(Walk("a")).nlink, 3u);
  Mount();
  EXPECT_EQ(Walk("a"), Walk("b"));
  EXPECT_EQ(Walk("a"), Walk("c"));
  EXPECT_EQ(Read(Walk("b")), "One");
  for (const char* name : {"a", "b", "c"}) {
    const NodeId node = Walk(name);
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N(name)).ok()) << name;
    EXPECT_EQ(Read(node), "One");
  }
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/index"));
  EXPECT_EQ(List(""), std::set<std::string>());
}

TEST_F(UnionFsTest, AnUnlinkedFileLivesOnInEveryState) {
  for (const char* name : {"lower", "meta", "upper"})
    Put(root_ / "base" / name, "text");
  Mount();
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(Walk("meta"), change, {}).ok());
  ASSERT_EQ(WriteAt(Walk("upper"), "t", 0), 0);
  for (const char* name : {"lower", "meta", "upper"}) {
    const NodeId node = Walk(name);
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N(name)).ok()) << name;
    EXPECT_EQ(Read(node), "text") << name;
    EXPECT_EQ(Stat(node).nlink, 0u) << name;
    ASSERT_EQ(WriteAt(node, "T", 0), 0) << name;
    EXPECT_EQ(Read(node), "Text") << name;
    EXPECT_EQ(Stat(node).nlink, 0u) << name;
  }
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/tmp"));
}

TEST_F(UnionFsTest, AFailedCopyUpChangesNothing) {
  Put(root_ / "base/f", "text");
  Mount();
  ASSERT_TRUE(ArmFault("copy_up.attributes:ENOSPC").ok());
  EXPECT_EQ(WriteAt(Walk("f"), "T", 0), ENOSPC);
  EXPECT_EQ(Read(Walk("f")), "text");
  EXPECT_FALSE(stdfs::exists(root_ / "upper/f"));
  EXPECT_EQ(WriteAt(Walk("f"), "T", 0), 0);
  EXPECT_EQ(Read(Walk("f")), "Text");
}

// The target had given way to an empty directory.
TEST_F(UnionFsTest, AFailedRenameOverAnEmptiedDirectoryLeavesIt) {
  Put(root_ / "base/d/f", "1");
  Put(root_ / "base/e/g", "2");
  Mount();
  const NodeId d = Walk("d");
  ASSERT_TRUE(fs_->SetXattr(d, "user.k", "v", 0, root_caller_).ok());
  ASSERT_TRUE(fs_->Unlink(d, N("f")).ok());
  const uint64_t ino = Stat(d).ino;
  const auto rename = [&] {
    return fs_->Rename(NodeId::kRoot, N("e"), NodeId::kRoot, N("d"), 0).code();
  };
  ASSERT_TRUE(ArmFault("rename.marked:ENOSPC").ok());
  EXPECT_EQ(rename(), ENOSPC);
  EXPECT_EQ(Walk("d"), d);
  EXPECT_EQ(Stat(d).nlink, 1u);
  EXPECT_EQ(List("d"), std::set<std::string>());
  ASSERT_TRUE(fs_->Create(d, N("new"), 0644, O_EXCL, root_caller_).ok());
  EXPECT_EQ(List("e"), std::set<std::string>{"g"});
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/tmp"));
  Mount();
  EXPECT_EQ(Stat(Walk("d")).ino, ino);
  EXPECT_TRUE(fs_->GetXattr(Walk("d"), "user.k").ok());
  EXPECT_EQ(List("d"), std::set<std::string>{"new"});
  EXPECT_EQ(List("e"), std::set<std::string>{"g"});
  ASSERT_TRUE(fs_->Unlink(Walk("d"), N("new")).ok());
  EXPECT_EQ(rename(), 0);
  EXPECT_EQ(List("d"), std::set<std::string>{"g"});
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/tmp"));
}

TEST_F(UnionFsTest, ReaddirOffsetsOutliveChanges) {
  for (int i = 0; i < 500; ++i) Put(root_ / "base/d" / std::to_string(i), "");
  Mount();
  const NodeId d = Walk("d");
  NameSink sink;
  int round = 0;
  size_t before;
  do {
    before = sink.names.size();
    sink.Again(7);
    ASSERT_TRUE(fs_->ReadDir(d, sink.offset, false, sink).ok());
    // Others come and go, and the listing is forgotten, meanwhile.
    const std::string name = "new" + std::to_string(round++);
    ASSERT_TRUE(
        fs_->Create(d, N(name.c_str()), 0644, O_EXCL, root_caller_).ok());
    NameSink fresh;
    ASSERT_TRUE(fs_->ReadDir(d, 0, false, fresh).ok());
  } while (sink.names.size() != before);
  EXPECT_FALSE(sink.doubled);
  for (int i = 0; i < 500; ++i)
    EXPECT_EQ(sink.names.count(std::to_string(i)), 1u) << i;
}

// Or the kernel keeps what it says as the end of a later reader's listing.
TEST_F(UnionFsTest, AReaderUnderWayHearsOfChanges) {
  for (int i = 0; i < 50; ++i) Put(root_ / "base/d" / std::to_string(i), "");
  Mount();
  const NodeId d = Walk("d");
  NameSink sink;
  sink.Again(7);
  ASSERT_TRUE(fs_->ReadDir(d, 0, false, sink).ok());
  const auto listed = sink.names;
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(fs_->Unlink(d, N(std::to_string(i).c_str())).ok());
  sink.Again(1000);
  ASSERT_TRUE(fs_->ReadDir(d, sink.offset, false, sink).ok());
  EXPECT_EQ(sink.names, listed);
}

TEST_F(UnionFsTest, ListedNumbersAreStatNumbers) {
  Put(root_ / "base/d/lower", "1");
  Put(root_ / "base/d/up", "2");
  Put(root_ / "app/d/sub/x", "3");
  Mount();
  ASSERT_EQ(WriteAt(Walk("d/up"), "x", 0), 0);
  ASSERT_TRUE(
      fs_->Create(Walk("d"), N("new"), 0644, O_EXCL, root_caller_).ok());
  NameSink sink;
  ASSERT_TRUE(fs_->ReadDir(Walk("d"), 0, false, sink).ok());
  for (const char* name : {"lower", "up", "sub", "new"})
    EXPECT_EQ(sink.inos[name], Stat(Walk(std::string("d/") + name)).ino)
        << name;
}

TEST_F(UnionFsTest, ForgottenInodesLeaveTheTable) {
  for (int i = 0; i < 100; ++i) Put(root_ / "base/d" / std::to_string(i), "");
  Mount();
  std::vector<NodeId> nodes;
  for (int i = 0; i < 100; ++i) {
    const NodeId d = Walk("d");
    nodes.push_back(d);
    auto entry = fs_->Lookup(d, N(std::to_string(i).c_str()));
    nodes.push_back((**entry).node);
  }
  EXPECT_EQ(fs_->Stats().inodes, 102u);
  for (const NodeId node : nodes) fs_->Forget(node, 1);
  EXPECT_EQ(fs_->Stats().inodes, 1u);
}

TEST_F(UnionFsTest, NamesLikeWhiteoutsAreNames) {
  Mount();
  ASSERT_TRUE(
      fs_->Create(NodeId::kRoot, N(".wh.x"), 0644, O_EXCL, root_caller_).ok());
  ASSERT_TRUE(
      fs_->Create(NodeId::kRoot, N("x"), 0644, O_EXCL, root_caller_).ok());
  Mount();
  EXPECT_EQ(List(""), (std::set<std::string>{".wh.x", "x"}));
}

TEST_F(UnionFsTest, AnUpperInUseIsRefused) {
  Mount();
  const auto second = UnionFs::Open(Config());
  EXPECT_EQ(second.code(), EBUSY);
  EXPECT_NE(second.error().ToString().find("in use"), std::string::npos);
}

TEST_F(UnionFsTest, AVolatileUpperIsRefusedAfterwards) {
  UnionConfig config = Config();
  config.durability = Durability::kVolatile;
  ASSERT_TRUE(UnionFs::Open(config).ok());
  EXPECT_EQ(UnionFs::Open(Config()).code(), EINVAL);
  stdfs::remove_all(root_ / "upper.work/work/incompat/volatile");
  EXPECT_TRUE(UnionFs::Open(Config()).ok());
}

// --- several threads --------------------------------------------------------

TEST_F(UnionFsTest, TwoWritersCopyOnce) {
  for (int i = 0; i < 50; ++i)
    Put(root_ / "base/d" / std::to_string(i), std::string(8192, '.'));
  Mount();
  for (int i = 0; i < 50; ++i) {
    const NodeId node = Walk("d/" + std::to_string(i));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        EXPECT_EQ(WriteAt(node, "abcd" + std::to_string(t), 100 * t), 0);
        char buffer[8192];
        EXPECT_EQ(*fs_->Read(node, buffer, sizeof(buffer), 0,
                             UnionFs::Wait::kMayWait),
                  8192u);
      });
    for (auto& thread : threads) thread.join();
    const std::string text = Get(root_ / "upper/d" / std::to_string(i));
    for (int t = 0; t < 4; ++t)
      EXPECT_EQ(text.substr(100 * t, 5), "abcd" + std::to_string(t));
  }
  EXPECT_EQ(fs_->Stats().copy_ups_partial, 50u);
  EXPECT_EQ(fs_->Stats().copy_up_bytes, 50u * 8192);
}

// The host's directory has neither the group nor the bit that its override
// says.
TEST_F(UnionFsTest, AGroupIsInheritedFromAnOverride) {
  fs_.reset();
  UnionConfig config = Config();
  config.keep_owners_in_xattrs = true;
  auto fs = UnionFs::Open(config);
  ASSERT_TRUE(fs.ok()) << fs.error().ToString();
  fs_ = std::move(*fs);
  const Caller me{geteuid(), getegid(), 0, 022};
  const auto made = fs_->MkDir(NodeId::kRoot, N("d"), 0755, me);
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  AttrChange change;
  change.gid = 1005;
  change.mode = 02775;
  ASSERT_TRUE(fs_->SetAttr(made->node, change, me).ok());
  ASSERT_TRUE(fs_->MkDir(made->node, N("sub"), 0777, me).ok());
  ASSERT_TRUE(fs_->Create(made->node, N("f"), 0666, O_RDWR, me).ok());
  EXPECT_EQ(Stat(Walk("d/sub")).gid, 1005u);
  EXPECT_EQ(Stat(Walk("d/sub")).mode & 07777, 02755u);
  EXPECT_EQ(Stat(Walk("d/f")).gid, 1005u);
  EXPECT_EQ(Stat(Walk("d/f")).mode & 07777, 0644u);
  // And goes on to what is made below.
  ASSERT_TRUE(fs_->MkDir(Walk("d/sub"), N("deep"), 0777, me).ok());
  EXPECT_EQ(Stat(Walk("d/sub/deep")).gid, 1005u);
  // No longer than the override says so.
  change.gid.reset();
  change.mode = 0775;
  ASSERT_TRUE(fs_->SetAttr(made->node, change, me).ok());
  ASSERT_TRUE(fs_->MkDir(made->node, N("plain"), 0777, me).ok());
  EXPECT_EQ(Stat(Walk("d/plain")).gid, getegid());
  EXPECT_EQ(Stat(Walk("d/plain")).mode & 07777, 0755u);
}

// A copy-up keeps the times of its directory, but for what others do there.
TEST_F(UnionFsTest, ACopyUpTakesNoTimesBack) {
  Put(root_ / "base/d/f", "1");
  Put(root_ / "base/d/sub/g", "2");
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (root_ / "base/d").c_str(), old, 0), 0);
  Mount();
  const NodeId d = Walk("d");
  AttrChange change;
  change.mtime = timespec{1000, 0};
  for (const char* name : {"f", "sub"}) {
    ASSERT_TRUE(fs_->SetAttr(d, change, root_caller_).ok());
    const std::string point =
        name == std::string("f") ? "published" : "dir_published";
    ASSERT_TRUE(ArmFault("copy_up." + point + ":sleep=200").ok());
    std::thread copy([&] {
      AttrChange mode;
      mode.mode = 0700;
      EXPECT_TRUE(fs_->SetAttr(Walk(std::string("d/") + name), mode, {}).ok());
    });
    AwaitFault();
    const std::string other = std::string("beside-") + name;
    EXPECT_TRUE(
        fs_->Create(d, N(other.c_str()), 0644, O_EXCL, root_caller_).ok());
    copy.join();
    EXPECT_NE(Stat(d).mtime.tv_sec, 1000) << name;
  }
}

// Between its step on the host and the one in the table the names that lead
// through it lead nowhere.
TEST_F(UnionFsTest, WhatIsBelowADirectoryThatMovesIsFound) {
  constexpr int kOthers = 40;
  Put(root_ / "upper/a/sub/f", "1");
  Put(root_ / "upper/c/other", "2");
  for (int i = 0; i < kOthers; ++i)
    Put(root_ / "upper/many" / std::to_string(i) / "f", "3");
  // Descriptors for fewer directories than these.
  rlimit usual{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit few{kOthers, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  Mount();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  struct Step {
    const char *from, *to;
    unsigned flags;
  };
  for (const Step& step :
       {Step{"a", "b", 0}, Step{"b", "c", RENAME_EXCHANGE}}) {
    const NodeId f = Walk(std::string(step.from) + "/sub/f");
    for (int i = 0; i < kOthers; ++i)
      (void)Walk("many/" + std::to_string(i) + "/f");
    ASSERT_TRUE(ArmFault("rename.moved:sleep=200").ok());
    std::thread move([&] {
      EXPECT_EQ(fs_->Rename(NodeId::kRoot, N(step.from), NodeId::kRoot,
                            N(step.to), step.flags)
                    .code(),
                0);
    });
    AwaitFault();
    const auto attr = fs_->GetAttr(f);
    EXPECT_TRUE(attr.ok()) << attr.error().ToString();
    move.join();
    EXPECT_EQ(Read(f), "1");
  }
}

TEST_F(UnionFsTest, NamesMoveAboutUnderManyThreads) {
  for (int i = 0; i < 8; ++i)
    Put(root_ / "base/d" / std::to_string(i) / "f", std::to_string(i));
  Mount();
  const NodeId d = Walk("d");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const std::string mine = std::to_string(t);
      const std::string away = "away" + mine;
      for (int round = 0; round < 60; ++round) {
        EXPECT_EQ(
            fs_->Rename(d, N(mine.c_str()), NodeId::kRoot, N(away.c_str()), 0)
                .code(),
            0);
        EXPECT_EQ(Read(Walk(away + "/f")), mine);
        (void)fs_->Rename(d, N("6"), d, N("7"), RENAME_EXCHANGE);
        NameSink sink;
        EXPECT_TRUE(fs_->ReadDir(d, 0, true, sink).ok());
        EXPECT_EQ(
            fs_->Rename(NodeId::kRoot, N(away.c_str()), d, N(mine.c_str()), 0)
                .code(),
            0);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(List("d").size(), 8u);
  Mount();
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(Read(Walk("d/" + std::to_string(i) + "/f")), std::to_string(i));
}

}  // namespace
}  // namespace ufs
