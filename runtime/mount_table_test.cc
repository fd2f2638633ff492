#include "runtime/mount_table.h"

#include <gtest/gtest.h>

namespace ufs::runtime {
namespace {

TEST(MountTableTest, PointsOnOneMount) {
  constexpr char kTable[] =
      "20 1 0:1 / / rw - rootfs rootfs rw\n"
      "21 20 0:2 / /proc rw shared:3 - proc proc rw\n"
      "22 21 0:3 / /proc/sys rw - tmpfs tmpfs rw\n"
      "23 20 0:4 /x /with\\040blank rw - ext4 /dev/vda rw\n"
      "24 20 0:5 / / rw - tmpfs tmpfs rw\n"
      "201 2 0:6 / /other rw - tmpfs tmpfs rw\n"
      "broken\n20";
  EXPECT_EQ(MountPointsOn(kTable, 20, 24),
            (std::vector<std::string>{"/with blank", "/proc"}));
  EXPECT_EQ(MountPointsOn(kTable, 21, 0),
            std::vector<std::string>{"/proc/sys"});
  EXPECT_TRUE(MountPointsOn("", 20, 0).empty());
  EXPECT_TRUE(MountPointsOn(kTable, 99, 0).empty());
}

TEST(MountTableTest, Unescapes) {
  EXPECT_EQ(UnescapeMountPath("/a\\040b\\134c"), "/a b\\c");
  EXPECT_EQ(UnescapeMountPath("\\04"), "\\04");
}

}  // namespace
}  // namespace ufs::runtime
