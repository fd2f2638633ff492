#include "fs/read_ahead.h"

#include <fcntl.h>

#include <algorithm>

namespace ufs {

Status ReadAhead(BorrowedFd fd, uint64_t offset, uint64_t size) {
  // The kernel takes no more than a device's largest request at a time.
  constexpr uint64_t kPieceBytes = 512 << 10;
  for (const uint64_t end = offset + size; offset < end;) {
    const uint64_t piece = std::min(kPieceBytes, end - offset);
    // Returns its errno.
    if (const int code =
            posix_fadvise(fd.get(), static_cast<off_t>(offset),
                          static_cast<off_t>(piece), POSIX_FADV_WILLNEED))
      return Error(code);
    offset += piece;
  }
  return Ok();
}

}  // namespace ufs
