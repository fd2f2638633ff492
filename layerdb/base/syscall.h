// System calls as Result<T>, so that few others read errno. Each function is
// its system call, with the same name and order of arguments, except that
//  - a place in the tree is an At: a directory descriptor and a name in it, or
//    a descriptor alone (empty name), O_PATH ones included;
//  - symbolic links in the last component are never followed;
//  - descriptors are close-on-exec.
// EINTR is retried where the call can be. Threads: any.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::sys {

// Calls again while a signal cuts it short.
template <typename Call>
long Restart(Call call) {
  long result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

// `name` below `dir`; an empty name is `dir` itself. Borrowed, both.
struct At {
  BorrowedFd dir;
  const char* name = "";
};

Result<UniqueFd> Open(const char* path, int flags, mode_t mode = 0);
Result<UniqueFd> OpenAt(At at, int flags, mode_t mode = 0);
// To read or write without a trace in the access time, where the caller may.
Result<UniqueFd> OpenNoAtime(At at, int flags);
// `resolve` as openat2(2).
Result<UniqueFd> OpenAt2(BorrowedFd dir, const char* path, int flags,
                         uint64_t resolve);
// Opens again what `fd` (may be O_PATH) refers to.
Result<UniqueFd> Reopen(BorrowedFd fd, int flags);

Result<struct statx> Statx(At at);
Result<struct statvfs> StatVfs(BorrowedFd fd);

Status MkDirAt(At at, mode_t mode);
Status MkNodAt(At at, mode_t mode, dev_t rdev);
Status SymlinkAt(const char* target, At at);
// `from` may be a descriptor alone, an O_TMPFILE one included.
Status LinkAt(At from, At to);
Status UnlinkAt(At at, int flags = 0);
Status RenameAt2(At from, At to, unsigned flags = 0);
Result<std::string> ReadLinkAt(At at);

Status ChownAt(At at, uid_t uid, gid_t gid);
// Not for symbolic links, whose mode cannot change.
Status ChmodAt(At at, mode_t mode);
Status UtimensAt(At at, const timespec times[2]);
// The clock that file systems stamp with.
timespec CoarseNow();
Status FTruncate(BorrowedFd fd, uint64_t size);

// Extended attributes of the object itself.
Result<std::string> GetXattr(At at, const char* name);
Result<std::string> ListXattr(At at);  // names, each ended by NUL
Status SetXattr(At at, const char* name, std::string_view value, int flags = 0);
Status RemoveXattr(At at, const char* name);
// How many this process has set: as long as it stays the same, what had none
// has none. Counted once they are set.
uint64_t XattrsSet();

// From and to where the descriptor stands: what pipes have. May move less.
Result<size_t> Read(BorrowedFd fd, char* buffer, size_t size);
Result<size_t> Write(BorrowedFd fd, const char* data, size_t size);
Result<size_t> Pread(BorrowedFd fd, char* buffer, size_t size, uint64_t offset);
// As Pread, but EAGAIN instead of waiting for the disk.
Result<size_t> PreadNoWait(BorrowedFd fd, char* buffer, size_t size,
                           uint64_t offset);
// All of `size`, unless it fails.
Result<size_t> Pwrite(BorrowedFd fd, const char* data, size_t size,
                      uint64_t offset);
Status Fallocate(BorrowedFd fd, int mode, uint64_t offset, uint64_t length);
Result<uint64_t> LSeek(BorrowedFd fd, int64_t offset, int whence);
Result<size_t> CopyFileRange(BorrowedFd in, uint64_t in_offset, BorrowedFd out,
                             uint64_t out_offset, size_t length);
// Shares all blocks of `from` with `to`; EOPNOTSUPP, EXDEV, EINVAL where the
// file system cannot.
Status CloneFile(BorrowedFd to, BorrowedFd from);
Status FSync(BorrowedFd fd);
Status FDataSync(BorrowedFd fd);
Status SyncFs(BorrowedFd fd);
Status Ioctl(BorrowedFd fd, unsigned long request, void* arg);
// An unnamed file in memory, for reading and writing.
Result<UniqueFd> MemFd(const char* name);
// flock(2).
Status FLock(BorrowedFd fd, int operation);

// The first `size` bytes of a file, shared and read-only. REQUIRES: size > 0.
// `at_once`: with all of its pages, for who reads it all; else they come as
// they are asked for.
Result<std::span<const char>> MapReadOnly(BorrowedFd fd, size_t size,
                                          bool at_once);
// Brings all pages of such a map, from the disk if need be; before Linux 5.14,
// into memory only.
Status PopulateMap(std::span<const char> map);
// REQUIRES: `map` came from MapReadOnly, whole.
void Unmap(std::span<const char> map);

// Reads one buffer of struct linux_dirent64; 0 at the end.
Result<size_t> GetDents(BorrowedFd fd, char* buffer, size_t size);
struct LinuxDirent {
  uint64_t ino;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

// A private copy of the mount at `path`, without what is mounted below it;
// read-only if asked. EPERM without CAP_SYS_ADMIN.
Result<UniqueFd> CloneMount(const char* path, bool read_only);

// --- small helpers on top --------------------------------------------------

// Calls `visit(name, type, ino)` for each entry but "." and "..", until it
// returns false. `dir` must be open for reading and is read from the start.
template <typename Visit>
Status ForEachEntry(BorrowedFd dir, Visit visit) {
  TRY(LSeek(dir, 0, SEEK_SET));
  constexpr size_t kBufferBytes = 64 << 10;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  while (true) {
    const size_t got = TRY(GetDents(dir, buffer.get(), kBufferBytes));
    if (got == 0) return Ok();
    for (size_t at = 0; at < got;) {
      const auto* entry =
          reinterpret_cast<const LinuxDirent*>(buffer.get() + at);
      at += entry->length;
      const std::string_view name(entry->name);
      if (name == "." || name == "..") continue;
      if (!visit(entry->name, entry->type, entry->ino)) return Ok();
    }
  }
}

}  // namespace ufs::sys
