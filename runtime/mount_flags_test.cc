#include "runtime/mount_flags.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>

namespace ufs::runtime {
namespace {

TEST(ParseMountFlagsTest, Sorts) {
  const auto flags = ParseMountFlags(
      {"rbind", "ro", "nosuid", "rnoexec", "rslave", "size=64k", "noatime"});
  ASSERT_TRUE(flags.ok());
  EXPECT_TRUE(flags->bind);
  EXPECT_TRUE(flags->bind_recursive);
  EXPECT_EQ(flags->set, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                 MOUNT_ATTR_NOATIME});
  EXPECT_EQ(flags->clear, uint64_t{MOUNT_ATTR__ATIME});
  EXPECT_EQ(flags->set_recursive, uint64_t{MOUNT_ATTR_NOEXEC});
  ASSERT_EQ(flags->propagation.size(), 1u);
  EXPECT_EQ(flags->propagation[0].type, uint64_t{MS_SLAVE});
  EXPECT_TRUE(flags->propagation[0].recursive);
  EXPECT_EQ(flags->data, std::vector<std::string>{"size=64k"});
}

TEST(ParseMountFlagsTest, TheLastWordWins) {
  const auto flags = ParseMountFlags({"ro", "rw", "exec", "noexec"});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->set, uint64_t{MOUNT_ATTR_NOEXEC});
  EXPECT_EQ(flags->clear, uint64_t{MOUNT_ATTR_RDONLY});
}

TEST(ParseMountFlagsTest, OwnNamesThatBeginWithR) {
  const auto flags = ParseMountFlags({"relatime", "rw", "rro"});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->clear, uint64_t{MOUNT_ATTR__ATIME | MOUNT_ATTR_RDONLY});
  EXPECT_EQ(flags->set_recursive, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_TRUE(flags->data.empty());
}

TEST(ParseMountFlagsTest, RefusesByName) {
  const auto flags = ParseMountFlags({"idmap"});
  EXPECT_EQ(flags.code(), ENOTSUP);
  EXPECT_EQ(flags.error().context(), "mount option \"idmap\" is not supported");
}

}  // namespace
}  // namespace ufs::runtime
