#include "fs/acl.h"

#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace ufs {
namespace {

std::string Acl(const std::vector<posix_acl_xattr_entry>& entries) {
  const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
  std::string text(reinterpret_cast<const char*>(&header), sizeof(header));
  for (const auto& entry : entries)
    text.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  return text;
}

TEST(InheritAcl, TheMaskLimitsTheGroupClass) {
  const auto got = InheritAcl(Acl({{ACL_USER_OBJ, 7, 0},
                                   {ACL_USER, 7, 1000},
                                   {ACL_GROUP_OBJ, 5, 0},
                                   {ACL_MASK, 7, 0},
                                   {ACL_OTHER, 0, 0}}),
                              0664);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->mode, 0660u);
  EXPECT_EQ(got->access, Acl({{ACL_USER_OBJ, 6, 0},
                              {ACL_USER, 7, 1000},
                              {ACL_GROUP_OBJ, 5, 0},
                              {ACL_MASK, 6, 0},
                              {ACL_OTHER, 0, 0}}));
}

TEST(InheritAcl, WithoutAMaskTheOwningGroupIsTheClass) {
  const auto got = InheritAcl(
      Acl({{ACL_USER_OBJ, 7, 0}, {ACL_GROUP_OBJ, 5, 0}, {ACL_OTHER, 5, 0}}),
      0666);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->mode, 0644u);
}

TEST(InheritAcl, WhatIsNoAclIsRefused) {
  EXPECT_EQ(InheritAcl("", 0644).code(), EINVAL);
  EXPECT_EQ(InheritAcl("abcdefg", 0644).code(), EINVAL);
  EXPECT_EQ(InheritAcl(Acl({{ACL_USER_OBJ, 7, 0}}), 0644).code(), EINVAL);
}

}  // namespace
}  // namespace ufs
