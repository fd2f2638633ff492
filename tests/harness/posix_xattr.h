// The binary values of the xattrs in which Linux keeps ACLs and capabilities.
#pragma once

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace ufs::test {

inline constexpr char kAccessAcl[] = "system.posix_acl_access";
inline constexpr char kDefaultAcl[] = "system.posix_acl_default";
inline constexpr char kCapability[] = "security.capability";

struct AclEntry {
  uint16_t tag;   // ACL_USER_OBJ, ACL_USER, ...
  uint16_t perm;  // rwx as 4, 2, 1
  uint32_t id = static_cast<uint32_t>(ACL_UNDEFINED_ID);
};

// Entries must stand in the canonical order: user::, user:, group::, group:,
// mask::, other::.
std::string AclValue(const std::vector<AclEntry>& entries);
// user::rw-, user:`uid`:`perm`, group::r--, mask::rwx, other::---
std::string AclGrantingUser(uint32_t uid, uint16_t perm);

// A version 2 file capability: `capability` permitted and effective.
std::string CapabilityValue(int capability);

}  // namespace ufs::test
