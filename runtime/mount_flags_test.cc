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

TEST(ParseMountFlagsTest, IdMaps) {
  const auto plain = ParseMountFlags({"rbind", "ridmap"});
  ASSERT_TRUE(plain.ok() && plain->id_map);
  EXPECT_TRUE(plain->id_map->recursive);
  EXPECT_TRUE(plain->id_map->uids.empty());
  const auto maps = ParseMountFlags({"idmap=uids=0-1-10#10-11-5;gids=3-4-1"});
  ASSERT_TRUE(maps.ok() && maps->id_map);
  EXPECT_FALSE(maps->id_map->recursive);
  ASSERT_EQ(maps->id_map->uids.size(), 2u);
  EXPECT_EQ(maps->id_map->uids[1].container_id, 10u);
  EXPECT_EQ(maps->id_map->uids[1].host_id, 11u);
  EXPECT_EQ(maps->id_map->uids[1].size, 5u);
  EXPECT_EQ(maps->id_map->gids.size(), 1u);
}

TEST(ParseMountFlagsTest, IdMapsThatAreNone) {
  for (const char* option :
       {"idmap=", "idmap=uids=0-0-1", "idmap=uids=0-0-1;gids=",
        "idmap=uids=0-0;gids=0-0-1", "idmap=uids=0-0-0;gids=0-0-1",
        "idmap=uids=-1-0-1;gids=0-0-1", "idmap=uids=0-0-1x;gids=0-0-1",
        "idmap=uids=0-4294967290-6;gids=0-4294967290-7",
        "idmap=uids=@0-0-1;gids=0-0-1", "idmap=x;uids=0-0-1;gids=0-0-1",
        "ridmap=uids=0-0-1;gids=0-0-1;other=1"})
    EXPECT_EQ(ParseMountFlags({option}).code(), EINVAL) << option;
}

TEST(ParseMountFlagsTest, RefusesByName) {
  const auto flags = ParseMountFlags({"remount"});
  EXPECT_EQ(flags.code(), ENOTSUP);
  EXPECT_EQ(flags.error().context(),
            "mount option \"remount\" is not supported");
}

TEST(ParseMountFlagsTest, WhatIsOfNoEffectIsTaken) {
  const auto flags = ParseMountFlags({"mand", "iversion", "ro"});
  ASSERT_TRUE(flags.ok()) << flags.error().ToString();
  EXPECT_TRUE(flags->data.empty());
  EXPECT_EQ(ParseMountFlags({"remount"}).code(), ENOTSUP);
}

}  // namespace
}  // namespace ufs::runtime
