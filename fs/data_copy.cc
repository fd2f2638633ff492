#include "fs/data_copy.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "layerdb/base/file_data.h"
#include "layerdb/base/syscall.h"
#include "layerdb/store_io.h"

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
  const size_t room = std::min<uint64_t>(kBufferBytes, end - offset);
  const auto buffer = std::make_unique_for_overwrite<char[]>(room);
  while (offset < end) {
    const size_t want = std::min<uint64_t>(room, end - offset);
    const size_t got = TRY(sys::Pread(from, buffer.get(), want, offset));
    if (got == 0) return Ok();  // shorter than it was: the rest is a hole
    TRY(WriteAll(to, {buffer.get(), got}, offset));
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

// Zeros, as a hole where the host has them.
Status Clear(BorrowedFd to, uint64_t offset, uint64_t end) {
  const auto punched = sys::Fallocate(
      to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, end - offset);
  if (punched.ok() || punched.code() != EOPNOTSUPP) return punched;
  const std::string zeros(std::min<uint64_t>(kBufferBytes, end - offset), 0);
  while (offset < end) {
    const size_t size = std::min<uint64_t>(zeros.size(), end - offset);
    TRY(WriteAll(to, std::string_view(zeros).substr(0, size), offset));
    offset += size;
  }
  return Ok();
}

// Copies the data in [begin, end) and calls `hole` for what lies between.
// Returns how many bytes were data.
template <typename Hole>
Result<uint64_t> CopyExtents(BorrowedFd from, BorrowedFd to, uint64_t begin,
                             uint64_t end, Hole hole) {
  uint64_t moved = 0;
  for (uint64_t at = begin; at < end;) {
    const uint64_t start = TRY(NextData(from, at, end));
    if (start > at) TRY(hole(at, start));
    if (start == end) break;
    const auto next = sys::LSeek(from, static_cast<int64_t>(start), SEEK_HOLE);
    const uint64_t stop = std::min(next.ok() ? *next : end, end);
    TRY(CopyExtent(from, to, start, stop));
    moved += stop - start;
    at = stop;
  }
  return moved;
}

}  // namespace

Result<uint64_t> CopyData(BorrowedFd from, BorrowedFd to, uint64_t size) {
  if (size == 0) return uint64_t{0};
  // A clone has all of `from`, and may not make `to` longer than wanted.
  if (TRY(sys::Statx({from})).stx_size <= size && sys::CloneFile(to, from).ok())
    return uint64_t{0};
  return CopyExtents(from, to, 0, size,
                     [](uint64_t, uint64_t) { return Ok(); });
}

Result<uint64_t> CopyRange(BorrowedFd from, BorrowedFd to, uint64_t begin,
                           uint64_t end) {
  return CopyExtents(from, to, begin, end, [&](uint64_t start, uint64_t stop) {
    return Clear(to, start, stop);
  });
}

}  // namespace ufs
