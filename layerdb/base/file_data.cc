#include "layerdb/base/file_data.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

constexpr size_t kExtentBytes = 256 << 10;

}  // namespace

Status WriteAll(BorrowedFd file, std::string_view data, uint64_t offset) {
  while (!data.empty()) {
    // What Pwrite leaves over had a reason, which the next call tells.
    const size_t wrote =
        TRY(sys::Pwrite(file, data.data(), data.size(), offset));
    data.remove_prefix(wrote);
    offset += wrote;
  }
  return Ok();
}

Result<uint64_t> NextData(BorrowedFd file, uint64_t at, uint64_t end) {
  const auto data = sys::LSeek(file, static_cast<int64_t>(at), SEEK_DATA);
  if (data.ok()) return std::min(*data, end);
  if (data.code() == ENXIO) return end;  // a hole up to the end, or the end
  // EINVAL: a file system that does not know; all of it is data then.
  if (data.code() == EINVAL) return at;
  return Error(data.code());
}

Status ForEachExtentIn(BorrowedFd file, uint64_t begin, uint64_t end,
                       const std::function<Status(std::string_view)>& on_data,
                       const std::function<Status(uint64_t)>& on_hole) {
  const auto buffer = std::make_unique<char[]>(kExtentBytes);
  uint64_t at = begin;
  while (at < end) {
    const auto data = sys::LSeek(file, static_cast<int64_t>(at), SEEK_DATA);
    if (data.code() == ENXIO) {  // a hole up to the end, or the end
      const uint64_t size = TRY(sys::LSeek(file, 0, SEEK_END));
      return std::min(size, end) > at ? on_hole(std::min(size, end) - at)
                                      : Ok();
    }
    // EINVAL: a file system that does not know; all of it is data then.
    if (!data.ok() && data.code() != EINVAL) return Error(data.code());
    if (data.ok() && *data > at) {
      const uint64_t start = std::min(*data, end);
      TRY(on_hole(start - at));
      at = start;
      if (at == end) break;
    }
    const auto hole = sys::LSeek(file, static_cast<int64_t>(at), SEEK_HOLE);
    const uint64_t stop = hole.ok() ? std::min(*hole, end) : end;
    while (at < stop) {
      const size_t got = TRY(sys::Pread(
          file, buffer.get(), std::min<uint64_t>(kExtentBytes, stop - at), at));
      if (got == 0) return Ok();
      TRY(on_data({buffer.get(), got}));
      at += got;
    }
  }
  return Ok();
}

Status ForEachExtent(BorrowedFd file,
                     const std::function<Status(std::string_view)>& on_data,
                     const std::function<Status(uint64_t)>& on_hole) {
  return ForEachExtentIn(file, 0, UINT64_MAX, on_data, on_hole);
}

}  // namespace ufs
