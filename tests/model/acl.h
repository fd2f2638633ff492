// POSIX ACLs as Linux keeps them (fs/posix_acl.c): their text in a script,
// their value in an xattr, and what they do to a mode and to who may do what.
// Pure functions.
#pragma once

#include <sys/types.h>

#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/harness/posix_xattr.h"

namespace ufs::model {

using Acl = std::vector<test::AclEntry>;

bool IsAcl(std::string_view xattr);

// "u::6,u:1001:4,g::5,m::7,o::1", as setfacl(1) takes it. No entries are "".
std::string AclText(const Acl& acl);
std::optional<Acl> AclFromText(std::string_view text);

// Of an xattr that the kernel accepted.
Acl AclFromValue(std::string_view value);

// Whether every entry that must be there is there, once and in order.
bool IsWellFormed(const Acl& acl);

// The permission bits that the ACL means; false in `says_all` when it says more
// than they can, so that it must be kept.
mode_t ModeOf(const Acl& acl, bool* says_all);

// What chmod(2) makes of an access ACL.
void SetMode(Acl* acl, mode_t mode);

// Makes of a directory's default ACL the access ACL of a new object; returns
// the bits of `mode` that are left.
mode_t Inherit(Acl* acl, mode_t mode);

// Whether a user, whose only group has the same number and who does not own the
// object, has all of `mask`. `group` is the object's.
bool Grants(const Acl& acl, uid_t user, gid_t group, mode_t mask);

// Any that the kernel accepts.
Acl RandomAcl(std::mt19937_64& random);

}  // namespace ufs::model
