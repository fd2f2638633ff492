#include "layerdb/base/posix_acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <cstdint>
#include <cstring>

#include "layerdb/base/privilege.h"

namespace ufs {

bool IsAcl(std::string_view xattr) {
  return xattr == kAccessAclXattr || xattr == kDefaultAclXattr;
}

std::string WithoutStrangers(std::string acl) {
  constexpr size_t kHeader = sizeof(posix_acl_xattr_header);
  constexpr size_t kEntry = sizeof(posix_acl_xattr_entry);
  if (acl.size() < kHeader || (acl.size() - kHeader) % kEntry != 0) return acl;
  std::string known = acl.substr(0, kHeader);
  for (size_t at = kHeader; at < acl.size(); at += kEntry) {
    posix_acl_xattr_entry entry;
    memcpy(&entry, acl.data() + at, kEntry);
    if ((entry.e_tag == ACL_USER && !HasUserId(entry.e_id)) ||
        (entry.e_tag == ACL_GROUP && !HasGroupId(entry.e_id)))
      continue;
    known.append(acl, at, kEntry);
  }
  return known;
}

}  // namespace ufs
