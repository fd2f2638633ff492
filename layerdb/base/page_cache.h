// What the host keeps of files in memory. Threads: any.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::sys {

// Whether nothing in [offset, offset + size) of a file is still to be written
// to the disk; 0 for a size is all that follows. cachestat(2): ENOSYS before
// Linux 6.5, EPERM for a file that the caller may not write to.
Result<bool> IsClean(BorrowedFd fd, uint64_t offset, uint64_t size);

// Forgets what is in memory of it, but what is to be written; that is begun to
// be written.
Status DropPages(BorrowedFd fd, uint64_t offset, uint64_t size);

}  // namespace ufs::sys
