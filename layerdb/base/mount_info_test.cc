#include "layerdb/base/mount_info.h"

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
  EXPECT_EQ(mount->parent, 35u);
  EXPECT_EQ(mount->device, makedev(98, 7));
  EXPECT_EQ(mount->root, "/mnt1");
  EXPECT_EQ(mount->mountpoint, "/mnt2");
  EXPECT_EQ(mount->type, "ext3");
  EXPECT_EQ(mount->source, "/dev/root");
  EXPECT_EQ(mount->super_options, "rw,errors=continue");
}

TEST(ParseMountInfo, UndoesOctalEscapes) {
  const auto mount = ParseMountInfo(
      R"(1 2 0:3 / /a\040b\134040\011c rw - fuse.ufs my\040union rw)");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->mountpoint, "/a b\\040\tc");
  EXPECT_EQ(mount->source, "my union");
}

TEST(ParseMountInfo, LeavesWhatIsNoEscape) {
  const auto mount = ParseMountInfo(R"(1 2 0:3 / \04 rw - tmpfs tmpfs rw)");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->mountpoint, "\\04");
}

TEST(ParseMountInfo, RefusesOtherLines) {
  EXPECT_FALSE(ParseMountInfo(""));
  EXPECT_FALSE(ParseMountInfo("36 35 98:7 /mnt1 /mnt2 rw,noatime"));
  EXPECT_FALSE(ParseMountInfo("36 35 98.7 / /mnt2 rw - ext3 /dev/root rw"));
}

TEST(ParseMountInfo, ASourceMayBeEmpty) {
  const auto mount = ParseMountInfo("1 2 0:3 / /a rw - tmpfs  rw,size=1k");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, "tmpfs");
  EXPECT_EQ(mount->source, "");
  EXPECT_EQ(mount->super_options, "rw,size=1k");
}

TEST(MountPointsOnTest, OneMount) {
  const auto mounts = ParseMountTable(
      "20 1 0:1 / / rw - rootfs rootfs rw\n"
      "21 20 0:2 / /proc rw shared:3 - proc proc rw\n"
      "22 21 0:3 / /proc/sys rw - tmpfs tmpfs rw\n"
      "23 20 0:4 /x /with\\040blank rw - ext4 /dev/vda rw\n"
      "24 20 0:5 / / rw - tmpfs tmpfs rw\n"
      "201 2 0:6 / /other rw - tmpfs tmpfs rw\n"
      "broken\n20");
  EXPECT_EQ(MountPointsOn(mounts, 20, 24),
            (std::vector<std::string>{"/with blank", "/proc"}));
  EXPECT_EQ(MountPointsOn(mounts, 21, 0),
            std::vector<std::string>{"/proc/sys"});
  EXPECT_TRUE(MountPointsOn({}, 20, 0).empty());
  EXPECT_TRUE(MountPointsOn(mounts, 99, 0).empty());
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
