// Which way requests can travel on this machine, found out before the mount:
// once a mount speaks io_uring with a ring that cannot be completed, every
// caller hangs.
// Threads: any.
#pragma once

#include "layerdb/base/result.h"

namespace ufs {

// Over how many rings requests can come by io_uring; if by none, the error says
// what is in the way and who can change it. That the kernel knows this
// transport at all shows only when the session starts.
Result<unsigned> ProbeIoUring();

// Requests that each ring holds at a time, for a machine with `cpus` rings.
unsigned RingDepth(unsigned cpus);

}  // namespace ufs
