#include "tests/model/file_flags.h"

#include <sys/ioctl.h>

namespace ufs::model {
namespace {

struct FlagPair {
  int flag;
  unsigned xflag;
};
constexpr FlagPair kPairs[] = {{FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
                               {FS_APPEND_FL, FS_XFLAG_APPEND},
                               {FS_NODUMP_FL, FS_XFLAG_NODUMP},
                               {FS_NOATIME_FL, FS_XFLAG_NOATIME}};

}  // namespace

int GetFileFlags(int fd, FlagsCall call) {
  if (call == FlagsCall::kFlags) {
    int flags = 0;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? -1 : flags & kFileFlags;
  }
  fsxattr attr = {};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0) return -1;
  int flags = 0;
  for (const auto& [flag, xflag] : kPairs)
    if ((attr.fsx_xflags & xflag) != 0) flags |= flag;
  return flags;
}

int SetFileFlags(int fd, FlagsCall call, int flags) {
  if (call == FlagsCall::kFlags) {
    int all = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &all) < 0) return -1;
    all = (all & ~kFileFlags) | flags;
    return ioctl(fd, FS_IOC_SETFLAGS, &all);
  }
  fsxattr attr = {};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0) return -1;
  for (const auto& [flag, xflag] : kPairs) {
    attr.fsx_xflags &= ~xflag;
    if ((flags & flag) != 0) attr.fsx_xflags |= xflag;
  }
  return ioctl(fd, FS_IOC_FSSETXATTR, &attr);
}

}  // namespace ufs::model
