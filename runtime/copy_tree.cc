#include "runtime/copy_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layerdb/base/file_data.h"
#include "layerdb/base/posix_acl.h"
#include "layerdb/base/syscall.h"

namespace ufs::runtime {
namespace {

// Each level holds two descriptors.
constexpr int kMaxDepth = 200;

dev_t DeviceOf(const struct statx& stat) {
  return makedev(stat.stx_dev_major, stat.stx_dev_minor);
}

// What the copy's file system cannot hold, or we may not set (trusted.* and
// security.* in a user namespace), is left out, as docker does.
bool MayBeLeftOut(int code) { return code == EOPNOTSUPP || code == EPERM; }

Status CopyXattrs(sys::At from, sys::At to) {
  const auto names = sys::ListXattr(from);
  if (names.code() == EOPNOTSUPP) return Ok();
  if (!names.ok()) return names.error();
  for (size_t at = 0; at < names->size();) {
    const std::string name = names->c_str() + at;
    at += name.size() + 1;
    const auto value = sys::GetXattr(from, name.c_str());
    // Those of others: listed, and not to be seen here; a capability of a user
    // namespace that is not ours (EOVERFLOW); an ACL for ids that are unknown
    // here, where FUSE has it (EINVAL).
    if (value.code() == ENODATA || value.code() == EOVERFLOW ||
        (value.code() == EINVAL && IsAcl(name)) || MayBeLeftOut(value.code()))
      continue;
    if (!value.ok()) return Error(value.code(), name);
    const auto set = sys::SetXattr(
        to, name.c_str(), IsAcl(name) ? WithoutStrangers(*value) : *value);
    if (!set.ok() && !MayBeLeftOut(set.code())) return Error(set.code(), name);
  }
  return Ok();
}

// A change of owner takes capabilities and set-id bits away, ACLs and modes
// change one another, and all of it changes the times.
Status CopyAttributes(sys::At from, sys::At to, const struct statx& stat) {
  TRY(sys::ChownAt(to, stat.stx_uid, stat.stx_gid));
  TRY(CopyXattrs(from, to));
  if (!S_ISLNK(stat.stx_mode)) TRY(sys::ChmodAt(to, stat.stx_mode & 07777));
  const timespec times[2] = {
      {stat.stx_atime.tv_sec, static_cast<long>(stat.stx_atime.tv_nsec)},
      {stat.stx_mtime.tv_sec, static_cast<long>(stat.stx_mtime.tv_nsec)}};
  return sys::UtimensAt(to, times);
}

// Holes stay holes.
Status CopyContents(sys::At from, sys::At to) {
  const UniqueFd in = TRY(sys::OpenAt(from, O_RDONLY | O_NONBLOCK));
  const UniqueFd out = TRY(sys::OpenAt(to, O_WRONLY | O_CREAT | O_EXCL, 0600));
  uint64_t at = 0;
  TRY(ForEachExtent(
      in,
      [&](std::string_view data) -> Status {
        TRY(WriteAll(out, data, at));
        at += data.size();
        return Ok();
      },
      [&](uint64_t bytes) {
        at += bytes;
        return Ok();
      }));
  return sys::FTruncate(out, at);
}

class TreeCopy {
 public:
  TreeCopy(BorrowedFd to, dev_t device) : to_(to), device_(device) {}

  Status Directory(BorrowedFd from, BorrowedFd to) {
    if (path_.size() > kMaxDepth)
      return Error(ELOOP, "directories nested too deep");
    Status status;
    TRY(sys::ForEachEntry(from, [&](const char* name, uint8_t, uint64_t) {
      status = Entry({from, name}, {to, name}).With(name);
      return status.ok();
    }));
    return status;
  }

 private:
  // Of the original: device and inode.
  using Identity = std::pair<dev_t, uint64_t>;
  using Path = std::vector<std::string>;

  Status Entry(sys::At from, sys::At to) {
    const auto stat = TRY(sys::Statx(from));
    if (S_ISDIR(stat.stx_mode)) {
      TRY(sys::MkDirAt(to, 0700));
      if (DeviceOf(stat) == device_) TRY(Below(from, to));
      return CopyAttributes(from, to, stat);
    }
    const Identity identity = {DeviceOf(stat), stat.stx_ino};
    if (stat.stx_nlink > 1) {
      if (const auto first = copied_.find(identity); first != copied_.end())
        return Link(first->second, to);
    }
    if (!TRY(MakeFile(from, to, stat))) return Ok();
    if (stat.stx_nlink > 1) {
      Path& place = copied_[identity];
      place = path_;
      place.emplace_back(to.name);
    }
    return CopyAttributes(from, to, stat);
  }

  Status Below(sys::At from, sys::At to) {
    const UniqueFd below = TRY(sys::OpenAt(from, O_RDONLY | O_DIRECTORY));
    const UniqueFd copy = TRY(sys::OpenAt(to, O_RDONLY | O_DIRECTORY));
    path_.emplace_back(to.name);
    TRY(Directory(below, copy));
    path_.pop_back();
    return Ok();
  }

  // False for what cannot be had here.
  Result<bool> MakeFile(sys::At from, sys::At to, const struct statx& stat) {
    if (S_ISLNK(stat.stx_mode)) {
      const std::string target = TRY(sys::ReadLinkAt(from));
      TRY(sys::SymlinkAt(target.c_str(), to));
    } else if (S_ISREG(stat.stx_mode)) {
      TRY(CopyContents(from, to));
    } else {
      const auto made = sys::MkNodAt(
          to, stat.stx_mode, makedev(stat.stx_rdev_major, stat.stx_rdev_minor));
      // A user namespace has no device nodes.
      if (made.code() == EPERM) return false;
      TRY(Status(made));
    }
    return true;
  }

  // One step at a time: a path may be longer than the kernel takes.
  Status Link(const Path& first, sys::At to) {
    UniqueFd dir = TRY(sys::OpenAt({to_, "."}, O_PATH | O_DIRECTORY));
    for (size_t i = 0; i + 1 < first.size(); ++i)
      dir = TRY(sys::OpenAt({dir, first[i].c_str()}, O_PATH | O_DIRECTORY));
    return sys::LinkAt({dir, first.back().c_str()}, to);
  }

  const BorrowedFd to_;
  const dev_t device_;
  Path path_;                        // of the directory that is being copied
  std::map<Identity, Path> copied_;  // the first name of what has several
};

}  // namespace

Status CopyTree(BorrowedFd from, BorrowedFd to) {
  const UniqueFd in = TRY(sys::OpenAt({from, "."}, O_RDONLY | O_DIRECTORY));
  const UniqueFd out = TRY(sys::OpenAt({to, "."}, O_RDONLY | O_DIRECTORY));
  // What it has inherited would be inherited by all that is made in it.
  for (const char* acl : {kAccessAclXattr, kDefaultAclXattr}) {
    const auto removed = sys::RemoveXattr({out}, acl);
    if (!removed.ok() && removed.code() != ENODATA &&
        removed.code() != EOPNOTSUPP)
      return Error(removed.code(), acl);
  }
  const auto stat = TRY(sys::Statx({in}));
  TRY(TreeCopy(out, DeviceOf(stat)).Directory(in, out));
  return CopyAttributes({in}, {out}, stat);
}

}  // namespace ufs::runtime
