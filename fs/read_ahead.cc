#include "fs/read_ahead.h"

#include <fcntl.h>

#include <algorithm>

#include "layerdb/base/page_cache.h"

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

void DropBehind(BorrowedFd fd, uint64_t offset, uint64_t size, PagesOf of) {
  // Several reads are under way at once, not quite in order.
  constexpr uint64_t kPieceBytes = 4 << 20;
  const uint64_t end = (offset + size) / kPieceBytes * kPieceBytes;
  if (size < kLargeRequestBytes || end <= offset ||
      end < kKeptTwiceBytes + 2 * kPieceBytes)
    return;
  const uint64_t behind = end - 2 * kPieceBytes;
  if (of == PagesOf::kUpper) {
    const auto clean = sys::IsClean(fd, behind, kPieceBytes);
    if (!clean.ok() || !*clean) return;
  }
  (void)sys::DropPages(fd, behind, kPieceBytes);
}

}  // namespace ufs
