// Op is one operation on a tree: a system call with its arguments, or an event
// (remount, whole-tree check). It has a text form, one line, so that a failing
// run can be kept, shrunk by hand and replayed.
//
// Paths are relative to the root of the tree. Handles and mappings live in
// numbered slots, so that an operation can name one that an earlier operation
// opened, also after the earlier one has been shrunk away (then: EBADF).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ufs::model {

enum class OpKind {
  kOpen,       // fd <- open(at, path, flags, mode)
  kClose,      // fd
  kRead,       // fd, len: at the handle's offset
  kPread,      // fd, off, len
  kWrite,      // fd, len, seed
  kPwrite,     // fd, off, len, seed
  kTruncate,   // path, len
  kFtruncate,  // fd, len
  kFallocate,  // fd, flags, off, len
  kSeek,       // fd, off, flags = whence; SEEK_DATA and SEEK_HOLE put back
  kCopyRange,  // fd, off -> fd2, off2, len
  kMmap,       // map fd2 <- fd, off, len; flags = PROT_WRITE or 0; MAP_SHARED
  kMunmap,     // fd2
  kLoad,       // fd2: what the mapping shows, up to the end of the file
  kStore,      // fd2, off inside the mapping, len, seed; flags: 1 = msync
  kMkdir,      // at, path, mode
  kRmdir,      // at, path
  kUnlink,     // at, path
  kRename,     // path, path2, flags
  kLink,       // path, path2, flags: AT_SYMLINK_FOLLOW
  kLinkFd,     // fd, path2: by AT_EMPTY_PATH
  kSymlink,    // name = target, path
  kMknod,      // path, mode with type, off = device number
  kChmod,      // path, mode
  kFchmod,     // fd, mode
  kChown,      // path, owner, group; does not follow
  kFchown,     // fd, owner, group
  kUtimens,    // path, atime, mtime; does not follow
  kFutimens,   // fd, atime, mtime
  kSetxattr,   // path, name, len, seed, flags; does not follow
  kGetxattr,   // path, name
  kListxattr,  // path
  kRemovexattr,
  kFsetxattr,  // fd, name, len, seed, flags
  kReaddir,    // path
  kFreaddir,   // fd, from the beginning
  kStat,       // path; does not follow
  kFstat,      // fd
  kReadlink,   // path
  kFsync,      // fd
  kFdatasync,  // fd
  kFlock,      // fd, flags = LOCK_SH, LOCK_EX or LOCK_UN; never waits
  kLock,       // fd, off, len, flags = F_RDLCK, ...: of the process
  kOfdLock,    // the same: of the open file description
  kOfdTest,    // the same: what would be in its way
  kInstall,    // fd: its contents become those of a program
  kExec,       // at, path: runs a program to its end
  kStart,      // fd2 <- at, path: runs a program until kStop
  kStop,       // fd2
  kGetFlags,   // fd
  kSetFlags,   // fd, flags: all of kFileFlags that it is to have
  kGetXflags,  // the same by FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR
  kSetXflags,
  kRemount,     // closes every handle and mapping first; flags: kCommit
  kFreeze,      // commits: the upper begins afresh, with everything open
  kDropCaches,  // makes the kernel forget inodes nobody uses
  kCheckTree,   // compares everything
  kCount,
};

inline constexpr int kHandleSlots = 10;
inline constexpr int kMapSlots = 3;
inline constexpr int kRunSlots = 2;
inline constexpr uid_t kOrdinaryUser = 1001;  // its group has the same number
inline constexpr int kCommit = 1;  // the upper becomes a layer, if it can
inline constexpr int64_t kTimeNow = -1;
inline constexpr int64_t kTimeOmit = -2;

struct Op {
  OpKind kind = OpKind::kCheckTree;
  uid_t uid = 0;  // who asks; no supplementary groups
  int at = -1;    // slot of the directory that `path` starts at
  int fd = -1;
  int fd2 = -1;
  std::string path;
  std::string path2;
  std::string name;
  std::string acl;  // of kSetxattr with the name of an ACL, see acl.h
  int64_t off = 0;
  int64_t off2 = 0;
  int64_t len = 0;
  int flags = 0;
  mode_t mode = 0;
  uint32_t seed = 0;  // of the bytes written, see Pattern
  int64_t owner = -1;
  int64_t group = -1;
  int64_t atime = kTimeOmit;  // seconds; the nanoseconds are seed % 1e9
  int64_t mtime = kTimeOmit;

  std::string ToText() const;
  // Nullopt, with `error` set, for a line that is not an operation.
  static std::optional<Op> FromText(std::string_view line, std::string* error);
};

const char* NameOf(OpKind kind);

// The bytes that operations and layers write: a function of the seed alone.
std::string Pattern(uint32_t seed, int64_t length);

// The value that a kSetxattr or kFsetxattr sets.
std::string XattrValue(const Op& op);

}  // namespace ufs::model
