// Whether a container can be made, for who would remove another first: what
// only the machine or the layers can tell. Nothing of it stays.
// Threads: in a process with one thread.
#pragma once

#include "layerdb/base/result.h"
#include "tools/run/supervisor.h"

namespace ufs {

// All that is checked before it is made, and beside that its limits, in a
// cgroup of their own, and users that are given by name, in its layers.
// ECHILD without context: stderr says why, see StartUnion.
Status TryToMake(const SupervisorInput& input);

}  // namespace ufs
