// Extended attributes, of syscall.h. By descriptor and name since Linux 6.13;
// before that, and by a descriptor alone that is O_PATH, through /proc, which
// takes two microseconds of walking more.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "layerdb/base/proc_path.h"

namespace ufs::sys {
namespace {

// linux/xattr.h and the table of calls, since 6.13.
struct XattrArgs {
  uint64_t value = 0;
  uint32_t size = 0;
  uint32_t flags = 0;
};
constexpr long kSetXattrAt = 463, kGetXattrAt = 464, kListXattrAt = 465,
               kRemoveXattrAt = 466;

std::atomic<uint64_t> xattrs_set{0};

bool HasXattrAt() {
  static const bool has = [] {
    XattrArgs args;
    return IsKnown(syscall(kGetXattrAt, AT_FDCWD, "/", 0, "user.ufs.probe",
                           &args, sizeof(args)));
  }();
  return has;
}

XattrArgs ArgsOf(const char* value, size_t size, int flags = 0) {
  return {reinterpret_cast<uint64_t>(value), static_cast<uint32_t>(size),
          static_cast<uint32_t>(flags)};
}

// By descriptor, by descriptor and name, or by a path: one that follows the
// /proc link where there is only a descriptor, and one that follows nothing.
template <typename ByFd, typename ByName, typename Follow, typename NoFollow>
auto Call(At at, ByFd by_fd, ByName by_name, Follow follow,
          NoFollow no_follow) {
  if (IsFdAlone(at)) {
    const auto result = by_fd(at.dir.get());
    if (result >= 0 || errno != EBADF) return result;
  } else if (HasXattrAt()) {
    return static_cast<decltype(follow(at.name))>(by_name());
  }
  const ProcPath path(at);
  return IsFdAlone(at) ? follow(path.c_str()) : no_follow(path.c_str());
}

// Reads a value of unknown size: first into a buffer on the stack, then, if it
// is larger, into one of the size the kernel tells.
template <typename Read>
Result<std::string> ReadSized(Read read) {
  char small[512];
  ssize_t size = read(small, sizeof(small));
  if (size >= 0) return std::string(small, size);
  while (errno == ERANGE) {
    size = read(nullptr, 0);
    if (size < 0) break;
    std::string value(size, '\0');
    size = read(value.data(), value.size());
    if (size >= 0) {
      value.resize(size);
      return value;
    }
  }
  return Error(errno);
}

}  // namespace

Result<std::string> GetXattr(At at, const char* name) {
  return ReadSized([&](char* buffer, size_t size) {
    return Call(
        at, [&](int fd) { return fgetxattr(fd, name, buffer, size); },
        [&] {
          const XattrArgs args = ArgsOf(buffer, size);
          return syscall(kGetXattrAt, at.dir.get(), at.name,
                         AT_SYMLINK_NOFOLLOW, name, &args, sizeof(args));
        },
        [&](const char* p) { return getxattr(p, name, buffer, size); },
        [&](const char* p) { return lgetxattr(p, name, buffer, size); });
  });
}

Result<std::string> ListXattr(At at) {
  return ReadSized([&](char* buffer, size_t size) {
    return Call(
        at, [&](int fd) { return flistxattr(fd, buffer, size); },
        [&] {
          return syscall(kListXattrAt, at.dir.get(), at.name,
                         AT_SYMLINK_NOFOLLOW, buffer, size);
        },
        [&](const char* p) { return listxattr(p, buffer, size); },
        [&](const char* p) { return llistxattr(p, buffer, size); });
  });
}

Status SetXattr(At at, const char* name, std::string_view value, int flags) {
  const int result = Call(
      at,
      [&](int fd) {
        return fsetxattr(fd, name, value.data(), value.size(), flags);
      },
      [&] {
        const XattrArgs args = ArgsOf(value.data(), value.size(), flags);
        return syscall(kSetXattrAt, at.dir.get(), at.name, AT_SYMLINK_NOFOLLOW,
                       name, &args, sizeof(args));
      },
      [&](const char* p) {
        return setxattr(p, name, value.data(), value.size(), flags);
      },
      [&](const char* p) {
        return lsetxattr(p, name, value.data(), value.size(), flags);
      });
  const int error = result < 0 ? errno : 0;
  ++xattrs_set;
  return error == 0 ? Ok() : Status(Error(error));
}

uint64_t XattrsSet() { return xattrs_set; }

Status RemoveXattr(At at, const char* name) {
  const int result = Call(
      at, [&](int fd) { return fremovexattr(fd, name); },
      [&] {
        return syscall(kRemoveXattrAt, at.dir.get(), at.name,
                       AT_SYMLINK_NOFOLLOW, name);
      },
      [&](const char* p) { return removexattr(p, name); },
      [&](const char* p) { return lremovexattr(p, name); });
  return result < 0 ? Status(Error(errno)) : Ok();
}

}  // namespace ufs::sys
