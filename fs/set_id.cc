#include "fs/set_id.h"

#include <sys/stat.h>

#include "fs/marks.h"
#include "layerdb/base/privilege.h"
#include "layerdb/base/syscall.h"

namespace ufs {

bool IsOfGroup(gid_t group, const Caller& who) {
  return who.uid == 0 || who.gid == group ||
         HasSupplementaryGroup(who.pid, group);
}

mode_t WithoutSetId(mode_t mode, gid_t group, const Caller& who) {
  mode &= ~S_ISUID;
  if ((mode & S_ISGID) == 0) return mode;
  // Without the right to execute it means something else (mandatory locking,
  // once), which the group's members may keep.
  const bool keeps = (mode & S_IXGRP) == 0 && IsOfGroup(group, who);
  return keeps ? mode : mode & ~S_ISGID;
}

Result<HostPrivileges> HostPrivileges::Of(BorrowedFd file) {
  HostPrivileges had;
  had.mode_ = TRY(sys::Statx({file})).stx_mode;
  auto capability = sys::GetXattr({file}, kCapabilityXattr);
  if (capability.ok()) had.capability_ = std::move(capability).value();
  return had;
}

bool HostPrivileges::any() const {
  return (mode_ & (S_ISUID | S_ISGID)) != 0 || capability_.has_value();
}

Status HostPrivileges::Restore(BorrowedFd file) const {
  if ((mode_ & (S_ISUID | S_ISGID)) != 0 &&
      TRY(sys::Statx({file})).stx_mode != mode_)
    TRY(sys::ChmodAt({file}, mode_ & 07777));
  if (!capability_) return Ok();
  return sys::SetXattr({file}, kCapabilityXattr, *capability_);
}

}  // namespace ufs
