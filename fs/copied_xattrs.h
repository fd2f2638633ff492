// Which extended attributes a copy may be without, when the host does not take
// them.
// Threads: pure functions.
#pragma once

#include <string_view>

namespace ufs {

// Whether it may be without `xattr`, which setxattr answered with the errno
// `code`:
//   a label of SELinux   where it may not have that of the original. It has the
//                        one that the policy chose, or the mount of the upper
//   others               where the file system does not know them, unless they
//                        protect something (ACLs, security.*): without those
//                        the copy would be another file
bool MayGoWithout(std::string_view xattr, int code);

}  // namespace ufs
