#include "runtime/user_db.h"

#include <gtest/gtest.h>

namespace ufs::runtime {
namespace {

TEST(FindUserTest, ByNameAndByNumber) {
  constexpr char kPasswd[] =
      "root:x:0:0:r:/root:/bin/sh\nme:x:7:8::/home/me:\n";
  EXPECT_EQ(FindUser(kPasswd, "me")->uid, 7u);
  EXPECT_EQ(FindUser(kPasswd, "me")->gid, 8u);
  EXPECT_EQ(FindUser(kPasswd, "7")->home, "/home/me");
  EXPECT_FALSE(FindUser(kPasswd, "nobody").has_value());
  EXPECT_FALSE(FindUser(kPasswd, "").has_value());
}

TEST(FindUserTest, HostileEntries) {
  // An entry whose name is a number would make a number mean another user.
  EXPECT_FALSE(FindUser("7:x:0:0::/:\n", "7").has_value());
  EXPECT_FALSE(FindUser("me:x:-1:0::/:\n", "me").has_value());
  EXPECT_FALSE(FindUser("me:x:4294967295:0::/:\n", "me").has_value());
  EXPECT_FALSE(FindUser("me:x:4294967296:0::/:\n", "me").has_value());
  EXPECT_FALSE(FindUser("me:x: 0:0::/:\n", "me").has_value());
  EXPECT_FALSE(FindUser("me", "me").has_value());
  EXPECT_FALSE(FindUser(std::string(100000, ':'), "").has_value());
  EXPECT_EQ(FindUser("me:x:7:7\nme:x:8:8::/:", "me")->uid, 8u);
}

TEST(GroupsTest, Members) {
  constexpr char kGroup[] = "root:x:0:\na:x:5:me,you\nb:x:6:you\nc:x:7:me\n";
  EXPECT_EQ(GroupsOf(kGroup, "me"), (std::vector<gid_t>{5, 7}));
  EXPECT_EQ(FindGroup(kGroup, "b"), 6u);
  EXPECT_EQ(FindGroup(kGroup, "99"), 99u);
  EXPECT_FALSE(FindGroup(kGroup, "nope").has_value());
}

}  // namespace
}  // namespace ufs::runtime
