// The locks of a store: flock(2) on files and folders of it, so that the kernel
// lets go of them whatever becomes of their holder.
//
//   lock            exclusive: who changes layers, names or the catalog,
//   briefly;
//                   shared: who needs them to stay as they are
//   ingest/         shared: an import that counts on objects it has found;
//                   exclusive: who sweeps objects
//   ingest/ID       exclusive: the import that owns it
//   layers/X, views/X   shared: whoever uses the layer or view ("pinned");
//                   exclusive: who removes it
//
// Taken in this order; the last two never waited for.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Holds what its descriptor locks until it is gone.
using HeldLock = UniqueFd;

// Waits. `at` is opened for it.
Result<HeldLock> LockShared(sys::At at);
Result<HeldLock> LockExclusive(sys::At at);
// EBUSY when somebody else holds it.
Result<HeldLock> TryLockExclusive(sys::At at);

// Opens a file that may be removed at any moment and keeps it from that.
// ENOENT when it is not there, or not any more.
Result<UniqueFd> OpenPinned(sys::At at);

}  // namespace ufs
