// CopyData and CopyRange: the contents of one file into another, as cheaply as
// the host can: shared blocks (reflink), else copy_file_range, else reads and
// writes; holes stay holes.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Copies the first `size` bytes of `from`, or all that it has, into `to`, which
// is a hole of at least that length. Returns how many bytes were moved, 0 for
// shared blocks. After an error `to` holds a part of them.
Result<uint64_t> CopyData(BorrowedFd from, BorrowedFd to, uint64_t size);

// Makes the bytes [begin, end) of `to`, which lie within its size, those of
// `from`; where `from` has a hole, one is made. Returns how many were moved.
Result<uint64_t> CopyRange(BorrowedFd from, BorrowedFd to, uint64_t begin,
                           uint64_t end);

}  // namespace ufs
