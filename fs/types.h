// The words the filesystem is written in: strong types at its edges, plain
// structs inside. Nothing here knows of FUSE or of how a layer is stored.
#pragma once

#include <limits.h>
#include <sys/types.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

// Of a mode: what chmod changes.
inline constexpr mode_t kPermissionBits = 07777;

// What the kernel calls an inode: a slot in the inode table, never a pointer.
// Zero is "no node" on the wire and never names one.
enum class NodeId : uint64_t { kNone = 0, kRoot = 1 };

// One path component: not empty, no '/', not "." or "..", at most 255 bytes,
// NUL-terminated. A function that takes a Name need not check it.
// Borrowed: lives no longer than the string it was parsed from.
class Name {
 public:
  static Result<Name> Parse(const char* text) {
    const size_t length = strnlen(text, NAME_MAX + 1);
    if (length > NAME_MAX) return Error(ENAMETOOLONG);
    const std::string_view view(text, length);
    if (view.empty() || view == "." || view == ".." ||
        view.find('/') != view.npos)
      return Error(EINVAL);
    return Name(text, length);
  }
  // REQUIRES: `text` came out of a Name, or out of getdents.
  static Name Trusted(const std::string& text) {
    return Name(text.c_str(), text.size());
  }
  static Name Trusted(const char* text) { return Name(text, strlen(text)); }

  const char* c_str() const { return text_; }
  std::string_view view() const { return {text_, length_}; }
  std::string str() const { return std::string(view()); }
  friend bool operator==(Name a, Name b) { return a.view() == b.view(); }

 private:
  Name(const char* text, size_t length) : text_(text), length_(length) {}
  const char* text_;
  size_t length_;
};

// Who asks. Ids are those of the user namespace the mount belongs to.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;
};

// What stat tells, and the birth time. `ino` is the union's own number, which
// does not change over copy-up or remount.
struct Attr {
  uint64_t ino = 0;
  mode_t mode = 0;  // with the S_IFMT bits
  uint32_t nlink = 1;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t rdev = 0;
  uint64_t size_bytes = 0;
  uint64_t blocks = 0;  // of 512 bytes
  uint32_t blksize_bytes = 4096;
  timespec atime{};
  timespec mtime{};
  timespec ctime{};
  timespec btime{};
  // It changes without a message: good for this answer alone.
  bool times_move = false;
  // The ids are those to show: no map of the mount's is to be applied.
  bool shown_ids = false;
};

// A change of attributes; what is not set stays. Times may be UTIME_NOW.
struct AttrChange {
  std::optional<mode_t> mode;  // permission bits only
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<uint64_t> size_bytes;
  std::optional<timespec> atime;
  std::optional<timespec> mtime;
  // The kernel asks that set-id bits be dropped, as the caller may not keep
  // them (FUSE_HANDLE_KILLPRIV_V2).
  bool kill_suidgid = false;
  // Nobody's wish: the kernel, who keeps the times of what it caches, tells
  // them, and they may be no news.
  bool flushes_times = false;

  // What chown(2) with no ids comes as.
  bool empty() const {
    return !mode && !uid && !gid && !size_bytes && !atime && !mtime;
  }
};

// The answer to a lookup or a creation. It carries one lookup reference, which
// the kernel gives back through Forget.
struct Entry {
  NodeId node = NodeId::kNone;
  Attr attr;
};

}  // namespace ufs
