#include "layerdb/base/syscall.h"

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "layerdb/base/proc_path.h"

namespace ufs::sys {
namespace {

Status Check(long result) {
  if (result < 0) [[unlikely]]
    return Error(errno);
  return Ok();
}

Result<UniqueFd> FdOf(long result) {
  if (result < 0) return Error(errno);
  return UniqueFd(static_cast<int>(result));
}

template <typename Call>
Result<size_t> CountOf(Call call) {
  const long result = Restart(call);
  if (result < 0) [[unlikely]]
    return Error(errno);
  return static_cast<size_t>(result);
}

}  // namespace

Result<UniqueFd> Open(const char* path, int flags, mode_t mode) {
  return FdOf(Restart([&] { return open(path, flags | O_CLOEXEC, mode); }));
}

Result<UniqueFd> OpenAt(At at, int flags, mode_t mode) {
  return FdOf(Restart([&] {
    return openat(at.dir.get(), at.name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
  }));
}

Result<UniqueFd> OpenNoAtime(At at, int flags) {
  const auto open = [&](int all_flags) {
    return at.name[0] == '\0' ? Reopen(at.dir, all_flags)
                              : OpenAt(at, all_flags);
  };
  auto fd = open(flags | O_NOATIME);
  if (fd.code() == EPERM) fd = open(flags);  // another's file
  return fd;
}

Result<UniqueFd> OpenAt2(BorrowedFd dir, const char* path, int flags,
                         uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  return FdOf(Restart([&] {
    return syscall(SYS_openat2, dir.get(), path, &how, sizeof(how));
  }));
}

Result<UniqueFd> Reopen(BorrowedFd fd, int flags) {
  const ProcPath path(At{fd});
  return Open(path.c_str(), flags & ~O_NOFOLLOW);
}

Result<struct statx> Statx(At at) {
  struct statx result;
  TRY(Check(statx(at.dir.get(), at.name,
                  AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                  STATX_BASIC_STATS | STATX_BTIME, &result)));
  return result;
}

Result<struct statvfs> StatVfs(BorrowedFd fd) {
  struct statvfs result;
  TRY(Check(Restart([&] { return fstatvfs(fd.get(), &result); })));
  return result;
}

Status MkDirAt(At at, mode_t mode) {
  return Check(mkdirat(at.dir.get(), at.name, mode));
}

Status MkNodAt(At at, mode_t mode, dev_t rdev) {
  return Check(mknodat(at.dir.get(), at.name, mode, rdev));
}

Status SymlinkAt(const char* target, At at) {
  return Check(symlinkat(target, at.dir.get(), at.name));
}

Status LinkAt(At from, At to) {
  if (!IsFdAlone(from))
    return Check(linkat(from.dir.get(), from.name, to.dir.get(), to.name, 0));
  // AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH, without which it is ENOENT; the
  // way through /proc does not, and walks two paths more.
  const Status linked =
      Check(linkat(from.dir.get(), "", to.dir.get(), to.name, AT_EMPTY_PATH));
  if (linked.code() != ENOENT) return linked;
  const ProcPath path(from);
  return Check(
      linkat(AT_FDCWD, path.c_str(), to.dir.get(), to.name, AT_SYMLINK_FOLLOW));
}

Status UnlinkAt(At at, int flags) {
  return Check(unlinkat(at.dir.get(), at.name, flags));
}

Status RenameAt2(At from, At to, unsigned flags) {
  return Check(
      renameat2(from.dir.get(), from.name, to.dir.get(), to.name, flags));
}

Result<std::string> ReadLinkAt(At at) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size =
      readlinkat(at.dir.get(), at.name, target.data(), target.size());
  TRY(Check(size));
  target.resize(size);
  return target;
}

Status ChownAt(At at, uid_t uid, gid_t gid) {
  return Check(fchownat(at.dir.get(), at.name, uid, gid,
                        AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

Status ChmodAt(At at, mode_t mode) {
  // Since Linux 6.6; before, fchmodat has no flags.
  constexpr long kFChmodAt2 = 452;
  static const bool has_flags = IsKnown(syscall(kFChmodAt2, -1, "", 0, 0));
  if (has_flags)
    return Check(syscall(kFChmodAt2, at.dir.get(), at.name, mode,
                         IsFdAlone(at) ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW));
  const ProcPath path(at);
  return Check(chmod(path.c_str(), mode));
}

Status UtimensAt(At at, const timespec times[2]) {
  if (!IsFdAlone(at))
    return Check(utimensat(at.dir.get(), at.name, times, AT_SYMLINK_NOFOLLOW));
  return Check(utimensat(at.dir.get(), "", times, AT_EMPTY_PATH));
}

timespec CoarseNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);  // fails for no valid clock
  return now;
}

Status FTruncate(BorrowedFd fd, uint64_t size) {
  return Check(
      Restart([&] { return ftruncate(fd.get(), static_cast<off_t>(size)); }));
}

Result<size_t> Read(BorrowedFd fd, char* buffer, size_t size) {
  return CountOf([&] { return read(fd.get(), buffer, size); });
}

Result<size_t> Write(BorrowedFd fd, const char* data, size_t size) {
  return CountOf([&] { return write(fd.get(), data, size); });
}

Result<size_t> Pread(BorrowedFd fd, char* buffer, size_t size,
                     uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    const size_t got = TRY(CountOf([&] {
      return pread(fd.get(), buffer + done, size - done,
                   static_cast<off_t>(offset + done));
    }));
    if (got == 0) break;
    done += got;
  }
  return done;
}

Result<size_t> PreadNoWait(BorrowedFd fd, char* buffer, size_t size,
                           uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    const iovec vector{buffer + done, size - done};
    const size_t got = TRY(CountOf([&] {
      return preadv2(fd.get(), &vector, 1, static_cast<off_t>(offset + done),
                     RWF_NOWAIT);
    }));
    if (got == 0) break;
    done += got;
  }
  return done;
}

Result<size_t> Pwrite(BorrowedFd fd, const char* data, size_t size,
                      uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    auto wrote = CountOf([&] {
      return pwrite(fd.get(), data + done, size - done,
                    static_cast<off_t>(offset + done));
    });
    // What was written before the disk filled up is written.
    if (!wrote.ok() && done > 0) break;
    done += TRY(wrote);
  }
  return done;
}

Status Fallocate(BorrowedFd fd, int mode, uint64_t offset, uint64_t length) {
  return Check(Restart([&] {
    return fallocate(fd.get(), mode, static_cast<off_t>(offset),
                     static_cast<off_t>(length));
  }));
}

Result<uint64_t> LSeek(BorrowedFd fd, int64_t offset, int whence) {
  const off_t result = lseek(fd.get(), offset, whence);
  TRY(Check(result));
  return static_cast<uint64_t>(result);
}

Result<size_t> CopyFileRange(BorrowedFd in, uint64_t in_offset, BorrowedFd out,
                             uint64_t out_offset, size_t length) {
  return CountOf([&] {
    auto from = static_cast<off64_t>(in_offset);
    auto to = static_cast<off64_t>(out_offset);
    return copy_file_range(in.get(), &from, out.get(), &to, length, 0);
  });
}

Status CloneFile(BorrowedFd to, BorrowedFd from) {
  return Check(ioctl(to.get(), FICLONE, from.get()));
}

Status FSync(BorrowedFd fd) {
  return Check(Restart([&] { return fsync(fd.get()); }));
}

Status FDataSync(BorrowedFd fd) {
  return Check(Restart([&] { return fdatasync(fd.get()); }));
}

Status SyncFs(BorrowedFd fd) { return Check(syncfs(fd.get())); }

Status Ioctl(BorrowedFd fd, unsigned long request, void* arg) {
  return Check(ioctl(fd.get(), request, arg));
}

Result<UniqueFd> MemFd(const char* name) {
  return FdOf(memfd_create(name, MFD_CLOEXEC));
}

Status FLock(BorrowedFd fd, int operation) {
  return Check(Restart([&] { return flock(fd.get(), operation); }));
}

Result<std::span<const char>> MapReadOnly(BorrowedFd fd, size_t size,
                                          bool at_once) {
  void* const map =
      mmap(nullptr, size, PROT_READ, MAP_SHARED | (at_once ? MAP_POPULATE : 0),
           fd.get(), 0);
  if (map == MAP_FAILED) return Error(errno);
  return std::span(static_cast<const char*>(map), size);
}

Status PopulateMap(std::span<const char> map) {
  auto* const start = const_cast<char*>(map.data());
  const Status done = Check(madvise(start, map.size(), MADV_POPULATE_READ));
  if (done.code() != EINVAL) return done;
  return Check(madvise(start, map.size(), MADV_WILLNEED));
}

void Unmap(std::span<const char> map) {
  munmap(const_cast<char*>(map.data()), map.size());
}

Result<size_t> GetDents(BorrowedFd fd, char* buffer, size_t size) {
  return CountOf(
      [&] { return syscall(SYS_getdents64, fd.get(), buffer, size); });
}

Result<UniqueFd> CloneMount(const char* path, bool read_only) {
  UniqueFd tree =
      TRY(FdOf(syscall(SYS_open_tree, AT_FDCWD, path,
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT)));
  if (read_only) {
    struct mount_attr attr {};
    attr.attr_set = MOUNT_ATTR_RDONLY;
    TRY(Check(syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attr,
                      sizeof(attr))));
  }
  return tree;
}

}  // namespace ufs::sys
