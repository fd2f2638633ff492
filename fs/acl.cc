#include "fs/acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <cerrno>
#include <cstring>

namespace ufs {
namespace {

static_assert(sizeof(posix_acl_xattr_header) == 4);
static_assert(sizeof(posix_acl_xattr_entry) == 8);

// Narrows an entry's permissions and the mode's bits at `shift` to what both
// allow.
void Narrow(posix_acl_xattr_entry& entry, mode_t& mode, int shift) {
  const mode_t both = entry.e_perm & (mode >> shift) & 7;
  entry.e_perm = static_cast<__le16>(both);
  mode = (mode & ~(mode_t{7} << shift)) | (both << shift);
}

}  // namespace

Result<InheritedAcl> InheritAcl(std::string_view default_acl, mode_t mode) {
  constexpr size_t kHeader = sizeof(posix_acl_xattr_header);
  constexpr size_t kEntry = sizeof(posix_acl_xattr_entry);
  if (default_acl.size() < kHeader || (default_acl.size() - kHeader) % kEntry)
    return Error(EINVAL);
  InheritedAcl result{std::string(default_acl), mode};
  const size_t count = (default_acl.size() - kHeader) / kEntry;
  const auto at = [&](size_t i) {
    return result.access.data() + kHeader + i * kEntry;
  };
  size_t group_class = count;  // the mask, or else the owning group
  for (size_t i = 0; i < count; ++i) {
    posix_acl_xattr_entry entry;
    memcpy(&entry, at(i), kEntry);
    if (entry.e_tag == ACL_USER_OBJ) Narrow(entry, result.mode, 6);
    if (entry.e_tag == ACL_OTHER) Narrow(entry, result.mode, 0);
    if (entry.e_tag == ACL_MASK ||
        (entry.e_tag == ACL_GROUP_OBJ && group_class == count))
      group_class = i;
    memcpy(at(i), &entry, kEntry);
  }
  if (group_class == count) return Error(EINVAL);
  posix_acl_xattr_entry entry;
  memcpy(&entry, at(group_class), kEntry);
  Narrow(entry, result.mode, 3);
  memcpy(at(group_class), &entry, kEntry);
  return result;
}

}  // namespace ufs
