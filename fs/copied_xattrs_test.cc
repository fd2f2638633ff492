#include "fs/copied_xattrs.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "layerdb/base/posix_acl.h"
#include "layerdb/base/selinux.h"

namespace ufs {
namespace {

TEST(CopiedXattrsTest, ALabelIsForThePolicyToGive) {
  for (const int code : {EOPNOTSUPP, EACCES, EINVAL})
    EXPECT_TRUE(MayGoWithout(kSelinuxXattr, code)) << code;
  EXPECT_FALSE(MayGoWithout(kSelinuxXattr, ENOSPC));
}

TEST(CopiedXattrsTest, WhatProtectsIsCopied) {
  for (const char* name :
       {kAccessAclXattr, kDefaultAclXattr, "security.capability"})
    for (const int code : {EOPNOTSUPP, EACCES, EINVAL, ENOSPC})
      EXPECT_FALSE(MayGoWithout(name, code)) << name << " " << code;
}

TEST(CopiedXattrsTest, WhatTheFileSystemDoesNotKnowIsLost) {
  EXPECT_TRUE(MayGoWithout("user.k", EOPNOTSUPP));
  for (const int code : {EACCES, EPERM, ENOSPC})
    EXPECT_FALSE(MayGoWithout("user.k", code)) << code;
}

}  // namespace
}  // namespace ufs
