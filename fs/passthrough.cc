#include "fs/passthrough.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace ufs {
namespace {

// As linux/fuse.h, which on older systems lacks them. libfuse has functions for
// both, but only for who answers a request.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

}  // namespace

Result<int> KernelBackingFiles::Register(BorrowedFd file) {
  BackingMap map{.fd = file.get(), .flags = 0, .padding = 0};
  const int id = ioctl(fuse_.get(), kBackingOpen, &map);
  if (id < 0) return Error(errno);
  return id;
}

void KernelBackingFiles::Unregister(int id) {
  // ENOENT alone: the connection has gone, and the file with it.
  auto number = static_cast<uint32_t>(id);
  (void)ioctl(fuse_.get(), kBackingClose, &number);
}

std::string WhyNotPassthrough(int code) {
  switch (code) {
    case EPERM:
      return "the kernel gives passthrough to root of the host alone";
    case ELOOP:
      return "the upper lies on a file system that is stacked itself, such as "
             "overlayfs";
    case EROFS:
      return "there is no upper that may be written";
    default:
      return std::string("registering a file of the upper: ") + strerror(code);
  }
}

}  // namespace ufs
