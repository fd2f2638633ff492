// What the upper's extended attributes come to say is seen at once, though what
// they do not say is not asked again (syscall_budget_test.cc).
#include <cerrno>

#include "fs/union_fixture.h"

namespace ufs {
namespace {

// Of `chmod 755` with cap_net_raw: VFS_CAP_REVISION_2 and its two sets.
const std::string kNetRaw("\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);

class SilentXattrsTest : public UnionFsTest {
 protected:
  void SetUp() override {
    UnionFsTest::SetUp();
    Put(root_ / "base/dir/lower", "content");
    Mount();
    dir_ = Walk("dir");
  }

  NodeId Create(const char* name) {
    const auto made = fs_->Create(dir_, N(name), 0644, O_EXCL, root_caller_);
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    return made.ok() ? made->node : NodeId::kNone;
  }
  int CapabilityOf(NodeId node) {
    return fs_->GetXattr(node, kCapabilityXattr).code();
  }

  NodeId dir_ = NodeId::kNone;
};

TEST_F(SilentXattrsTest, CapabilitiesThatComeAreSeen) {
  const NodeId file = Create("new");
  ASSERT_EQ(CapabilityOf(file), ENODATA);
  const auto set =
      fs_->SetXattr(file, kCapabilityXattr, kNetRaw, 0, root_caller_);
  if (set.code() == EPERM) GTEST_SKIP() << "capabilities may not be set here";
  ASSERT_TRUE(set.ok()) << set.error().ToString();
  EXPECT_EQ(*fs_->GetXattr(file, kCapabilityXattr), kNetRaw);
  // Nor does another file's attribute bring back what was known before.
  const NodeId other = Create("other");
  ASSERT_TRUE(fs_->SetXattr(other, "user.x", "1", 0, root_caller_).ok());
  EXPECT_EQ(CapabilityOf(other), ENODATA);
  EXPECT_EQ(*fs_->GetXattr(file, kCapabilityXattr), kNetRaw);
  ASSERT_TRUE(fs_->RemoveXattr(file, kCapabilityXattr).ok());
  EXPECT_EQ(CapabilityOf(file), ENODATA);
}

TEST_F(SilentXattrsTest, OwnersKeptInMarksAreSeen) {
  UnionConfig config = Config();
  config.keep_owners_in_xattrs = true;
  fs_.reset();
  fs_ = UnionFs::Open(config).value();
  dir_ = Walk("dir");
  const NodeId file = Create("new");
  ASSERT_EQ(Stat(file).uid, uid_t{0});
  AttrChange change;
  change.uid = 12345;
  change.mode = 04711;
  ASSERT_TRUE(fs_->SetAttr(file, change, root_caller_).ok());
  EXPECT_EQ(Stat(file).uid, uid_t{12345});
  EXPECT_EQ(Stat(file).mode & 07777, mode_t{04711});
  Create("other");
  EXPECT_EQ(Stat(file).uid, uid_t{12345});
}

// A copy-up is another object, whose marks count.
TEST_F(SilentXattrsTest, WhatComesUpIsAskedAnew) {
  stdfs::create_hard_link(root_ / "base/dir/lower", root_ / "base/dir/second");
  Mount();
  const NodeId file = Walk("dir/lower");
  ASSERT_EQ(Stat(file).nlink, 2U);
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(file, change, root_caller_).ok());
  EXPECT_EQ(Stat(file).nlink, 2U);
  ASSERT_TRUE(fs_->Unlink(Walk("dir"), N("second")).ok());
  EXPECT_EQ(Stat(file).nlink, 1U);
  EXPECT_EQ(Stat(file).size_bytes, 7U);
}

}  // namespace
}  // namespace ufs
