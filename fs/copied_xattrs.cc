#include "fs/copied_xattrs.h"

#include <cerrno>

#include "layerdb/base/posix_acl.h"
#include "layerdb/base/selinux.h"

namespace ufs {

bool MayGoWithout(std::string_view xattr, int code) {
  if (xattr == kSelinuxXattr)
    return code == EOPNOTSUPP || code == EACCES || code == EINVAL;
  return code == EOPNOTSUPP && !IsAcl(xattr) && !xattr.starts_with("security.");
}

}  // namespace ufs
