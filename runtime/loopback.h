// The loopback interface of a network namespace. Threads: any.
#pragma once

#include "layerdb/base/result.h"

namespace ufs::runtime {

// Brings up "lo" of the namespace this process is in, which is down when the
// namespace is new. Nothing where the kernel has no IPv4.
Status BringUpLoopback();

}  // namespace ufs::runtime
