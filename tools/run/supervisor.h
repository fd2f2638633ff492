// The supervisor: the process that stays with a container that `ufs run` made.
// It lives in a mount namespace of its own, where it mounts the union, so that
// no mount is ever seen on the host or left there; for an ordinary user also in
// a user namespace. Its children are the union's daemon and the container's
// first process.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/id_map.h"
#include "runtime/launcher.h"
#include "tools/run/config.h"
#include "tools/run/options.h"

namespace ufs {

struct SupervisorInput {
  const RunOptions& options;  // with a name
  const ImageConfig& image;
  std::string containers;  // see ContainersDirectory
  std::string volumes;     // see VolumesDirectory
  runtime::IdMaps maps;    // none for root
  // What its layers mean, and the store of those that are digests.
  std::vector<std::string> parts;
  std::string store;
};

// Starts it; the channel speaks as attach_protocol.h says, and its end without
// a word is that of the supervisor.
// Threads: in a process with one thread.
Result<runtime::Launched> StartSupervisor(const SupervisorInput& input);

// Runs `body` as a process where supervisors live: with mounts of its own, and
// for an ordinary user in a user namespace. See runtime::Launch.
Result<runtime::Launched> LaunchApart(
    const runtime::IdMaps& maps, const std::function<void(UniqueFd)>& body);

}  // namespace ufs
