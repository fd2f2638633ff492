#include "tests/harness/posix_xattr.h"

#include <linux/capability.h>

namespace ufs::test {

std::string AclValue(const std::vector<AclEntry>& entries) {
  posix_acl_xattr_header header = {};
  header.a_version = POSIX_ACL_XATTR_VERSION;
  std::string value(reinterpret_cast<const char*>(&header), sizeof header);
  for (const AclEntry& entry : entries) {
    posix_acl_xattr_entry raw = {};
    raw.e_tag = entry.tag;
    raw.e_perm = entry.perm;
    raw.e_id = entry.id;
    value.append(reinterpret_cast<const char*>(&raw), sizeof raw);
  }
  return value;
}

std::string AclGrantingUser(uint32_t uid, uint16_t perm) {
  return AclValue({{ACL_USER_OBJ, 6},
                   {ACL_USER, perm, uid},
                   {ACL_GROUP_OBJ, 4},
                   {ACL_MASK, 7},
                   {ACL_OTHER, 0}});
}

std::string CapabilityValue(int capability) {
  vfs_cap_data data = {};
  data.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  data.data[capability / 32].permitted = 1u << (capability % 32);
  return std::string(reinterpret_cast<const char*>(&data), sizeof data);
}

}  // namespace ufs::test
