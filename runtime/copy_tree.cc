#include "runtime/copy_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <string>
#include <vector>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

// Each level holds two descriptors.
constexpr int kMaxDepth = 200;

Status CopyAttributes(sys::At to, const struct statx& stat) {
  TRY(sys::ChownAt(to, stat.stx_uid, stat.stx_gid));
  if (!S_ISLNK(stat.stx_mode)) TRY(sys::ChmodAt(to, stat.stx_mode & 07777));
  const timespec times[2] = {
      {stat.stx_atime.tv_sec, static_cast<long>(stat.stx_atime.tv_nsec)},
      {stat.stx_mtime.tv_sec, static_cast<long>(stat.stx_mtime.tv_nsec)}};
  return sys::UtimensAt(to, times);
}

Status CopyContents(sys::At from, sys::At to) {
  const UniqueFd in = TRY(sys::OpenAt(from, O_RDONLY | O_NONBLOCK));
  const UniqueFd out = TRY(sys::OpenAt(to, O_WRONLY | O_CREAT | O_EXCL, 0600));
  std::vector<char> buffer(64 << 10);
  while (true) {
    const size_t got = TRY(kernel::Read(in, buffer.data(), buffer.size()));
    if (got == 0) return Ok();
    TRY(kernel::WriteAll(out, {buffer.data(), got}));
  }
}

Status CopyDirectory(BorrowedFd from, BorrowedFd to, uint64_t device,
                     int depth);

Status CopyEntry(sys::At from, sys::At to, uint64_t device, int depth) {
  const auto stat = TRY(sys::Statx(from));
  const mode_t type = stat.stx_mode & S_IFMT;
  if (type == S_IFDIR) {
    TRY(sys::MkDirAt(to, 0700));
    if (makedev(stat.stx_dev_major, stat.stx_dev_minor) == device) {
      const UniqueFd below = TRY(sys::OpenAt(from, O_RDONLY | O_DIRECTORY));
      const UniqueFd copy = TRY(sys::OpenAt(to, O_RDONLY | O_DIRECTORY));
      TRY(CopyDirectory(below, copy, device, depth + 1));
    }
  } else if (type == S_IFLNK) {
    const std::string target = TRY(sys::ReadLinkAt(from));
    TRY(sys::SymlinkAt(target.c_str(), to));
  } else if (type == S_IFREG) {
    TRY(CopyContents(from, to));
  } else {
    const auto made = sys::MkNodAt(
        to, stat.stx_mode, makedev(stat.stx_rdev_major, stat.stx_rdev_minor));
    // A user namespace has no device nodes.
    if (made.code() == EPERM) return Ok();
    TRY(made);
  }
  return CopyAttributes(to, stat);
}

Status CopyDirectory(BorrowedFd from, BorrowedFd to, uint64_t device,
                     int depth) {
  if (depth > kMaxDepth) return Error(ELOOP, "directories nested too deep");
  Status status;
  TRY(sys::ForEachEntry(from, [&](const char* name, uint8_t, uint64_t) {
    status = CopyEntry({from, name}, {to, name}, device, depth).With(name);
    return status.ok();
  }));
  return status;
}

}  // namespace

Status CopyTree(BorrowedFd from, BorrowedFd to) {
  const UniqueFd in = TRY(sys::OpenAt({from, "."}, O_RDONLY | O_DIRECTORY));
  const UniqueFd out = TRY(sys::OpenAt({to, "."}, O_RDONLY | O_DIRECTORY));
  const auto stat = TRY(sys::Statx({in}));
  TRY(CopyDirectory(in, out, makedev(stat.stx_dev_major, stat.stx_dev_minor),
                    0));
  return CopyAttributes({out}, stat);
}

}  // namespace ufs::runtime
