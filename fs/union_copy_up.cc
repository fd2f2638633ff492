// Moving up: how an object of a layer comes to be in the upper.
//
// Everything is prepared in a draft that nobody sees and published by one link
// or rename; contents that follow a metacopy are published by removing its mark
// (invariants I3 and I4 of fs/README.md). Until then the lower object stands.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "fs/copied_xattrs.h"
#include "fs/data_copy.h"
#include "fs/set_id.h"
#include "fs/union_fs.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {
namespace {

FaultPoint kDirDraft("copy_up.dir_draft");
DonePoint kDirPublished("copy_up.dir_published");
FaultPoint kContents("copy_up.contents");
FaultPoint kSyncData("fsync.data");
FaultPoint kAttributes("copy_up.attributes");
DonePoint kPublished("copy_up.published");
DonePoint kIndexed("copy_up.indexed");
DonePoint kTimeHeld("copy_up.time_held");
DonePoint kCut("copy_up.cut");
DonePoint kFilled("copy_up.filled");

void TimesOf(const Attr& attr, timespec times[2]) {
  times[0] = attr.atime;
  times[1] = attr.mtime;
}

}  // namespace

uint64_t UnionFs::TagOf(const Identity& identity) const {
  if (identity.layer == 0) return upper_tag_;
  return lowers_->layer(identity.layer).tag();
}

std::string UnionFs::IndexNameOf(const Identity& identity) const {
  return ufs::IndexNameOf(TagOf(identity), identity.ino);
}

bool UnionFs::InIndex(const std::string& name) const {
  MutexLock lock(index_mu_);
  return index_names_.count(name) != 0;
}

Origin UnionFs::OriginOf(const Inode& inode, const Attr& lower_attr) const {
  return {TagOf(inode.identity), inode.identity.ino, lower_attr.btime};
}

// --- directories -----------------------------------------------------------

Status UnionFs::EnsureUpperDir(const InodeRef& dir) {
  if (upper_ == nullptr) return Error(EROFS);
  if (dir->in_upper()) return Ok();
  // From the highest directory that is not there yet, down.
  std::vector<InodeRef> missing;
  for (InodeRef at = dir; !at->in_upper();) {
    missing.push_back(at);
    const auto name = table_.NameOf(at);
    if (!name) break;  // deleted, and somebody has it open
    at = name->parent;
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at)
    TRY(CopyUpDir(*at));
  return Ok();
}

Status UnionFs::CopyUpDir(const InodeRef& dir) {
  const NamedLocks locks(table_, dir);
  if (dir->in_upper()) return Ok();
  const auto& name = locks.name();
  const Attr attr = TRY(LowerAttr(dir));

  Draft draft = TRY(upper_->NewDir(0700));
  TRY(CopyAttributes(draft, attr, dir->lower));
  TRY(upper_->SetOrigin(draft.at(), OriginOf(*dir, attr)));
  if (name && NeedsLiteral(name->name, S_IFDIR))
    TRY(upper_->SetMark(draft.at(), names_.literal, "y"));
  timespec times[2];
  TimesOf(attr, times);
  TRY(sys::UtimensAt(draft.at(), times));
  const auto looked = TRY(upper_->Look(draft.at()));
  TRY(upper_->SyncDraft(draft));
  TRY(kDirDraft.Visit());

  if (!name) {
    // Deleted while in use: it lives on without a name, as the draft is removed
    // in the end.
    UniqueFd fd = TRY(sys::OpenAt(draft.at(), O_PATH | O_DIRECTORY));
    table_.SetOrphan(dir, std::make_shared<const UniqueFd>(std::move(fd)));
  } else {
    TRY(PublishAs(*name, draft, kDirPublished));
  }
  dir->SomeTimes().origin_btime = attr.btime;
  dir->has_default_acl = looked.marks.has_default_acl;
  dir->no_aufs = upper_->whiteout_form() != WhiteoutForm::kAufs;
  table_.SetUpper(dir, looked.stat.stx_ino);
  dir->set_backing(Backing::kUpper);
  ++copy_ups_metadata_;
  if (invalidate_) invalidate_(dir->id);
  return Ok();
}

Result<LiftedFlags> UnionFs::Lift(const InodeRef& dir, BorrowedFd fd,
                                  int flags) {
  if (!dir->keeps_names) return LiftedFlags();
  auto lifted = LiftedFlags::Of(upper_->lent_notes(), fd, flags);
  // Without the right to it: the host says what it refuses.
  if (lifted.code() == EPERM) return LiftedFlags();
  return lifted;
}

Status UnionFs::MarkImpure(const InodeRef& dir, BorrowedFd fd) {
  if (dir->impure || !upper_->has_xattrs()) return Ok();
  // By name: an O_PATH descriptor alone goes through /proc. But it may be one
  // that forbids even that.
  Status marked = upper_->SetMark({fd, "."}, names_.impure, "y");
  if (marked.code() == EACCES)
    marked = upper_->SetMark({fd}, names_.impure, "y");
  TRY(marked);
  dir->impure = true;
  return Ok();
}

// --- attributes ------------------------------------------------------------

Status UnionFs::CopyXattrs(const Draft& draft, const NodeRef& lower) {
  const Layer& layer = lower.layer();
  const std::string names = TRY(layer.ListXattr(lower));
  for (const std::string& name : XattrNames(names)) {
    const auto value = layer.GetXattr(lower, name.c_str());
    if (value.code() == ENODATA) continue;
    if (!value.ok()) return value.error();
    const auto set = upper_->SetXattr(draft.at(), name.c_str(), *value, 0);
    if (MayGoWithout(name, set.code())) continue;
    if (!set.ok()) return Status(set).With("copying " + name);
  }
  return Ok();
}

// All but times and marks.
Status UnionFs::CopyAttributes(const Draft& draft, const Attr& attr,
                               const NodeRef& lower) {
  const mode_t mode = attr.mode & kPermissionBits;
  const Attr now = TRY(upper_->GetAttr(draft.at()));
  TRY(upper_->SetOwnerAndMode(draft.at(), now, attr.uid, attr.gid, mode));
  return CopyXattrs(draft, lower);
}

// The lower file stays findable from wherever its metacopy goes.
Status UnionFs::SetRedirect(const InodeRef& inode, sys::At at) {
  const std::string path = LowerPathOf(*inode);
  // Nobody could read it.
  if (path.size() >= PATH_MAX) return Error(ENAMETOOLONG);
  return upper_->SetMark(at, names_.redirect, path);
}

// --- files -----------------------------------------------------------------

Status UnionFs::CopyUp(const InodeRef& inode, Backing want, uint64_t keep) {
  TRY(CopyUpUnnamed(inode, want, keep));
  PlaceNames(inode);
  return Ok();
}

Status UnionFs::CopyUpUnnamed(const InodeRef& inode, Backing want,
                              uint64_t keep) {
  if (inode->backing() >= want) return Ok();
  if (upper_ == nullptr) return Error(EROFS);
  if (inode->is_dir()) return EnsureUpperDir(inode);
  // Without a path to the layers' file only this inode knows its contents.
  const bool has_path =
      inode->lower_alias == nullptr || !inode->lower_alias->empty();
  const bool can_split = inode->is_regular() && config_.metacopy &&
                         upper_->has_xattrs() && has_path;
  if (!can_split || (want == Backing::kPartial && !MaySplitContents(*inode)))
    want = Backing::kUpper;
  if (const auto name = table_.NameOf(inode)) TRY(EnsureUpperDir(name->parent));
  const Turn turn(turns_, inode->id);
  if (inode->backing() >= want) return Ok();
  if (inode->backing() == Backing::kPartial) return MakeWhole(inode, keep);
  if (want == Backing::kPartial) {
    if (!inode->in_upper() && SharesBlocks(*inode))
      return MoveUp(inode, Backing::kUpper, keep);
    if (inode->in_upper() && TRY(Split(inode))) return Ok();
  }
  return inode->in_upper() ? FillData(inode, keep) : MoveUp(inode, want, keep);
}

Status UnionFs::CopyContents(const InodeRef& inode, BorrowedFd to,
                             uint64_t size) {
  ++copying_;
  const Cleanup done([this] { --copying_; });
  uint64_t moved = 0;
  if (const auto bytes = inode->data.layer().InMemory(inode->data)) {
    if (bytes->size() < size) return LayerCutShort(inode);
    TRY(WriteAll(to, bytes->substr(0, size), 0));
    moved = size;
  } else {
    const UniqueFd from = TRY(inode->data.layer().Open(inode->data));
    TRY(CheckReaches(inode, from, size));
    moved = TRY(CopyData(from, to, size));
  }
  copy_up_bytes_ += moved;
  ++copy_ups_data_;
  // It is about to stand for a file that is safe on disk. Shared blocks are as
  // safe as what they are shared with.
  if (moved > 0 && !upper_->is_volatile()) {
    TRY(kSyncData.Visit());
    TRY(sys::FDataSync(to));
  }
  return kContents.Visit();
}

Result<Draft> UnionFs::DraftOf(const InodeRef& inode, const Attr& attr,
                               Backing& want, uint64_t keep) {
  // As a regular file, which can carry the count of its names.
  const bool stands_in = inode->hard_linked && !S_ISREG(attr.mode) &&
                         upper_->has_xattrs() && !names_.trusted();
  if (S_ISLNK(attr.mode)) {
    const std::string target = TRY(inode->lower.layer().ReadLink(inode->lower));
    if (stands_in)
      return upper_->NewStandIn({attr.uid, attr.gid, attr.mode, 0}, target);
    Draft link = TRY(upper_->NewSymlink(target.c_str()));
    const Attr now = TRY(upper_->GetAttr(link.at()));
    const auto owned = upper_->SetOwner(link.at(), now, attr.uid, attr.gid);
    if (owned.code() != EPERM || !upper_->has_xattrs()) {
      TRY(owned);
      return link;
    }
    return upper_->NewStandIn({attr.uid, attr.gid, attr.mode, 0}, target);
  }
  if (!S_ISREG(attr.mode)) {
    if (stands_in)
      return upper_->NewStandIn({attr.uid, attr.gid, attr.mode, attr.rdev}, "");
    Draft node = TRY(upper_->NewNode(attr.mode, attr.rdev));
    const Attr now = TRY(upper_->GetAttr(node.at()));
    const auto owned = upper_->SetOwnerAndMode(
        node.at(), now, attr.uid, attr.gid, attr.mode & kPermissionBits);
    if (owned.code() != EPERM || !upper_->has_xattrs()) {
      TRY(owned);
      return node;
    }
    return upper_->NewStandIn({attr.uid, attr.gid, attr.mode, attr.rdev}, "");
  }
  // Nothing is inherited: it is not new.
  Draft file = TRY(upper_->NewFile(0600));
  if (want == Backing::kUpper) {
    TRY(sys::FTruncate(file.fd(), std::min(inode->lower_size_bytes, keep)));
    TRY(CopyContents(inode, file.fd(),
                     std::min(inode->lower_size_bytes, keep)));
    return file;
  }
  TRY(sys::FTruncate(file.fd(), attr.size_bytes));
  if (want == Backing::kPartial) {
    if (!TRY(MarkSplit(file.at(), ChunkMap(inode->lower_size_bytes)))) {
      want = Backing::kUpper;
      TRY(CopyContents(inode, file.fd(), inode->lower_size_bytes));
    }
  } else {
    TRY(upper_->SetMark(file.at(), names_.metacopy, ""));
    ++copy_ups_metadata_;
  }
  return file;
}

Status UnionFs::MoveUp(const InodeRef& inode, Backing want, uint64_t keep) {
  // The layer does not change and nobody else moves this inode: all of this
  // goes on beside readers.
  const auto name = table_.NameOf(inode);
  const Attr attr = TRY(LowerAttr(inode));
  Draft draft = TRY(DraftOf(inode, attr, want, keep));
  if (!S_ISLNK(attr.mode)) {
    TRY(CopyAttributes(draft, attr, inode->lower));
  } else {
    TRY(CopyXattrs(draft, inode->lower));
  }
  TRY(upper_->SetOrigin(draft.at(), OriginOf(*inode, attr)));
  // The other marks go on regular files only: the rest has no user attributes.
  const bool is_file = draft.fd().valid();
  if (upper_->has_xattrs() && (is_file || names_.trusted())) {
    if (name && NeedsLiteral(name->name, attr.mode))
      TRY(upper_->SetMark(draft.at(), names_.literal, "y"));
    if (want != Backing::kUpper && inode->hard_linked)
      TRY(SetRedirect(inode, draft.at()));
    if (inode->hard_linked)
      TRY(upper_->SetMark(draft.at(), names_.nlink,
                          std::to_string(attr.nlink)));
  }
  timespec times[2];
  TimesOf(attr, times);
  // What is published cut short is published truncated, which is a change.
  if (want == Backing::kUpper && keep < attr.size_bytes)
    times[1].tv_nsec = UTIME_OMIT;
  TRY(sys::UtimensAt(draft.at(), times));
  TRY(upper_->SyncDraft(draft));
  TRY(kAttributes.Visit());
  return PublishUp(inode, draft, want, attr);
}

// A copy-up is no change of its directory, whose times stay.
// REQUIRES: name.parent->mu held alone, or they would be set back to before
// what others change.
Status UnionFs::PublishAs(const LinkName& name, Draft& draft, DonePoint& done) {
  const FdCache::Pin parent = TRY(UpperFd(name.parent));
  const Attr parent_attr = TRY(upper_->GetAttr({*parent}));
  const LiftedFlags lifted = TRY(Lift(name.parent, *parent, kFixingFlags));
  TRY(MarkImpure(name.parent, *parent));
  TRY(upper_->Publish(draft, {*parent, name.name.c_str()}));
  done.Visit();
  KeepDirTimes(*parent, parent_attr);
  return Ok();
}

Status UnionFs::PublishUp(const InodeRef& inode, Draft& draft, Backing want,
                          const Attr& attr) {
  // From here on every read and write goes to the upper: no one may be between
  // the two.
  const NamedLocks locks(table_, inode);
  const uint64_t upper_ino = TRY(sys::Statx(draft.at())).stx_ino;
  const auto& name = locks.name();
  if (inode->hard_linked) {
    const std::string index_name = IndexNameOf(inode->identity);
    TRY(upper_->Publish(draft, {*upper_->index_pin(), index_name.c_str()}));
    {
      MutexLock index_lock(index_mu_);
      index_names_.insert(index_name);
    }
    table_.SetIndexName(inode, index_name);
    kIndexed.Visit();
  } else if (!name) {
    // Deleted while in use: it lives on without a name.
    auto pin = std::make_shared<const UniqueFd>(
        draft.fd().valid() ? draft.TakeFd()
                           : TRY(sys::OpenAt(draft.at(), O_PATH)));
    table_.SetOrphan(inode, pin);
  } else {
    TRY(PublishAs(*name, draft, kPublished));
  }
  inode->SomeTimes().origin_btime = attr.btime;
  table_.SetUpper(inode, upper_ino);
  if (want == Backing::kPartial) {
    inode->chunks = std::make_unique<ChunkMap>(inode->lower_size_bytes);
    ++copy_ups_partial_;
    if (name) NotePartial(inode);
    NoteUnsettled(inode);
  }
  if (want >= Backing::kPartial) {
    if (draft.fd().valid())
      fds_.Insert(inode->fd_key(), draft.TakeFd());
    else
      fds_.Erase(inode->fd_key());
  }
  inode->set_backing(want);
  // Whoever adds a name now sees that it is in the upper, and notes it.
  if (inode->hard_linked) table_.NoteNamesLeft(inode);
  return Ok();
}

// The names that it is known by show what it is now to others, too, who know
// nothing of the index: overlayfs, `ufs diff`.
void UnionFs::PlaceNames(const InodeRef& inode) {
  if (!inode->hard_linked) return;
  const auto place = [&](const LinkName& name) -> Status {
    TRY(EnsureUpperDir(name.parent));
    const InodeLocks locks({name.parent.get(), inode.get()});
    if (!table_.HasName(inode, name.parent, name.name)) return Ok();
    const FdCache::Pin dir = TRY(UpperFd(name.parent));
    return EnsureUpperName(inode, name.parent, *dir, Name::Trusted(name.name));
  };
  for (const LinkName& name : table_.TakeNamesLeft(inode))
    if (const Status placed = place(name); !placed.ok())
      log::Warn("upper " + upper_->path() + ": " + name.name +
                ": others than ufs see the layers' file: " +
                placed.error().ToString());
}

// A metacopy gets its contents in place, so that its other names keep it. All
// that shows meanwhile, and after a crash, is what was: reads go to the layer,
// and the time of last change, which the copying moves, is held in a mark.
Status UnionFs::FillData(const InodeRef& inode, uint64_t keep) {
  UniqueFd fd;
  uint64_t size = 0;
  timespec times[2];
  {
    WriterLock lock(inode->mu);
    const Place place = TRY(UpperPlace(inode));
    const auto now = TRY(upper_->Look(place.at()));
    TimesOf(upper_->Shown(now.stat, now.marks), times);
    size = now.stat.stx_size;
    fd = TRY(upper_->OpenData(place.at()));
    TRY(upper_->SetMark({fd}, names_.held_time,
                        FormatHeldTime({size, times[1]})));
    kTimeHeld.Visit();
  }
  const uint64_t wanted = std::min(size, keep);
  const auto privileges = TRY(HostPrivileges::Of(fd));
  TRY(CopyContents(inode, fd, std::min(wanted, inode->lower_size_bytes)));
  // A write that is to follow, or the truncation, takes them itself.
  TRY(privileges.Restore(fd));

  // From here on every read and write goes to the upper.
  WriterLock lock(inode->mu);
  if (wanted < size) {
    // The truncation itself: the held time, of another size, holds no more.
    TRY(sys::FTruncate(fd, wanted));
    kCut.Visit();
  } else {
    TRY(sys::UtimensAt({fd}, times));
  }
  TRY(upper_->RemoveMark({fd}, names_.metacopy));
  kFilled.Visit();
  // Where it stays it says nothing.
  (void)upper_->RemoveMark({fd}, names_.held_time);
  fds_.Insert(inode->fd_key(), std::move(fd));
  inode->set_backing(Backing::kUpper);
  return Ok();
}

bool UnionFs::MayCopyUp(NodeId node) {
  const auto inode = Get(node);
  return inode.ok() && (*inode)->is_regular() &&
         (*inode)->backing() != Backing::kUpper;
}

bool UnionFs::NamesMayCopyUp() const {
  return upper_ != nullptr && (!info_.metacopy || copying_ > 0);
}

bool UnionFs::AttrsMayCopyUp(NodeId node) {
  if (!MayCopyUp(node)) return false;
  return NamesMayCopyUp() ||
         (upper_ != nullptr && upper_->durability() == Durability::kStrict);
}

bool UnionFs::MayCopyUp(NodeId node, uint64_t offset, uint64_t size) {
  const auto found = Get(node);
  if (!found.ok()) return false;
  const InodeRef& inode = *found;
  if (!inode->is_regular() || inode->backing() == Backing::kUpper) return false;
  const bool waits = inode->backing() != Backing::kPartial &&
                     (upper_ == nullptr || AttrsMayCopyUp(node));
  if (waits || !inode->mu.TryLockShared()) return true;
  const bool at_once =
      inode->backing() >= Backing::kPartial
          ? !inode->chunks || inode->chunks->Covers(offset, offset + size)
          : IsAtHand(inode, offset, size);
  inode->mu.UnlockShared();
  return !at_once;
}

}  // namespace ufs
