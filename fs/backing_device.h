// What the kernel keeps for the pages of each mount (its "backing device
// info"), and lets root set: /sys/class/bdi/MAJOR:MINOR, documented in the
// kernel's Documentation/ABI/testing/sysfs-class-bdi.
// Threads: any.
#pragma once

#include <sys/types.h>

#include "layerdb/base/result.h"

namespace ufs {

// All for root: EACCES for an ordinary user. ENOENT where /sys does not show
// the mount.

// How far the kernel reads ahead of who reads a file in order. For files that
// are opened from now on.
Status SetReadAhead(dev_t mount, unsigned kib);

// As many pages that are not written back as a disk may have. Of a FUSE mount
// the kernel takes a hundredth of that, and stops who writes there.
Status AllowDirtyPages(dev_t mount);

}  // namespace ufs
