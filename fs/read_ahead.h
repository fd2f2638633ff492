// Has the host read a part of a file into its page cache, while the caller goes
// on.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

Status ReadAhead(BorrowedFd fd, uint64_t offset, uint64_t size);

// After [offset, offset + size) of a file was read for the kernel, which keeps
// it: of large files, read in order, the host forgets what lies behind, but for
// the first 32 MiB. Never waits for the disk; what cannot be done is left.
void DropBehind(BorrowedFd fd, uint64_t offset, uint64_t size);

}  // namespace ufs
