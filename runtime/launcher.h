// Starts the process that will be a container's init: in one clone3 where all
// its namespaces are new, else through a process that joins first.
// Threads: called in a process with one thread.
#pragma once

#include <functional>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/kernel.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct Launched {
  kernel::Child init;
  UniqueFd channel;  // to it, see channel.h
};

// Runs `body` as the new process, in the namespaces of `spec` but the cgroup
// one, with user ids mapped; `body` gets its end of the channel and does not
// return. `init` is our child, whichever way it came, through `doors`.
Result<Launched> Launch(const ContainerSpec& spec, CgroupDoors& doors,
                        const std::function<void(UniqueFd)>& body);

}  // namespace ufs::runtime
