#include "fs/data_copy.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

// Where copy_file_range is refused: between file systems of old kernels, or
// from ones that do not have it.
bool RangeRefused(int code) {
  return code == EXDEV || code == EOPNOTSUPP || code == EINVAL ||
         code == ENOSYS || code == EBADF;
}

Status CopyByBuffer(BorrowedFd from, BorrowedFd to, uint64_t offset,
                    uint64_t end) {
  const auto buffer = std::make_unique<char[]>(kBufferBytes);
  while (offset < end) {
    const size_t want = std::min<uint64_t>(kBufferBytes, end - offset);
    const size_t got = TRY(sys::Pread(from, buffer.get(), want, offset));
    if (got == 0) return Ok();  // shorter than it was: the rest is a hole
    const size_t put = TRY(sys::Pwrite(to, buffer.get(), got, offset));
    if (put < got) return Error(ENOSPC);
    offset += got;
  }
  return Ok();
}

Status CopyExtent(BorrowedFd from, BorrowedFd to, uint64_t offset,
                  uint64_t end) {
  while (offset < end) {
    const auto copied =
        sys::CopyFileRange(from, offset, to, offset, end - offset);
    if (RangeRefused(copied.code())) return CopyByBuffer(from, to, offset, end);
    if (!copied.ok()) return Error(copied.code());
    // Some file systems answer 0 although there is more.
    if (*copied == 0) return CopyByBuffer(from, to, offset, end);
    offset += *copied;
  }
  return Ok();
}

}  // namespace

Result<uint64_t> CopyData(BorrowedFd from, BorrowedFd to, uint64_t size) {
  if (size == 0) return uint64_t{0};
  // A clone has all of `from`, and may not make `to` longer than wanted.
  if (TRY(sys::Statx({from})).stx_size <= size && sys::CloneFile(to, from).ok())
    return uint64_t{0};
  uint64_t moved = 0;
  for (uint64_t at = 0; at < size;) {
    const auto data = sys::LSeek(from, static_cast<int64_t>(at), SEEK_DATA);
    if (data.code() == ENXIO) break;  // a hole up to the end
    if (!data.ok() && data.code() != EINVAL) return Error(data.code());
    const uint64_t start = data.ok() ? *data : at;
    if (start >= size) break;
    const auto hole = sys::LSeek(from, static_cast<int64_t>(start), SEEK_HOLE);
    const uint64_t end = std::min(hole.ok() ? *hole : size, size);
    TRY(CopyExtent(from, to, start, end));
    moved += end - start;
    at = end;
  }
  return moved;
}

}  // namespace ufs
