#include "layerdb/base/page_cache.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ufs::sys {
namespace {

// As in Linux's include/uapi/linux/mman.h; Debian 12's is older.
#ifndef SYS_cachestat
constexpr long SYS_cachestat = 451;
#endif
struct Range {
  uint64_t offset, size;
};
struct Counts {
  uint64_t cached, dirty, under_way, evicted, recently_evicted;
};

}  // namespace

Result<bool> IsClean(BorrowedFd fd, uint64_t offset, uint64_t size) {
  Range range{offset, size};
  Counts counts{};
  if (syscall(SYS_cachestat, fd.get(), &range, &counts, 0u) != 0)
    return Error(errno);
  return counts.dirty == 0 && counts.under_way == 0;
}

Status DropPages(BorrowedFd fd, uint64_t offset, uint64_t size) {
  // Returns its errno.
  const int code = posix_fadvise(fd.get(), static_cast<off_t>(offset),
                                 static_cast<off_t>(size), POSIX_FADV_DONTNEED);
  return code == 0 ? Ok() : Error(code);
}

}  // namespace ufs::sys
