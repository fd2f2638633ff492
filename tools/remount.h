// mount -o remount: changes how a union is mounted, not what it is.
#pragma once

#include "tools/mount_union.h"

namespace ufs {

// Sets what mount(8) keeps for any file system (ro, nosuid, nodev, noexec,
// sync) of the union at the request's mount point as its options say; what they
// do not name stays. Options of the union may be there, as mount(8) hands those
// of fstab on, but layers and upper must be those it has. Returns an exit code;
// stderr says what is wrong.
int RemountUnion(const MountRequest& request);

}  // namespace ufs
