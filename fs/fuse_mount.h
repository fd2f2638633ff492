// Mounting and unmounting by the kernel's FUSE, with a message of its own for
// each thing that commonly fails.
// Threads: any, for one mount one at a time.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/mount_config.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Generic options in the order they are to count, in three forms.
struct FuseMountOptions {
  unsigned long flags = 0;  // MS_*, for mount(2)
  std::string data;         // for mount(2), without fd= and rootmode=
  std::string helper;       // for fusermount3: flags and data as words
};

// EINVAL for an option that is none of mount(8)'s, naming it.
Result<FuseMountOptions> ToFuseMountOptions(const MountConfig& config);

// The errors a person can do something about, found before anything is changed:
// no /dev/fuse or no permission on it; a mount point that is missing, is no
// directory, or is the mount of a dead daemon.
Status CheckMountPoint(const std::string& path);
Result<UniqueFd> OpenFuseDevice();

// Mounts directly; the device, to be served. EPERM when this process may not
// mount, and fusermount3 may.
Result<UniqueFd> MountDirectly(const MountConfig& config,
                               const FuseMountOptions& options);
// Mounts through fusermount3.
Result<UniqueFd> MountThroughHelper(const MountConfig& config,
                                    const FuseMountOptions& options);

// Unmounts `path` if the mount with number `device` is what is there; from the
// namespace at once, though files in it may be open (`lazily`).
Status UnmountFuse(const std::string& path, dev_t device, bool lazily);

// The device number of what is mounted at `path`, without asking its daemon.
Result<dev_t> DeviceAt(const std::string& path);

}  // namespace ufs
