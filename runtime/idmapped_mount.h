// Idmapped mounts: bind mounts whose files belong to other ids than the file
// system says (mount_setattr(2), MOUNT_ATTR_IDMAP).
//
// The right to map is root's of the user namespace that the file system was
// mounted in, so the runtime's on the host; in a user namespace it is had of
// what was mounted there, and by nobody of what the host has mounted. But the
// tree is opened by init, in the container's mount namespace, where whatever
// the host has made read-only or has mounted over something stays so for a
// privileged container in a user namespace. So init asks over the channel,
// before it attaches the tree (R3).
#pragma once

#include <optional>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/mount_flags.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// How the ids of `mount` are to be mapped, `flags` being its options; nullopt:
// as they are. Without mappings in it: those of the user namespace of `spec`.
// EINVAL for one that is half said, has nothing to be mapped by, or is no bind
// mount.
Result<std::optional<MountIdMap>> IdMapOf(const ContainerSpec& spec,
                                          const Mount& mount,
                                          const MountFlags& flags);

// In init: has `tree`, the detached source of spec.mounts[`index`], mapped.
Status RequestIdMap(BorrowedFd channel, size_t index, BorrowedFd tree);

// In the runtime: does what RequestIdMap of process `init` has asked for.
// `index` is as it was said. An error names the mount.
Status MapMount(const ContainerSpec& spec, pid_t init, const std::string& index,
                BorrowedFd tree);

}  // namespace ufs::runtime
