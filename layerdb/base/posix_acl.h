// POSIX ACLs as extended attributes carry them: a header, then entries of a
// tag, permissions and an id. Format: Linux, uapi/linux/posix_acl_xattr.h.
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace ufs {

inline constexpr char kAccessAclXattr[] = "system.posix_acl_access";
inline constexpr char kDefaultAclXattr[] = "system.posix_acl_default";

// Whether an extended attribute of this name holds an ACL.
bool IsAcl(std::string_view xattr);

// `acl` without the entries for users and groups that have no id in this
// process's user namespace. The kernel shows such an id as -1, and takes no ACL
// that has one: not to set it, nor from a FUSE daemon, where whoever asks for
// access then hears EINVAL. The other entries stay as they are, so nobody is
// given more. What is no ACL comes back as it is.
std::string WithoutStrangers(std::string acl);

}  // namespace ufs
