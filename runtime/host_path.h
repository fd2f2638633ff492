// What init may not open for itself. In a new user namespace it has the ids of
// the runtime yet none of its rights over the host's files: a directory that is
// closed to others keeps it out, which would let the caller in. So it asks.
//
// The runtime resolves the path where init stands, in its mount namespace: what
// is copied from there stays locked as the host has it (idmapped_mount.h).
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// Where the root and the sources of bind mounts are; relative ones begin at the
// bundle.
std::string AbsolutePath(const std::string& path, const std::string& bundle);

// What is asked for: a source of spec.mounts by its index, or the root.
constexpr char kRootItself[] = "root";

// In init: a descriptor of it, as by O_PATH.
Result<UniqueFd> RequestHostPath(BorrowedFd channel, const std::string& which);

// In the runtime: what process `init` has asked for by `which`.
Result<UniqueFd> OpenHostPath(const ContainerSpec& spec,
                              const std::string& bundle, pid_t init,
                              const std::string& which);

}  // namespace ufs::runtime
