// Copies what a directory holds, for "tmpcopyup". Threads: any.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::runtime {

// Everything below `from` to below `to`, an empty directory: contents, owners,
// modes, times, links and special files; and the attributes of `from` itself.
// Symbolic links are copied, never followed; mounts are not entered.
Status CopyTree(BorrowedFd from, BorrowedFd to);

}  // namespace ufs::runtime
