#include "fs/mount_info.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace ufs {
namespace {

TEST(ParseMountInfo, ReadsALineWithOptionalFields) {
  const auto mount = ParseMountInfo(
      "36 35 98:7 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root "
      "rw,errors=continue");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->id, 36u);
  EXPECT_EQ(mount->device, makedev(98, 7));
  EXPECT_EQ(mount->root, "/mnt1");
  EXPECT_EQ(mount->mountpoint, "/mnt2");
  EXPECT_EQ(mount->type, "ext3");
  EXPECT_EQ(mount->source, "/dev/root");
}

TEST(ParseMountInfo, UndoesOctalEscapes) {
  const auto mount = ParseMountInfo(
      R"(1 2 0:3 / /a\040b\134040\011c rw - fuse.ufs my\040union rw)");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->mountpoint, "/a b\\040\tc");
  EXPECT_EQ(mount->source, "my union");
}

TEST(ParseMountInfo, RefusesOtherLines) {
  EXPECT_FALSE(ParseMountInfo(""));
  EXPECT_FALSE(ParseMountInfo("36 35 98:7 /mnt1 /mnt2 rw,noatime"));
  EXPECT_FALSE(ParseMountInfo("36 35 98.7 / /mnt2 rw - ext3 /dev/root rw"));
}

TEST(ReadMountInfo, KnowsWhereProcIs) {
  const auto mount = FindMountAt("/proc");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, "proc");
  struct stat st;
  ASSERT_EQ(stat("/proc", &st), 0);
  EXPECT_EQ(mount->device, st.st_dev);
  EXPECT_FALSE(FindMountAt("/proc/self"));
}

}  // namespace
}  // namespace ufs
