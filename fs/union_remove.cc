// Removing names.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fs/union_fs.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

FaultPoint kRemove("remove.before");
DonePoint kRemoved("remove.after");
DonePoint kUncounted("remove.uncounted");

}  // namespace

// Whether the layers would show the name if the upper had nothing there.
Result<bool> UnionFs::LowerShows(const InodeRef& dir, Name name) const {
  if (dir->parts().empty()) return false;
  const LowerFound found = TRY(lowers_->Lookup(dir->parts(), name));
  return found.kind != LowerFound::Kind::kAbsent;
}

// Something that keeps an upper object once its name is gone; null for what is
// not in the upper.
Result<FdCache::Pin> UnionFs::PinUpper(const InodeRef& inode) {
  if (!inode->in_upper()) return FdCache::Pin();
  if (inode->is_dir()) return UpperFd(inode);
  if (inode->is_regular() && inode->backing() >= Backing::kPartial)
    if (auto pin = fds_.Find(inode->fd_key())) return pin;
  const Place place = TRY(UpperPlace(inode));
  if (place.name.empty()) return place.dir;  // has no name already
  auto fd = sys::OpenAt(place.at(), O_PATH);
  if (fd.code() == EMFILE || fd.code() == ENFILE) {
    fds_.Shrink();
    fd = sys::OpenAt(place.at(), O_PATH);
  }
  return FdCache::Pin(std::make_shared<const UniqueFd>(TRY(fd)));
}

// The host refuses to take a name of a file with file flags (chattr), but a
// name that is in the layers only goes without it. `pin` is PinUpper's.
Status UnionFs::MayLoseName(const InodeRef& inode, const FdCache::Pin& pin) {
  if (!inode->hard_linked || pin == nullptr) return Ok();
  return IsFixed(TRY(sys::Statx({*pin}))) ? Status(Error(EPERM)) : Ok();
}

void UnionFs::DropName(const InodeRef& dir, Name name, const InodeRef& inode,
                       FdCache::Pin pin) {
  const size_t left = table_.RemoveName(inode, dir, name.view());
  if (left == 0 && !inode->in_upper())
    table_.SetRemovedAt(inode, sys::CoarseNow());
  Changed(dir);
  if (left == 0 && pin != nullptr && !inode->is_dir() && !inode->is_regular())
    if (const auto stat = sys::Statx({*pin}); stat.ok() && stat->stx_nlink == 0)
      upper_->ForgetOrigin(*stat);
  const auto place = table_.PlaceOf(inode);
  const bool indexed = place.ok() && !place->index_name.empty();
  if (!indexed) {
    // The host may have names of it that nobody looked up.
    if (left == 0 && pin != nullptr && inode->backing() == Backing::kPartial)
      if (const auto stat = sys::Statx({*pin});
          stat.ok() && stat->stx_nlink == 0)
        ForgetPartial(inode);
    if (left == 0 && pin != nullptr) table_.SetOrphan(inode, std::move(pin));
    return;
  }
  const auto remaining = SetNlink(inode, -1);
  kUncounted.Visit();
  if (!remaining.ok()) {
    // The name is gone all the same.
    log::Warn("work directory " + upper_->work_path() + ": index " +
              place->index_name +
              " counts a name too many: " + remaining.error().ToString());
    return;
  }
  if (*remaining > 0) return;
  // No name is left, here or in the layers.
  ForgetPartial(inode);
  table_.SetOrphan(inode, std::move(pin));
  table_.SetIndexName(inode, "");
  {
    MutexLock lock(index_mu_);
    index_names_.erase(place->index_name);
  }
  const auto removed =
      sys::UnlinkAt({*upper_->index_pin(), place->index_name.c_str()});
  if (!removed.ok())
    log::Warn("work directory " + upper_->work_path() + ": index " +
              place->index_name +
              " stays until the next mount: " + removed.error().ToString());
}

// `below`: the name was a layer's when it was looked up.
// REQUIRES: dir and inode locked alone, dir in the upper, `name` is inode's.
Status UnionFs::RemoveLocked(const InodeRef& dir, Name name,
                             const InodeRef& inode, bool below) {
  if (inode->is_dir() && !TRY(Names(inode)).empty()) return Error(ENOTEMPTY);
  const FdCache::Pin fd = TRY(UpperFd(dir));
  bool in_upper = false;
  if (!below || inode->in_upper()) {
    const auto stat = sys::Statx({*fd, name.c_str()});
    if (!stat.ok() && stat.code() != ENOENT) return stat.error();
    in_upper = stat.ok();
  }
  const bool in_lower = below || TRY(LowerShows(dir, name));
  FdCache::Pin pin = TRY(PinUpper(inode));
  if (!in_upper) TRY(MayLoseName(inode, pin));
  // Of a directory that somebody may still have open.
  std::optional<Attr> before;
  if (inode->is_dir() && pin != nullptr)
    before = AttrOf(TRY(sys::Statx({*pin})));
  if (in_upper && in_lower)
    TRY(upper_->ReplaceByWhiteout(*fd, name, inode->is_dir()));
  else if (in_lower)
    TRY(upper_->Whiteout(*fd, name));
  else if (inode->is_dir())
    TRY(upper_->RemoveDir(*fd, name));
  else
    TRY(sys::UnlinkAt({*fd, name.c_str()}));
  kRemoved.Visit();
  if (before) KeepDirTimes(*pin, *before);
  DropName(dir, name, inode, std::move(pin));
  return upper_->SyncNames(*fd);
}

Status UnionFs::RemoveName(const InodeRef& dir, Name name, bool is_dir) {
  TRY(kRemove.Visit());
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    InodeRef inode;
    Child child;
    {
      ReaderLock lock(dir->mu);
      child = TRY(Probe(dir, name));
      if (!child.exists()) return Error(ENOENT);
      inode = TRY(Adopt(dir, name, child));
    }
    if (dir->keeps_names) return Error(EPERM);
    if (is_dir && !inode->is_dir()) return Error(ENOTDIR);
    if (!is_dir && inode->is_dir()) return Error(EISDIR);
    TRY(EnsureUpperDir(dir));
    // Its other names must go on being one file with one count.
    if (inode->hard_linked) TRY(CopyUpUnnamed(inode, Backing::kMetacopy));
    InodeLocks locks({dir.get(), inode.get()});
    if (!table_.HasName(inode, dir, name.view())) continue;
    // What the upper did not have is a layer's, and layers do not change.
    return RemoveLocked(dir, name, inode, /*below=*/!child.upper);
  }
  return Error(ESTALE);
}

Status UnionFs::Unlink(NodeId parent, Name name) {
  return RemoveName(TRY(GetDir(parent)), name, /*is_dir=*/false);
}

Status UnionFs::RmDir(NodeId parent, Name name) {
  return RemoveName(TRY(GetDir(parent)), name, /*is_dir=*/true);
}

}  // namespace ufs
