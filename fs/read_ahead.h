// Has the host read a part of a file into its page cache, while the caller goes
// on.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

Status ReadAhead(BorrowedFd fd, uint64_t offset, uint64_t size);

// After [offset, offset + size) of a layer's file was read for the kernel,
// which keeps it: where that crosses into another 4 MiB, as it does in order,
// the host forgets what lies 4 to 8 MiB behind; not of the first 32 MiB.
// Nothing of it is to be written, so this waits for no disk. What cannot be
// done is left.
void DropBehind(BorrowedFd fd, uint64_t offset, uint64_t size);

}  // namespace ufs
