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

Status ForEachExtent(BorrowedFd file,
                     const std::function<Status(std::string_view)>& on_data,
                     const std::function<Status(uint64_t)>& on_hole) {
  const auto buffer = std::make_unique<char[]>(kExtentBytes);
  uint64_t at = 0;
  while (true) {
    const auto data = sys::LSeek(file, static_cast<int64_t>(at), SEEK_DATA);
    if (data.code() == ENXIO) {  // a hole up to the end, or the end
      const uint64_t end = TRY(sys::LSeek(file, 0, SEEK_END));
      return end > at ? on_hole(end - at) : Ok();
    }
    // EINVAL: a file system that does not know; all of it is data then.
    if (!data.ok() && data.code() != EINVAL) return Error(data.code());
    if (data.ok() && *data > at) {
      TRY(on_hole(*data - at));
      at = *data;
    }
    const auto hole = sys::LSeek(file, static_cast<int64_t>(at), SEEK_HOLE);
    const uint64_t end = hole.ok() ? *hole : UINT64_MAX;
    while (at < end) {
      const size_t got = TRY(sys::Pread(
          file, buffer.get(), std::min<uint64_t>(kExtentBytes, end - at), at));
      if (got == 0) return Ok();
      TRY(on_data({buffer.get(), got}));
      at += got;
    }
  }
}

}  // namespace ufs
