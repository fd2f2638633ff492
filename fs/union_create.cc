// New names: files, directories, links, devices.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>

#include "fs/acl.h"
#include "fs/union_fs.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"

namespace ufs {
namespace {

FaultPoint kCreate("create.before");
DonePoint kCreated("create.placed");
FaultPoint kLink("link.before");
DonePoint kLinkCounted("link.counted");
DonePoint kLinked("link.placed");

}  // namespace

void UnionFs::Changed(const InodeRef& dir) {
  ++dir->version;
  dir->names_changed = true;
}

// The mode bits that count: a default ACL takes the place of the umask.
mode_t UnionFs::MaskedMode(const InodeRef& dir, mode_t mode,
                           const Caller& caller) const {
  return dir->has_default_acl ? mode : mode & ~(caller.umask & 0777);
}

// REQUIRES: dir is in the upper and dir->mu held alone.
Result<UnionFs::Spot> UnionFs::FreeSpot(const InodeRef& dir, Name name) {
  if (dir->id != NodeId::kRoot && !table_.NameOf(dir)) return Error(ENOENT);
  // The lookup that comes before a creation has found nothing, and nothing has
  // changed since.
  if (dir->absent == AbsenceOf(dir, name) && !IsAufsMarkName(name.view()))
    return Spot{dir, name, TRY(UpperFd(dir)), UpperDir::Hidden::kNo};
  const Child child = TRY(Probe(dir, name));
  if (child.exists()) return Error(EEXIST);
  // In the AUFS form names like ".wh.x" are whiteouts, and taken.
  const bool reserved = child.hidden == UpperDir::Hidden::kMark ||
                        (IsAufsMarkName(name.view()) && !upper_->has_xattrs());
  if (reserved) return Error(EPERM, name.str() + ": a name whiteouts have");
  return Spot{dir, name, TRY(UpperFd(dir)), child.hidden};
}

// Makes a draft appear under a free name, over its whiteout if there is one.
Status UnionFs::PlaceDraft(const Spot& spot, Draft& draft, mode_t type) {
  const bool hides = spot.hidden != UpperDir::Hidden::kNo;
  const LiftedFlags lifted =
      hides ? TRY(Lift(spot.dir, *spot.fd, FS_APPEND_FL)) : LiftedFlags();
  if (S_ISDIR(type) && hides)
    TRY(upper_->SetMark(draft.at(), names_.opaque, "y"));
  if (NeedsLiteral(spot.name.view(), type))
    TRY(upper_->SetMark(draft.at(), names_.literal, "y"));
  if (spot.hidden == UpperDir::Hidden::kObject && S_ISDIR(type)) {
    TRY(upper_->Exchange(draft, spot.at()));
  } else if (spot.hidden == UpperDir::Hidden::kObject) {
    TRY(upper_->Replace(draft, spot.at()));
  } else {
    TRY(upper_->Publish(draft, spot.at()));
    kCreated.Visit();
    if (hides) upper_->RemoveAufsWhiteout(*spot.fd, spot.name);
  }
  return Ok();
}

// Owner and mode of a draft as if the caller had created it in spot.dir.
// `mode` is what the caller asked for, umask applied unless an ACL inherits.
Status UnionFs::GiveOwner(const Spot& spot, const Draft& draft, mode_t mode,
                          const Caller& caller) {
  const Attr dir = TRY(upper_->GetAttr({*spot.fd}));
  const Attr now = TRY(upper_->GetAttr(draft.at()));
  const bool inherits_group = (dir.mode & S_ISGID) != 0;
  mode &= kPermissionBits;
  if (spot.dir->has_default_acl && !S_ISLNK(now.mode)) {
    const auto text = sys::GetXattr({*spot.fd}, kDefaultAclXattr);
    if (text.ok()) {
      const InheritedAcl acl = TRY(InheritAcl(*text, mode));
      TRY(sys::SetXattr(draft.at(), kAccessAclXattr, acl.access));
      if (S_ISDIR(now.mode))
        TRY(sys::SetXattr(draft.at(), kDefaultAclXattr, *text));
      mode = acl.mode;
    }
  }
  if (inherits_group && S_ISDIR(now.mode)) mode |= S_ISGID;
  return upper_->SetOwnerAndMode(draft.at(), now, caller.uid,
                                 inherits_group ? dir.gid : caller.gid, mode);
}

// The inode of what was just placed; one that is `bare` was made by the host
// without marks or capabilities.
Result<Entry> UnionFs::NewEntry(const Spot& spot, bool bare) {
  Changed(spot.dir);
  TRY(upper_->SyncNames(*spot.fd));
  Child child;
  if (bare) {
    child.upper = UpperDir::Looked{TRY(upper_->StatOf(spot.at())), {}};
  } else {
    child.upper = TRY(upper_->Look(spot.at()));
  }
  const InodeRef inode = TRY(Adopt(spot.dir, spot.name, child));
  if (bare && upper_->has_xattrs()) inode->silent.NoteNew();
  return MakeEntry(inode, TRY(Compose(inode, *child.upper)));
}

Result<Entry> UnionFs::Create(NodeId parent, Name name, mode_t mode, int flags,
                              const Caller& caller) {
  const InodeRef dir = TRY(GetDir(parent));
  TRY(kCreate.Visit());
  TRY(EnsureUpperDir(dir));
  InodeRef existing;
  {
    WriterLock lock(dir->mu);
    const auto spot = FreeSpot(dir, name);
    if (spot.ok()) return CreateFile(*spot, mode, caller);
    if (spot.code() != EEXIST || (flags & O_EXCL) != 0) return spot.error();
    Child child = TRY(Probe(dir, name));
    existing = TRY(Adopt(dir, name, child));
  }
  // The directory's lock is given up first: its own may come before that.
  if (!existing->is_regular())
    return Error(existing->is_dir() ? EISDIR : EEXIST);
  ReaderLock lock(existing->mu);
  return MakeEntry(existing, TRY(AttrLocked(existing)));
}

// REQUIRES: spot.dir->mu held alone.
Result<Entry> UnionFs::CreateFile(const Spot& spot, mode_t mode,
                                  const Caller& caller) {
  mode = MaskedMode(spot.dir, mode, caller) & kPermissionBits;
  const bool direct = spot.hidden == UpperDir::Hidden::kNo &&
                      upper_->MakesOwner(caller.uid, caller.gid) &&
                      !IsAufsMarkName(spot.name.view()) &&
                      upper_->HostInherits({*spot.fd});
  UniqueFd fd;
  if (direct) {
    fd = TRY(
        sys::OpenAt(spot.at(), O_CREAT | O_EXCL | O_RDWR | O_NOATIME, mode));
    kCreated.Visit();
  } else {
    Draft draft = TRY(upper_->NewFile(*spot.fd, mode));
    TRY(GiveOwner(spot, draft, mode, caller));
    TRY(PlaceDraft(spot, draft, S_IFREG));
    fd = draft.TakeFd();
  }
  Entry entry = TRY(NewEntry(spot, direct));
  if (const InodeRef inode = table_.Find(entry.node))
    fds_.Insert(inode->fd_key(), std::move(fd));
  return entry;
}

Result<Entry> UnionFs::MkDir(NodeId parent, Name name, mode_t mode,
                             const Caller& caller) {
  const InodeRef dir = TRY(GetDir(parent));
  TRY(kCreate.Visit());
  TRY(EnsureUpperDir(dir));
  WriterLock lock(dir->mu);
  const Spot spot = TRY(FreeSpot(dir, name));
  mode = MaskedMode(dir, mode, caller) & kPermissionBits;
  const bool direct = spot.hidden == UpperDir::Hidden::kNo &&
                      upper_->MakesOwner(caller.uid, caller.gid) &&
                      !NeedsLiteral(name.view(), S_IFDIR) &&
                      upper_->HostInherits({*spot.fd});
  if (direct) {
    TRY(sys::MkDirAt(spot.at(), mode));
    kCreated.Visit();
  } else {
    Draft draft = TRY(upper_->NewDir(0700));
    TRY(GiveOwner(spot, draft, mode, caller));
    TRY(PlaceDraft(spot, draft, S_IFDIR));
  }
  // A default ACL goes on to directories in it.
  return NewEntry(spot, direct && !dir->has_default_acl);
}

// A symlink (with `target`), device, fifo, socket or empty file.
Result<Entry> UnionFs::CreateNode(NodeId parent, Name name, mode_t mode,
                                  dev_t rdev, const char* target,
                                  const Caller& caller) {
  const InodeRef dir = TRY(GetDir(parent));
  TRY(kCreate.Visit());
  TRY(EnsureUpperDir(dir));
  WriterLock lock(dir->mu);
  const Spot spot = TRY(FreeSpot(dir, name));
  const mode_t type = mode & S_IFMT;
  const auto draft_of = [&]() -> Result<Draft> {
    if (S_ISLNK(type)) return upper_->NewSymlink(target);
    if (S_ISREG(type)) return upper_->NewFile(*spot.fd, 0600);
    return upper_->NewNode(mode, rdev);
  };
  Draft draft = TRY(draft_of());
  const mode_t wanted =
      S_ISLNK(type) ? 0777 : MaskedMode(dir, mode & kPermissionBits, caller);
  const auto owned = GiveOwner(spot, draft, wanted, caller);
  if (owned.code() == EPERM && !S_ISREG(type) && upper_->has_xattrs()) {
    // Nothing but a regular file can carry an owner the host will not give.
    Draft stand_in = TRY(upper_->NewStandIn(
        {caller.uid, caller.gid, type | wanted, rdev}, target ? target : ""));
    TRY(PlaceDraft(spot, stand_in, type));
    return NewEntry(spot, /*bare=*/false);
  }
  TRY(owned);
  TRY(PlaceDraft(spot, draft, type));
  return NewEntry(spot, /*bare=*/false);
}

Result<Entry> UnionFs::MkNod(NodeId parent, Name name, mode_t mode, dev_t rdev,
                             const Caller& caller) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  return CreateNode(parent, name, mode, rdev, nullptr, caller);
}

Result<Entry> UnionFs::Symlink(NodeId parent, Name name, const char* target,
                               const Caller& caller) {
  return CreateNode(parent, name, S_IFLNK | 0777, 0, target, caller);
}

Result<Entry> UnionFs::TmpFile(NodeId parent, mode_t mode, int /*flags*/,
                               const Caller& caller) {
  const InodeRef dir = TRY(GetDir(parent));
  TRY(kCreate.Visit());
  TRY(EnsureUpperDir(dir));
  ReaderLock lock(dir->mu);
  mode = MaskedMode(dir, mode, caller) & kPermissionBits;
  const Spot spot{dir, Name::Trusted("#"), TRY(UpperFd(dir)),
                  UpperDir::Hidden::kNo};
  Draft draft = TRY(upper_->NewFile(*spot.fd, mode));
  TRY(GiveOwner(spot, draft, mode, caller));
  const auto looked = TRY(upper_->Look(draft.at()));
  InodeTable::Birth birth;
  birth.type = S_IFREG;
  birth.backing = Backing::kUpper;
  birth.upper_ino = looked.stat.stx_ino;
  birth.identity = {0, looked.stat.stx_ino};
  const InodeRef inode = table_.Intern(std::move(birth));
  table_.SetOrphan(inode, std::make_shared<const UniqueFd>(draft.TakeFd()));
  return MakeEntry(inode, TRY(Compose(inode, looked)));
}

Result<Entry> UnionFs::Link(NodeId node, NodeId parent, Name name) {
  const InodeRef inode = TRY(Get(node));
  const InodeRef dir = TRY(GetDir(parent));
  if (inode->is_dir()) return Error(EPERM);
  TRY(kLink.Visit());
  TRY(EnsureUpperDir(dir));
  TRY(CopyUp(inode, Backing::kMetacopy));
  InodeLocks locks({dir.get(), inode.get()});
  const Spot spot = TRY(FreeSpot(dir, name));
  const Place from = TRY(UpperPlace(inode));
  {
    const LiftedFlags lifted = spot.hidden != UpperDir::Hidden::kNo
                                   ? TRY(Lift(dir, *spot.fd, FS_APPEND_FL))
                                   : LiftedFlags();
    if (inode->is_split()) TRY(SetRedirect(inode, from.at()));
    if (NeedsLiteral(name.view(), inode->type))
      TRY(upper_->SetMark(from.at(), names_.literal, "y"));
    if (inode->came_from_layer()) TRY(MarkImpure(dir, *spot.fd));
    // Counted first: were it killed in between, a count that is too high keeps
    // a file too long, and one that is too low would lose it.
    TRY(SetNlink(inode, +1));
    Cleanup uncount([&] { (void)SetNlink(inode, -1); });
    kLinkCounted.Visit();
    if (spot.hidden == UpperDir::Hidden::kObject) {
      Draft draft = TRY(upper_->NewLink(from.at()));
      TRY(upper_->Replace(draft, spot.at()));
    } else {
      TRY(sys::LinkAt(from.at(), spot.at()));
      kLinked.Visit();
      if (spot.hidden == UpperDir::Hidden::kAufs)
        upper_->RemoveAufsWhiteout(*spot.fd, name);
    }
    uncount.Dismiss();
  }
  table_.AddName(inode, dir, name.view());
  // An unnamed file has a name now, and is found by it.
  table_.SetOrphan(inode, nullptr);
  Changed(dir);
  TRY(upper_->SyncNames(*spot.fd));
  return MakeEntry(inode, TRY(AttrLocked(inode)));
}

// Keeps count of the names of an indexed hard link, some of which may be in the
// layers still, and returns it; 1 for what is not counted. REQUIRES: inode->mu
// held alone.
Result<int64_t> UnionFs::SetNlink(const InodeRef& inode, int64_t change) {
  const auto place = table_.PlaceOf(inode);
  if (!place.ok() || place->index_name.empty()) return int64_t{1};
  const sys::At at{*upper_->index_pin(), place->index_name.c_str()};
  const Marks marks = TRY(upper_->Look(at)).marks;
  if (!marks.nlink) return int64_t{1};
  const int64_t nlink = *marks.nlink + change;
  TRY(upper_->SetMark(at, names_.nlink, std::to_string(nlink)));
  return nlink;
}

}  // namespace ufs
