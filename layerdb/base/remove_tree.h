// Removes trees: drafts, what a crash left, what a store or a container no
// longer needs.
// Threads: any. Errors: of the host; what was removed by then is gone.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// Removes what is at `at` and everything below it; no error where there is
// nothing. No symbolic link is followed. A directory whose mode keeps its owner
// out is opened to us first. A tree may be deeper than the stack, or than there
// are descriptors.
Status RemoveTree(sys::At at);

// The same of all that is in `dir`, which stays.
Status RemoveContents(BorrowedFd dir);

}  // namespace ufs
