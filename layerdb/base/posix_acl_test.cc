#include "layerdb/base/posix_acl.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

using Entries = std::vector<posix_acl_xattr_entry>;

std::string AclOf(const Entries& entries) {
  const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
  std::string acl(reinterpret_cast<const char*>(&header), sizeof(header));
  for (const auto& entry : entries)
    acl.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  return acl;
}

constexpr uint32_t kNone = ACL_UNDEFINED_ID;
const posix_acl_xattr_entry kOwner{ACL_USER_OBJ, 7, kNone};
const posix_acl_xattr_entry kGroup{ACL_GROUP_OBJ, 5, kNone};
const posix_acl_xattr_entry kMask{ACL_MASK, 7, kNone};
const posix_acl_xattr_entry kOther{ACL_OTHER, 0, kNone};

TEST(WithoutStrangers, AnIdThatIsNoneGoes) {
  const posix_acl_xattr_entry user{ACL_USER, 6, 1000}, group{ACL_GROUP, 4, 50};
  EXPECT_EQ(WithoutStrangers(AclOf({kOwner,
                                    user,
                                    {ACL_USER, 7, kNone},
                                    kGroup,
                                    group,
                                    {ACL_GROUP, 7, kNone},
                                    kMask,
                                    kOther})),
            AclOf({kOwner, user, kGroup, group, kMask, kOther}));
}

TEST(WithoutStrangers, WhatIsNoAclStays) {
  for (const std::string text : {"", "abc", "\2\0\0\0\2\0\7"})
    EXPECT_EQ(WithoutStrangers(text), text);
}

bool Write(const char* path, const std::string& text) {
  const UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  return file.valid() && write(file.get(), text.data(), text.size()) ==
                             static_cast<ssize_t>(text.size());
}

// In a user namespace that has the one id 0.
TEST(WithoutStrangers, IdsOfTheNamespaceStay) {
  const std::string uid = std::to_string(geteuid());
  const std::string gid = std::to_string(getegid());
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWUSER) != 0) _exit(77);
    if (!Write("/proc/self/setgroups", "deny") ||
        !Write("/proc/self/uid_map", "0 " + uid + " 1") ||
        !Write("/proc/self/gid_map", "0 " + gid + " 1"))
      _exit(2);
    const posix_acl_xattr_entry root{ACL_USER, 6, 0}, wheel{ACL_GROUP, 6, 0};
    const std::string got = WithoutStrangers(AclOf({kOwner,
                                                    root,
                                                    {ACL_USER, 7, 1},
                                                    kGroup,
                                                    wheel,
                                                    {ACL_GROUP, 7, 1},
                                                    kMask,
                                                    kOther}));
    _exit(got == AclOf({kOwner, root, kGroup, wheel, kMask, kOther}) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no user namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ufs
