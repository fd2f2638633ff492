// Has the host read a part of a file into its page cache, while the caller goes
// on.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

Status ReadAhead(BorrowedFd fd, uint64_t offset, uint64_t size);

// What the kernel and the host both keep of a file's start. Requests that are
// small go to and fro, and would cost the disk each time.
inline constexpr uint64_t kKeptTwiceBytes = 32 << 20;
inline constexpr uint64_t kLargeRequestBytes = 128 << 10;

// After [offset, offset + size) of a file was read for the kernel, which keeps
// it: where that crosses into another 4 MiB, as it does in order, the host
// forgets what lies 4 to 8 MiB behind, but of the start. Of a file in the
// upper, what is not to be written any more, where it can tell: this waits for
// no disk and asks for no writing. What cannot be done is left.
enum class PagesOf { kLayer, kUpper };
void DropBehind(BorrowedFd fd, uint64_t offset, uint64_t size, PagesOf of);

}  // namespace ufs
