// An upper that begins afresh (frozen_upper.h): nobody sees anything of it.
#include <sys/wait.h>
#include <sys/xattr.h>

#include <tuple>
#include <vector>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

// What is seen of an object.
struct Seen {
  uint64_t ino, listed_ino, size_bytes;
  mode_t mode;
  uint32_t nlink;
  int64_t mtime_sec;
  long mtime_nsec;
  std::string contents;

  auto all() const {
    return std::tie(ino, listed_ino, size_bytes, mode, nlink, mtime_sec,
                    mtime_nsec, contents);
  }
  bool operator==(const Seen& other) const { return all() == other.all(); }
};

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << "ino " << seen.ino << " listed as " << seen.listed_ino
             << ", mode " << std::oct << seen.mode << std::dec << ", "
             << seen.nlink << " names, " << seen.size_bytes << " bytes, mtime "
             << seen.mtime_sec << "." << seen.mtime_nsec << ": "
             << seen.contents.substr(0, 40);
}

using Tree = std::map<std::string, Seen>;

class UnionFreezeTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    for (const char* path :
         {"base/d/changed", "base/d/same", "base/meta", "base/gone", "base/h1",
          "base/old/deep/touched", "base/old/deep/same", "base/cut/below",
          "base/file-to-dir", "app/d/app", "base/m/lower"})
      Put(root_ / path, path);
    Put(root_ / "base/large", std::string(2 << 20, 'l'));
    stdfs::create_hard_link(root_ / "base/h1", root_ / "base/d/h2");
    stdfs::create_hard_link(root_ / "base/h1", root_ / "base/h3");
  }

  NodeId Make(const std::string& dir, const char* name,
              const std::string& text) {
    auto made = fs_->Create(Walk(dir), N(name), 0644, O_EXCL, root_caller_);
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    if (!made.ok()) return NodeId::kNone;
    EXPECT_EQ(WriteAt(made->node, text, 0), 0);
    return made->node;
  }
  void Chmod(const std::string& path, mode_t mode) {
    AttrChange change;
    change.mode = mode;
    EXPECT_TRUE(fs_->SetAttr(Walk(path), change, {}).ok()) << path;
  }
  void MakeDir(const std::string& dir, const char* name) {
    EXPECT_TRUE(fs_->MkDir(Walk(dir), N(name), 0755, root_caller_).ok());
  }
  void Move(const std::string& dir, const char* name, const std::string& to,
            const char* new_name) {
    const Status moved =
        fs_->Rename(Walk(dir), N(name), Walk(to), N(new_name), 0);
    EXPECT_TRUE(moved.ok()) << name << ": " << moved.error().ToString();
  }

  // Something of each kind comes to the upper.
  void ChangeAll() {
    ASSERT_EQ(WriteAt(Walk("d/changed"), "upper", 0), 0);
    ASSERT_EQ(WriteAt(Walk("large"), "upper", 1 << 20), 0);
    Chmod("meta", 0600);
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("gone")).ok());
    ASSERT_EQ(WriteAt(Walk("h1"), "upper", 0), 0);
    Move("", "h3", "d", "h4");
    Move("", "old", "", "new");
    ASSERT_EQ(WriteAt(Walk("new/deep/touched"), "upper", 0), 0);
    ASSERT_TRUE(fs_->Unlink(Walk("cut"), N("below")).ok());
    ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("cut")).ok());
    MakeDir("", "cut");
    Make("cut", "born", "born");
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("file-to-dir")).ok());
    MakeDir("", "file-to-dir");
    Move("", "m", "file-to-dir", "m");
    const NodeId born = Make("", "born", "twice");
    ASSERT_TRUE(fs_->Link(born, Walk("d"), N("born-too")).ok());
    ASSERT_TRUE(
        fs_->Symlink(NodeId::kRoot, N("link"), "d/same", root_caller_).ok());
    ASSERT_TRUE(
        fs_->MkNod(Walk("d"), N("fifo"), S_IFIFO | 0640, 0, root_caller_).ok());
  }

  void Look(const std::string& path, Tree& tree) {
    NameSink sink;
    ASSERT_TRUE(fs_->ReadDir(Walk(path), 0, false, sink).ok()) << path;
    for (const auto& [name, listed] : sink.inos) {
      if (name == "." || name == "..") continue;
      const std::string below = path.empty() ? name : path + "/" + name;
      const NodeId node = Walk(below);
      const Attr attr = Stat(node);
      std::string contents;
      if (S_ISREG(attr.mode)) contents = Read(node);
      if (S_ISLNK(attr.mode)) contents = *fs_->ReadLink(node);
      tree[below] = {attr.ino,
                     listed,
                     S_ISDIR(attr.mode) ? 0 : attr.size_bytes,
                     attr.mode,
                     attr.nlink,
                     attr.mtime.tv_sec,
                     attr.mtime.tv_nsec,
                     contents};
      if (S_ISDIR(attr.mode)) Look(below, tree);
    }
  }
  Tree All() {
    Tree tree;
    Look("", tree);
    return tree;
  }

  Status Freeze() {
    EXPECT_TRUE(fs_->CompleteAll().ok());
    return fs_->Freeze();
  }
  bool UpperIsEmpty() const { return stdfs::is_empty(root_ / "upper"); }
};

void ExpectEqual(const Tree& before, const Tree& after) {
  for (const auto& [path, seen] : before) {
    const auto now = after.find(path);
    ASSERT_NE(now, after.end()) << path << " is gone";
    EXPECT_EQ(now->second, seen) << path;
  }
  EXPECT_EQ(before.size(), after.size());
}

TEST_F(UnionFreezeTest, NobodySeesIt) {
  Mount();
  ChangeAll();
  ASSERT_TRUE(fs_->CompleteAll().ok());
  const Tree before = All();
  ASSERT_EQ(before.at("d/h2").contents, "upperh1");
  ASSERT_TRUE(Freeze().ok());
  EXPECT_TRUE(UpperIsEmpty());
  EXPECT_TRUE(stdfs::is_empty(root_ / "upper.work/ufs/index"));
  ExpectEqual(before, All());
  Mount();
  ExpectEqual(before, All());
}

// Of what nobody had looked at, only the frozen index knows.
TEST_F(UnionFreezeTest, EveryNameOfAHardLinkFollows) {
  Mount();
  const NodeId h1 = Walk("h1");
  ASSERT_EQ(WriteAt(h1, "upper", 0), 0);
  ASSERT_TRUE(Freeze().ok());
  EXPECT_EQ(Read(Walk("d/h2")), "upperh1");
  EXPECT_EQ(Walk("d/h2"), h1);
  EXPECT_EQ(Stat(h1).nlink, 3u);
  Mount();
  EXPECT_EQ(Read(Walk("h3")), "upperh1");
  Chmod("h3", 0600);
  EXPECT_EQ(Stat(Walk("h1")).mode & 07777, 0600u);
  ASSERT_TRUE(Freeze().ok());
  Mount();
  EXPECT_EQ(Read(Walk("d/h2")), "upperh1");
  EXPECT_EQ(Stat(Walk("d/h2")).mode & 07777, 0600u);
  ASSERT_EQ(WriteAt(Walk("d/h2"), "again", 0), 0);
  ASSERT_TRUE(Freeze().ok());
  EXPECT_EQ(Read(Walk("h1")), "againh1");
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("h1")).ok());
  EXPECT_EQ(Stat(Walk("h3")).nlink, 2u);
}

// Each kind of change again, over a layer that was an upper, by nodes that were
// known before.
TEST_F(UnionFreezeTest, WhatWasFrozenComesUpAgain) {
  Mount();
  ChangeAll();
  std::map<std::string, NodeId> nodes;
  for (const auto& [path, seen] : All()) nodes[path] = Walk(path);
  ASSERT_TRUE(Freeze().ok());
  const Tree frozen = All();
  ASSERT_EQ(WriteAt(nodes.at("d/changed"), "AGAIN", 0), 0);
  EXPECT_EQ(Read(Walk("d/changed")), "AGAINd/changed");
  ASSERT_EQ(WriteAt(nodes.at("born"), "AGAIN", 0), 0);
  EXPECT_EQ(Read(Walk("d/born-too")), "AGAIN");
  EXPECT_EQ(Stat(Walk("born")).ino, frozen.at("born").ino);
  EXPECT_EQ(Stat(Walk("born")).nlink, 2u);
  Chmod("large", 0640);
  Chmod("new/deep/same", 0640);
  Chmod("h1", 0640);
  Move("", "new", "d", "newer");
  EXPECT_EQ(Walk("d/newer/deep/touched"), nodes.at("new/deep/touched"));
  Move("file-to-dir", "m", "", "m");
  ASSERT_TRUE(fs_->Unlink(Walk("cut"), N("born")).ok());
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("cut")).ok());
  Make("", "gone", "is back");
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("link")).ok());
  const Tree before = All();
  EXPECT_EQ(before.at("d/newer/deep/same").contents, "base/old/deep/same");
  EXPECT_EQ(before.at("m/lower").contents, "base/m/lower");
  EXPECT_EQ(before.at("h1").contents, "upperh1");
  EXPECT_EQ(before.at("large").size_bytes, uint64_t{2} << 20);
  Mount();
  ExpectEqual(before, All());
  ASSERT_TRUE(Freeze().ok());
  EXPECT_TRUE(UpperIsEmpty());
  ExpectEqual(before, All());
  Mount();
  ExpectEqual(before, All());
}

TEST_F(UnionFreezeTest, WhatIsDeletedAndInUseStaysInUse) {
  Mount();
  const NodeId f = Walk("d/changed"), h = Walk("h1");
  ASSERT_EQ(WriteAt(f, "upper", 0), 0);
  ASSERT_EQ(WriteAt(h, "upper", 0), 0);
  const NodeId dir = Walk("cut");
  ASSERT_TRUE(fs_->Unlink(dir, N("below")).ok());
  ASSERT_TRUE(fs_->RmDir(NodeId::kRoot, N("cut")).ok());
  ASSERT_TRUE(fs_->Unlink(Walk("d"), N("changed")).ok());
  // Its other names are in the layers, and nobody has looked them up.
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("h1")).ok());
  ASSERT_TRUE(Freeze().ok());
  EXPECT_EQ(Read(f), "upperd/changed");
  EXPECT_EQ(Stat(f).nlink, 0u);
  ASSERT_EQ(WriteAt(f, "still", 0), 0);
  EXPECT_EQ(Read(f), "stilld/changed");
  EXPECT_EQ(Stat(dir).nlink, 0u);
  ASSERT_EQ(WriteAt(h, "still", 0), 0);
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(h, change, {}).ok());
  EXPECT_EQ(Read(Walk("h3")), "stillh1");
  Mount();
  EXPECT_EQ(Read(Walk("d/h2")), "stillh1");
  EXPECT_EQ(Stat(Walk("d/h2")).nlink, 2u);
}

// One name is left of two, which has moved.
TEST_F(UnionFreezeTest, AHardLinkThatMovedFollows) {
  Mount();
  Move("", "h1", "d", "moved");
  const NodeId h3 = Walk("h3");
  for (const char* name : {"h3", "h2"})
    ASSERT_TRUE(
        fs_->Unlink(name[1] == '2' ? Walk("d") : NodeId::kRoot, N(name)).ok());
  ASSERT_TRUE(Freeze().ok());
  ASSERT_EQ(WriteAt(h3, "W", 0), 0);
  EXPECT_EQ(Read(Walk("d/moved")), "Wase/h1");
  Mount();
  EXPECT_EQ(Read(Walk("d/moved")), "Wase/h1");
  EXPECT_EQ(Stat(Walk("d/moved")).nlink, 1u);
}

// One name is left of two, which only the layer below has.
TEST_F(UnionFreezeTest, TheLastNameOfAHardLinkFollows) {
  Mount();
  const NodeId born = Make("", "born", "born");
  ASSERT_TRUE(fs_->Link(born, Walk("d"), N("too")).ok());
  ASSERT_TRUE(Freeze().ok());
  Mount();
  const NodeId open = Walk("born");
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("born")).ok());
  ASSERT_TRUE(Freeze().ok());
  EXPECT_EQ(Stat(open).nlink, 1u);
  ASSERT_EQ(WriteAt(open, "W", 0), 0);
  EXPECT_EQ(Read(Walk("d/too")), "Worn");
  ASSERT_TRUE(Freeze().ok());
  Mount();
  Chmod("d/too", 0600);
  ASSERT_TRUE(Freeze().ok());
  EXPECT_EQ(Read(Walk("d/too")), "Worn");
  ASSERT_EQ(WriteAt(Walk("d/too"), "T", 0), 0);
  Mount();
  EXPECT_EQ(Read(Walk("d/too")), "Torn");
  EXPECT_EQ(Stat(Walk("d/too")).nlink, 1u);
}

// The host has another name of what somebody has open: it would be written to
// where it is frozen.
TEST_F(UnionFreezeTest, AnOpenFileOfAnUnknownNameIsWaitedFor) {
  Mount();
  ASSERT_TRUE(fs_->Link(Make("", "a", "born"), Walk("d"), N("b")).ok());
  Mount();
  const NodeId a = Walk("a");
  ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("a")).ok());
  EXPECT_EQ(Freeze().code(), EBUSY);
  EXPECT_EQ(Read(a), "born");
  EXPECT_EQ(Walk("d/b"), a);
  ASSERT_TRUE(Freeze().ok());
  ASSERT_EQ(WriteAt(a, "W", 0), 0);
  Chmod("d/b", 0600);
  EXPECT_EQ(Stat(a).mode & 07777, 0600u);
  EXPECT_EQ(Get(root_ / "upper.work/ufs/frozen/1/tree/d/b"), "born");
  Mount();
  EXPECT_EQ(Read(Walk("d/b")), "Worn");
}

TEST_F(UnionFreezeTest, AReadOnlyMountShowsIt) {
  Mount();
  ASSERT_EQ(WriteAt(Walk("d/changed"), "upper", 0), 0);
  ASSERT_TRUE(Freeze().ok());
  Make("", "later", "later");
  fs_.reset();
  UnionConfig config = Config();
  config.read_only = true;
  auto fs = UnionFs::Open(config);
  ASSERT_TRUE(fs.ok()) << fs.error().ToString();
  fs_ = std::move(*fs);
  EXPECT_EQ(Read(Walk("d/changed")), "upperd/changed");
  EXPECT_EQ(Read(Walk("later")), "later");
  EXPECT_EQ(Read(Walk("d/same")), "base/d/same");
}

TEST_F(UnionFreezeTest, OneThatFailsIsUndone) {
  Mount();
  ChangeAll();
  ASSERT_TRUE(fs_->CompleteAll().ok());
  const Tree before = All();
  for (const char* fault :
       {"freeze.before:EIO", "freeze.books:ENOSPC", "freeze.name:EIO",
        "freeze.name:EIO:3", "freeze.plan:EMFILE", "upper.publish:ENOSPC"}) {
    ASSERT_TRUE(ArmFault(fault).ok()) << fault;
    EXPECT_FALSE(fs_->Freeze().ok()) << fault;
    ASSERT_TRUE(ArmFault("").ok());
    EXPECT_FALSE(UpperIsEmpty()) << fault;
    ExpectEqual(before, All());
  }
  ASSERT_EQ(WriteAt(Walk("d/same"), "after", 0), 0);
  EXPECT_TRUE(stdfs::exists(root_ / "upper/d/same"));
  const Tree now = All();
  ASSERT_TRUE(Freeze().ok());
  Mount();
  ExpectEqual(now, All());
}

// Whoever opens the upper next goes on.
TEST_F(UnionFreezeTest, ADeathInTheMiddleIsFinished) {
  Mount();
  ChangeAll();
  ASSERT_TRUE(fs_->CompleteAll().ok());
  Tree before = All();
  fs_.reset();
  for (const char* point : {"freeze.made:kill", "freeze.moved:kill",
                            "freeze.moved:kill:3", "freeze.after:kill"}) {
    const pid_t child = fork();
    if (child == 0) {
      auto fs = UnionFs::Open(Config());
      if (!fs.ok() || !ArmFault(point).ok()) _exit(1);
      (void)(*fs)->Freeze();
      _exit(2);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << point << ": " << status;
    Mount();
    ExpectEqual(before, All());
    EXPECT_TRUE(UpperIsEmpty()) << point;
    Make("", "more", point);
    ASSERT_TRUE(fs_->Unlink(NodeId::kRoot, N("more")).ok());
    fs_.reset();
    // For the next one.
    Mount();
    ASSERT_EQ(WriteAt(Walk("d/changed"), "upper", 0), 0);
    for (const char* name : {"meta", "born", "link"}) {
      const std::string new_name = name + std::string(".next");
      Move("", name, "", new_name.c_str());
      Move("", new_name.c_str(), "", name);
    }
    before = All();
    fs_.reset();
  }
}

TEST_F(UnionFreezeTest, WhatTheHostHoldsFastIsRefused) {
  Mount();
  Make("", "fast", "fast");
  ASSERT_TRUE(fs_->Freeze().ok());
  (void)setxattr((root_ / "upper").c_str(), "trusted.overlay.opaque", "y", 1,
                 0);
  Make("", "f", "f");
  EXPECT_EQ(fs_->Freeze().code(), geteuid() == 0 ? ENOTSUP : 0);
  EXPECT_EQ(Read(Walk("f")), "f");
}

}  // namespace
}  // namespace ufs
