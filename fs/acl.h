// What a new object inherits from its directory's default ACL, for objects that
// are prepared elsewhere and moved into place; an object created in place gets
// it from the host. Algorithm: Linux, fs/posix_acl.c:posix_acl_create_masq().
// Threads: pure functions.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "layerdb/base/posix_acl.h"
#include "layerdb/base/result.h"

namespace ufs {

struct InheritedAcl {
  std::string access;  // the value of the access ACL to set
  mode_t mode = 0;     // permission bits that go with it
};

// `default_acl` is the value of the directory's kDefaultAclXattr; `mode` what
// the creator asked for, umask not applied. EINVAL for a value that is no ACL.
Result<InheritedAcl> InheritAcl(std::string_view default_acl, mode_t mode);

}  // namespace ufs
