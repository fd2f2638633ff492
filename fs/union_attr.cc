// Changing attributes.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "fs/ioctl.h"
#include "fs/set_id.h"
#include "fs/union_fs.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/posix_acl.h"
#include "layerdb/base/privilege.h"

namespace ufs {
namespace {

FaultPoint kSetAttr("setattr.before");
DonePoint kOwned("setattr.owned");
FaultPoint kSetXattr("setxattr.before");
FaultPoint kRemoveXattr("removexattr.before");
FaultPoint kSetFlags("setflags.before");

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

// REQUIRES: inode->mu held alone, and the inode in the upper.
Status UnionFs::SetAttrLocked(const InodeRef& inode, const AttrChange& change,
                              const Caller& caller) {
  const Place place = TRY(UpperPlace(inode));
  const sys::At at = place.at();
  Attr now;
  if (change.uid || change.gid || change.mode) now = TRY(upper_->GetAttr(at));
  if (change.uid || change.gid) {
    TRY(upper_->SetOwner(at, now, change.uid.value_or(now.uid),
                         change.gid.value_or(now.gid)));
    kOwned.Visit();
    const mode_t kept =
        S_ISDIR(now.mode) ? now.mode : WithoutSetId(now.mode, now.gid, caller);
    if ((now.mode & (S_ISUID | S_ISGID)) != 0 || change.mode) {
      now = TRY(upper_->GetAttr(at));
      if ((now.mode & ~kept & (S_ISUID | S_ISGID)) != 0)
        TRY(upper_->SetMode(at, now, kept));
    }
  }
  if (change.size_bytes) {
    const FdCache::Pin fd = TRY(WritableDataFd(inode));
    TRY(MendMarks(inode, *fd));
    TRY(sys::FTruncate(*fd, *change.size_bytes));
    TRY(TruncateChunks(inode, *fd, *change.size_bytes));
  }
  if (change.mode) {
    if (S_ISLNK(now.mode)) return Error(EOPNOTSUPP);
    TRY(upper_->SetMode(at, now, *change.mode));
    inode->no_suid = false;
  }
  if (change.atime || change.mtime) {
    constexpr timespec kOmit{0, UTIME_OMIT};
    const timespec times[2] = {change.atime.value_or(kOmit),
                               change.mtime.value_or(kOmit)};
    Status set = sys::UtimensAt(at, times);
    // An append-only file has grown. Its time is when that came here, if no
    // other can be had.
    const bool is_due =
        change.flushes_times && inode->times && inode->times->mtime_due;
    if (set.code() == EPERM && is_due) set = SetTimesOfAppend(inode, times);
    if (!(set.code() == EPERM && is_due)) TRY(set);
    if (change.mtime && inode->is_split()) {
      const auto released = upper_->RemoveMark(at, names_.held_time);
      if (released.code() != ENODATA) TRY(released);
    }
    if (change.mtime && inode->times) inode->times->Told(*change.mtime);
  }
  return Ok();
}

// Who may change the mode gives up set-id bits by changing nothing: either he
// called chown(2) without ids, or the kernel announces his write in the same
// words. Anybody else's write says itself that it drops them, unless it passes
// us by, and his chown is refused. Where /proc does not tell what he called, it
// was a write.
Result<Attr> UnionFs::SetNothing(const InodeRef& inode, const Caller& caller) {
  const auto attr_of = [&]() -> Result<Attr> {
    ReaderLock lock(inode->mu);
    return AttrLocked(inode);
  };
  const Attr attr = TRY(attr_of());
  // With CAP_FSETID it is a write that has cost a capability, and nothing more.
  const bool costs_no_bits =
      inode->lost_capability.exchange(false) && IsHostRoot() && caller.uid == 0;
  if (S_ISDIR(attr.mode) || S_ISLNK(attr.mode) ||
      WithoutSetId(attr.mode, attr.gid, caller) == attr.mode)
    return attr;
  const bool may = caller.uid == 0 || caller.uid == attr.uid;
  if (!may || costs_no_bits) {
    const bool is_write = !IsInChown(caller.pid);
    if (is_write && (costs_no_bits || !IsPassed(inode))) return attr;
    if (!is_write && !may) return Error(EPERM);
  }
  TRY(CopyUp(inode, Backing::kMetacopy));
  TRY(KillSuid(inode, caller));
  return attr_of();
}

Result<Attr> UnionFs::SetAttr(NodeId node, const AttrChange& change,
                              const Caller& caller) {
  const InodeRef inode = TRY(Get(node));
  if (change.size_bytes && !inode->is_regular())
    return Error(inode->is_dir() ? EISDIR : EINVAL);
  TRY(kSetAttr.Visit());
  if (change.empty()) return SetNothing(inode, caller);
  if (change.flushes_times && !inode->in_upper()) {
    ReaderLock lock(inode->mu);
    const Attr attr = TRY(AttrLocked(inode));
    if (SameTime(attr.mtime, *change.mtime)) return attr;
  }
  if (!change.flushes_times) inode->lost_capability = false;
  if (change.size_bytes) {
    const auto has_suid = [&]() -> Result<bool> {
      ReaderLock lock(inode->mu);
      const Attr attr = TRY(AttrLocked(inode));
      return WithoutSetId(attr.mode, attr.gid, caller) != attr.mode;
    };
    // Set-id bits go first: a crash in between may cost them, never keep them.
    if (change.kill_suidgid && !inode->no_suid && TRY(has_suid())) {
      TRY(CopyUp(inode, Backing::kMetacopy, *change.size_bytes));
      TRY(KillSuid(inode, caller));
    }
    TRY(CopyUp(inode,
               *change.size_bytes == 0 ? Backing::kUpper : Backing::kPartial,
               *change.size_bytes));
  } else {
    TRY(CopyUp(inode, Backing::kMetacopy));
  }
  return WhileNoneFills(inode, [&]() -> Result<Attr> {
    WriterLock lock(inode->mu);
    TRY(SetAttrLocked(inode, change, caller));
    return AttrLocked(inode);
  });
}

// --- extended attributes ---------------------------------------------------

Result<std::string> UnionFs::GetXattr(NodeId node, const char* name) {
  if (!config_.acl && IsAcl(name)) return Error(EOPNOTSUPP);
  const InodeRef inode = TRY(Get(node));
  ReaderLock lock(inode->mu);
  if (!inode->in_upper())
    return inode->lower.layer().GetXattr(inode->lower, name);
  if (std::string_view(name) == kCapabilityXattr &&
      inode->silent.On(SilentXattrs::kCapability))
    return Error(ENODATA);
  const Place place = TRY(UpperPlace(inode));
  return upper_->GetXattr(place.at(), name);
}

Result<std::string> UnionFs::ListXattr(NodeId node) {
  const InodeRef inode = TRY(Get(node));
  ReaderLock lock(inode->mu);
  if (!inode->in_upper()) return inode->lower.layer().ListXattr(inode->lower);
  const Place place = TRY(UpperPlace(inode));
  return upper_->ListXattr(place.at());
}

Status UnionFs::SetXattr(NodeId node, const char* name, std::string_view value,
                         int flags, const Caller& caller) {
  if (!config_.acl && IsAcl(name)) return Error(EOPNOTSUPP);
  const InodeRef inode = TRY(Get(node));
  if (inode->in_upper() == false && (flags & XATTR_REPLACE) != 0) {
    // What cannot succeed copies nothing up.
    ReaderLock lock(inode->mu);
    if (!inode->in_upper())
      TRY(inode->lower.layer().GetXattr(inode->lower, name));
  }
  TRY(kSetXattr.Visit());
  TRY(CopyUp(inode, Backing::kMetacopy));
  return WhileNoneFills(inode, [&]() -> Status {
    WriterLock lock(inode->mu);
    const Place place = TRY(UpperPlace(inode));
    if (std::string_view(name) == kAccessAclXattr) {
      // It sets the mode, and like chmod not the group id of other groups.
      const Attr now = TRY(upper_->GetAttr(place.at()));
      if ((now.mode & S_ISGID) != 0 && !IsOfGroup(now.gid, caller))
        TRY(upper_->SetMode(place.at(), now, now.mode & ~mode_t{S_ISGID}));
    }
    TRY(upper_->SetXattr(place.at(), name, value, flags));
    if (std::string_view(name) == kDefaultAclXattr)
      inode->has_default_acl = sys::GetXattr(place.at(), kDefaultAclXattr).ok();
    return Ok();
  });
}

Status UnionFs::RemoveXattr(NodeId node, const char* name) {
  if (!config_.acl && IsAcl(name)) return Error(EOPNOTSUPP);
  const InodeRef inode = TRY(Get(node));
  if (!inode->in_upper()) {
    ReaderLock lock(inode->mu);
    if (!inode->in_upper()) {
      const auto had = inode->lower.layer().GetXattr(inode->lower, name);
      if (had.code() == ENODATA && IsAcl(name)) return Ok();
      TRY(had);
    }
  }
  TRY(kRemoveXattr.Visit());
  TRY(CopyUp(inode, Backing::kMetacopy));
  return WhileNoneFills(inode, [&]() -> Status {
    WriterLock lock(inode->mu);
    const Place place = TRY(UpperPlace(inode));
    TRY(upper_->RemoveXattr(place.at(), name));
    if (std::string_view(name) == kCapabilityXattr)
      inode->lost_capability = true;
    if (std::string_view(name) == kDefaultAclXattr)
      inode->has_default_acl = false;
    return Ok();
  });
}

// --- inode flags -----------------------------------------------------------

Status UnionFs::Complete(const InodeRef& inode, uint64_t& copied) {
  if (!inode->is_regular()) return Error(EINVAL);
  copied = 0;
  if (inode->backing() != Backing::kPartial) return Ok();
  {
    ReaderLock lock(inode->mu);
    if (inode->chunks) copied = inode->chunks->MissingBytes();
  }
  TRY(CopyUp(inode, Backing::kUpper));
  TimesMoved(inode);
  return Ok();
}

Status UnionFs::Ioctl(NodeId node, unsigned cmd, void* arg) {
  if (cmd == kIoctlComplete)
    return Complete(TRY(Get(node)), *static_cast<uint64_t*>(arg));
  const bool writes = cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR;
  const bool reads = cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_FSGETXATTR ||
                     cmd == FS_IOC_GETVERSION;
  if (!writes && !reads) return Error(ENOTTY);
  const InodeRef inode = TRY(Get(node));
  if (!inode->is_regular() && !inode->is_dir()) return Error(ENOTTY);
  // With its contents: they could not follow into an append-only file.
  if (writes) {
    TRY(kSetFlags.Visit());
    TRY(CopyUp(inode, inode->is_dir() ? Backing::kMetacopy : Backing::kUpper));
    WriterLock lock(inode->mu);
    // What comes up into it later could not mark an append-only one.
    if (inode->is_dir() && !inode->keeps_names)
      TRY(MarkImpure(inode, *TRY(UpperFd(inode))));
    TRY(HostIoctl(inode, cmd, arg));
    if (LentNote::AnyKept())
      LentNote::Forget(upper_->lent_notes(), Lendable::kFlags,
                       table_.UpperIno(inode));
    if (inode->is_dir())
      inode->keeps_names = IsFixed(TRY(sys::Statx({*TRY(UpperFd(inode))})));
    // One that may write now might not be opened for writing any more.
    fds_.Erase(inode->fd_key());
    TimesMoved(inode);
    return Ok();
  }
  ReaderLock lock(inode->mu);
  return HostIoctl(inode, cmd, arg);
}

// REQUIRES: inode->mu held, alone if flags are set.
Status UnionFs::HostIoctl(const InodeRef& inode, unsigned cmd, void* arg) {
  UniqueFd fd;
  if (!inode->in_upper()) {
    auto opened = inode->lower.layer().Open(inode->lower);
    if (opened.code() == EINVAL) {  // no file of the host's: it has no flags
      memset(arg, 0, _IOC_SIZE(cmd));
      return Ok();
    }
    fd = TRY(std::move(opened));
  } else {
    const Place place = TRY(UpperPlace(inode));
    fd = TRY(place.name.empty() ? sys::Reopen(*place.dir, O_RDONLY)
                                : sys::OpenAt(place.at(), O_RDONLY));
  }
  // How the host maps a file is its own matter. Who asked a hashed layer, which
  // has no flags, sets none of it, and ext4 would convert the file.
  int now = 0;
  if (cmd == FS_IOC_SETFLAGS && sys::Ioctl(fd, FS_IOC_GETFLAGS, &now).ok()) {
    int& flags = *static_cast<int*>(arg);
    flags = (flags & ~FS_EXTENT_FL) | (now & FS_EXTENT_FL);
  }
  return sys::Ioctl(fd, cmd, arg);
}

}  // namespace ufs
