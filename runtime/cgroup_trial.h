// Whether limits can be set, by setting them in a cgroup of their own.
// Threads: in a process with one thread.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// For a container of that id, without its limits on devices. The cgroup is
// gone afterwards; signals that would end us meanwhile come then.
Status TryLimits(const Resources& resources, const std::string& id);

// Removes those that killed processes have left where we are.
void RemoveLeftTrials();

}  // namespace ufs::runtime
