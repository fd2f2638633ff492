// Renaming. A lower object is moved by moving its metacopy, or its empty
// directory with a redirect, and leaving a whiteout: nothing is copied.
//
// The move itself is one renameat2, so that each name is before or after:
//   a whiteout stays behind     RENAME_WHITEOUT, or an exchange with one that
//                               was put at the target first
//   a directory over a whiteout an exchange, then the whiteout goes
// Where the host has no such call there is a second step. It may fail, and then
// the first is undone.
// Marks are written before: a redirect to where an object already is, or
// opacity of a directory that hides nothing, changes nothing yet.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "fs/union_fs.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

FaultPoint kRename("rename.before");
DonePoint kNamed("rename.named");
FaultPoint kMarked("rename.marked");
DonePoint kWhiteoutPlaced("rename.whiteout_placed");
FaultPoint kSwap("rename.exchange");
DonePoint kSwapped("rename.exchanged");
DonePoint kReplaced("rename.replaced");
FaultPoint kSecond("rename.second");
DonePoint kMoved("rename.moved");

// May `inode` take the place of `target`?
int TypeConflict(const Inode& inode, const Inode& target) {
  if (inode.is_dir() && !target.is_dir()) return ENOTDIR;
  if (!inode.is_dir() && target.is_dir()) return EISDIR;
  return 0;
}

// The second step of a move, or none: should it fail, `undo` takes the first
// back. What is neither done nor undone is the next mount's.
template <typename Step, typename Undo>
Status DoOrUndo(WorkNote& note, Name from, Name to, Step step, Undo undo) {
  const auto second = [&]() -> Status {
    TRY(kSecond.Visit());
    return step();
  };
  const Status done = second();
  if (done.ok()) return done;
  if (const Status back = undo(); !back.ok()) {
    note.Keep();
    log::Warn(from.str() + ": is under the name " + to.str() +
              " in the upper (" + back.error().ToString() +
              "); unmount it, and mount it again");
  }
  return done;
}

}  // namespace

struct UnionFs::Move {
  InodeRef from_dir;
  Name from;
  InodeRef to_dir;
  Name to;
  InodeRef inode;
  InodeRef target;  // null: the name is free
  unsigned flags;
  // Known once all is locked. How the target is hidden, where it is free.
  UpperDir::Hidden hidden;
  FdCache::Pin from_fd, to_fd;

  sys::At from_at() const { return {*from_fd, from.c_str()}; }
  sys::At to_at() const { return {*to_fd, to.c_str()}; }
};

Status UnionFs::Rename(NodeId parent, Name name, NodeId new_parent,
                       Name new_name, unsigned flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if ((flags & ~(RENAME_EXCHANGE | RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0 ||
      (exchange && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0))
    return Error(EINVAL);
  TRY(kRename.Visit());
  Move move{TRY(GetDir(parent)),
            name,
            TRY(GetDir(new_parent)),
            new_name,
            {},
            {},
            flags,
            UpperDir::Hidden::kNo,
            {},
            {}};
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    move.inode = TRY(Resolve(move.from_dir, name));
    move.target = TRY(Resolve(move.to_dir, new_name));
    if (move.inode == nullptr) return Error(ENOENT);
    if (exchange && move.target == nullptr) return Error(ENOENT);
    if ((flags & RENAME_NOREPLACE) != 0 && move.target != nullptr)
      return Error(EEXIST);
    // Two names of one file: POSIX has nothing happen.
    if (move.inode == move.target) return Ok();
    if (move.from_dir->keeps_names ||
        (move.target != nullptr && move.to_dir->keeps_names))
      return Error(EPERM);
    if (!exchange && move.target != nullptr)
      if (const int code = TypeConflict(*move.inode, *move.target))
        return Error(code);
    TRY(EnsureUpperDir(move.from_dir));
    TRY(EnsureUpperDir(move.to_dir));
    TRY(PrepareMove(move.inode));
    if (exchange) TRY(PrepareMove(move.target));
    // To be exchanged with (MoveInTwoSteps).
    if (!exchange && move.target != nullptr && move.target->is_dir() &&
        upper_->whiteout_form() == WhiteoutForm::kXattr)
      TRY(EnsureUpperDir(move.target));
    if (!exchange && move.target != nullptr && move.target->hard_linked)
      TRY(CopyUpUnnamed(move.target, Backing::kMetacopy));

    InodeLocks locks({move.from_dir.get(), move.to_dir.get(), move.inode.get(),
                      move.target.get()});
    if (!table_.HasName(move.inode, move.from_dir, name.view())) continue;
    if (move.target != nullptr) {
      if (!table_.HasName(move.target, move.to_dir, new_name.view())) continue;
    } else {
      const Child there = TRY(Probe(move.to_dir, new_name));
      if (there.exists()) continue;
      move.hidden = there.hidden;
      // What it hides would come back.
      if (there.hidden == UpperDir::Hidden::kMark)
        return Error(EPERM, new_name.str() + ": a name whiteouts have");
    }
    move.from_fd = TRY(UpperFd(move.from_dir));
    move.to_fd = TRY(UpperFd(move.to_dir));
    return exchange ? ExchangeLocked(move) : RenameLocked(move);
  }
  return Error(ESTALE);
}

// Brings what is to be moved into the upper, as little of it as will do.
Status UnionFs::PrepareMove(const InodeRef& inode) {
  if (!inode->is_dir()) return CopyUp(inode, Backing::kMetacopy);
  if (!inode->parts().empty() && config_.redirect_dir != RedirectDir::kOn)
    return Error(EXDEV);
  return EnsureUpperDir(inode);
}

// An indexed file has its other names in the layers; this one must be here.
Status UnionFs::EnsureUpperName(const InodeRef& inode, const InodeRef& dir,
                                BorrowedFd fd, Name name) {
  const sys::At at{fd, name.c_str()};
  const auto stat = sys::Statx(at);
  if (stat.ok()) return Ok();
  if (stat.code() != ENOENT) return stat.error();
  const Place place = TRY(UpperPlace(inode));
  if (NeedsLiteral(name.view(), inode->type))
    TRY(upper_->SetMark(place.at(), names_.literal, "y"));
  const LiftedFlags lifted = TRY(Lift(dir, fd, kFixingFlags));
  TRY(MarkImpure(dir, fd));
  // The name was there for everybody: should the rename fail, nothing happened.
  const Attr before = AttrOf(TRY(sys::Statx({fd})));
  TRY(sys::LinkAt(place.at(), at));
  KeepDirTimes(fd, before);
  kNamed.Visit();
  return Ok();
}

// The marks an object needs to be itself under another name.
Status UnionFs::MarkMoved(const InodeRef& inode, const InodeRef& to_dir,
                          BorrowedFd to_fd, Name to) {
  const Place place = TRY(UpperPlace(inode));
  if (inode->is_dir() && !inode->parts().empty()) {
    TRY(SetRedirect(inode, place.at()));
  } else if (inode->is_dir()) {
    // What the layers have under the new name is not its content.
    if (!to_dir->parts().empty() &&
        TRY(lowers_->Lookup(to_dir->parts(), to)).kind !=
            LowerFound::Kind::kAbsent)
      TRY(upper_->SetMark(place.at(), names_.opaque, "y"));
  } else if (inode->is_split()) {
    TRY(SetRedirect(inode, place.at()));
  }
  // Without xattrs nothing tells it from a mark.
  if (IsAufsMarkName(to.view()) && !upper_->has_xattrs()) return Error(EPERM);
  if (NeedsLiteral(to.view(), inode->type))
    TRY(upper_->SetMark(place.at(), names_.literal, "y"));
  if (inode->came_from_layer()) TRY(MarkImpure(to_dir, to_fd));
  return Ok();
}

// Makes the target one that renameat2 can replace; what it was, where that had
// to give way.
Result<std::optional<Draft>> UnionFs::PrepareTarget(const Move& move) {
  std::optional<Draft> was;
  if (move.target == nullptr || !move.target->is_dir()) return was;
  if (!TRY(Names(move.target)).empty()) return Error(ENOTEMPTY);
  if (!move.target->in_upper()) return was;
  const UniqueFd dir = TRY(upper_->OpenDir(*TRY(UpperFd(move.target))));
  bool has_whiteouts = false;
  TRY(sys::ForEachEntry(dir, [&](const char*, uint8_t, uint64_t) {
    has_whiteouts = true;
    return false;
  }));
  if (has_whiteouts && upper_->has_xattrs())
    was.emplace(TRY(upper_->EmptyDir(*move.to_fd, move.to)));
  return was;
}

// The target that PrepareTarget took away, unless another has its place: a move
// of two steps may have failed at the second.
void UnionFs::PutBack(const Move& move, Draft& target) {
  const auto put_back = [&]() -> Status {
    if (TRY(sys::Statx(move.to_at())).stx_ino == table_.UpperIno(move.inode))
      return Ok();
    return upper_->Exchange(target, move.to_at());
  };
  if (const auto done = put_back(); !done.ok())
    log::Warn(move.to.str() + ": a directory of the upper has lost its " +
              "whiteouts: " + done.error().ToString());
}

Status UnionFs::MoveUpper(const Move& move) {
  const bool leaves_whiteout = TRY(LowerShows(move.from_dir, move.from));
  if (leaves_whiteout) TRY(upper_->MayHide(move.from));
  const bool aufs = upper_->whiteout_form() == WhiteoutForm::kAufs;
  // Beside a directory it would hide what is below.
  const bool is_foreign = !aufs && move.hidden == UpperDir::Hidden::kAufs;
  const auto there = sys::Statx(move.to_at());
  if (!there.ok() && there.code() != ENOENT) return there.error();
  const bool over_whiteout =
      is_foreign ||
      (there.ok() && TRY(upper_->IsHidden(*move.to_fd, move.to, &*there)) !=
                         UpperDir::Hidden::kNo);
  const LiftedFlags lifted =
      over_whiteout ? TRY(Lift(move.to_dir, *move.to_fd, FS_APPEND_FL))
                    : LiftedFlags();
  if (is_foreign) TRY(upper_->ReplaceAufsWhiteout(*move.to_fd, move.to));
  if (move.target != nullptr && move.target->is_dir() && there.ok() &&
      !over_whiteout && !upper_->has_xattrs())
    return MoveOverDir(move, leaves_whiteout);
  // An AUFS whiteout beside a file says nothing while that is there, and all
  // once it is gone. Beside a directory it would hide what is below.
  const bool whiteout_first = aufs && !move.inode->is_dir();
  if (leaves_whiteout && whiteout_first) {
    TRY(upper_->Whiteout(*move.from_fd, move.from));
    kWhiteoutPlaced.Visit();
  }
  if (over_whiteout && (leaves_whiteout || move.inode->is_dir())) {
    TRY(sys::RenameAt2(move.from_at(), move.to_at(), RENAME_EXCHANGE));
    kSwapped.Visit();
    if (leaves_whiteout) return Ok();
    // A whiteout that stays would hide nothing.
    if (const auto gone = sys::UnlinkAt(move.from_at()); !gone.ok())
      log::Warn(move.from.str() +
                ": a whiteout stays in the upper: " + gone.error().ToString());
    return Ok();
  }
  if (!leaves_whiteout || whiteout_first) {
    // A directory shows nothing of the layers beside one.
    std::optional<WorkNote> note;
    if (aufs && move.inode->is_dir() && !there.ok() &&
        TRY(upper_->IsHidden(*move.to_fd, move.to, nullptr)) !=
            UpperDir::Hidden::kNo)
      note.emplace(TRY(
          upper_->NoteMove(*move.from_fd, move.from, *move.to_fd, move.to)));
    TRY(sys::RenameAt2(move.from_at(), move.to_at()));
    if (note) kReplaced.Visit();
    if (aufs) upper_->RemoveAufsWhiteout(*move.to_fd, move.to);
    return Ok();
  }
  if (upper_->whiteout_form() == WhiteoutForm::kCharDevice) {
    const auto moved =
        sys::RenameAt2(move.from_at(), move.to_at(), RENAME_WHITEOUT);
    const bool refused =
        moved.code() == EPERM && IsFixed(TRY(sys::Statx(move.from_at())));
    if (refused || (moved.code() != EINVAL && moved.code() != EPERM))
      return moved;
  }
  if (!aufs && !there.ok() && move.target == nullptr)
    return MoveForWhiteout(move);
  return MoveInTwoSteps(move, there.ok());
}

// To where nothing shows, in exchange for a whiteout that is made there first:
// one call, so that no other mixture of names ever shows, on the host neither.
// From the work directory a whiteout would come in a second one, with both
// names, or the layers' object, to be seen between. A killed daemon may leave
// one where it is not needed, as in an opaque directory: it hides nothing, and
// nobody shows it.
Status UnionFs::MoveForWhiteout(const Move& move) {
  TRY(upper_->Whiteout(*move.to_fd, move.to));
  kWhiteoutPlaced.Visit();
  const auto exchange = [&]() -> Status {
    TRY(kSwap.Visit());
    return sys::RenameAt2(move.from_at(), move.to_at(), RENAME_EXCHANGE);
  };
  const Status moved = exchange();
  if (moved.ok()) return moved;
  if (const auto gone = sys::UnlinkAt(move.to_at()); !gone.ok())
    log::Warn(move.to.str() + ": a whiteout that hides nothing stays in the " +
              "upper: " + gone.error().ToString());
  return moved;
}

// No single call leaves an xattr whiteout where something was that took the
// place of something else, nor an AUFS whiteout of a directory. After a crash
// in between the next mount does the second.
Status UnionFs::MoveInTwoSteps(const Move& move, bool over_upper) {
  if (over_upper && move.inode->is_dir())
    return MoveOverDir(move, /*leaves_whiteout=*/true);
  Draft whiteout = TRY(upper_->NewWhiteout(*move.from_fd));
  WorkNote note =
      TRY(upper_->NoteMove(*move.from_fd, move.from, *move.to_fd, move.to));
  const auto place_whiteout = [&] {
    return upper_->PlaceWhiteout(whiteout, *move.from_fd, move.from);
  };
  if (!move.inode->is_dir()) {
    Draft second_name = TRY(upper_->NewLink(move.from_at()));
    // What was there is kept until the second step is done.
    const unsigned how = over_upper ? RENAME_EXCHANGE : 0;
    TRY(sys::RenameAt2(second_name.at(), move.to_at(), how));
    kReplaced.Visit();
    TRY(DoOrUndo(note, move.from, move.to, place_whiteout, [&] {
      return sys::RenameAt2(move.to_at(), second_name.at(), how);
    }));
    if (!over_upper) second_name.Forget();
    return Ok();
  }
  TRY(sys::RenameAt2(move.from_at(), move.to_at()));
  kReplaced.Visit();
  TRY(DoOrUndo(note, move.from, move.to, place_whiteout,
               [&] { return sys::RenameAt2(move.to_at(), move.from_at()); }));
  if (upper_->whiteout_form() == WhiteoutForm::kAufs)
    upper_->RemoveAufsWhiteout(*move.to_fd, move.to);
  return Ok();
}

// The host does not replace a directory that holds files, which without xattrs
// it takes to hide what the layers have; and one that was replaced does not
// come back. So the two are exchanged, and after a crash the next mount puts a
// whiteout where the one that goes is.
Status UnionFs::MoveOverDir(const Move& move, bool leaves_whiteout) {
  const bool aufs = upper_->whiteout_form() == WhiteoutForm::kAufs;
  WorkNote note =
      TRY(upper_->NoteMove(*move.from_fd, move.from, *move.to_fd, move.to));
  TRY(upper_->SetMark(move.to_at(), names_.opaque, "y"));
  TRY(sys::RenameAt2(move.from_at(), move.to_at(), RENAME_EXCHANGE));
  kReplaced.Visit();
  const auto remove = [&] {
    return leaves_whiteout ? upper_->ReplaceByWhiteout(*move.from_fd, move.from,
                                                       /*is_dir=*/true)
                           : upper_->RemoveDir(*move.from_fd, move.from);
  };
  TRY(DoOrUndo(note, move.from, move.to, remove, [&] {
    // It would hide what the layers have in the directory that comes back.
    if (aufs) upper_->RemoveAufsWhiteout(*move.from_fd, move.from);
    return sys::RenameAt2(move.from_at(), move.to_at(), RENAME_EXCHANGE);
  }));
  if (aufs) upper_->RemoveAufsWhiteout(*move.to_fd, move.to);
  return Ok();
}

// What RENAME_WHITEOUT leaves for its caller: a character device 0/0 that shows
// in the union, for a union that has this one as its upper. It comes a step
// after the move.
Result<Draft> UnionFs::WhiteoutDevice() {
  Draft device = TRY(upper_->NewNode(S_IFCHR, /*rdev=*/0));
  if (device.named()) return device;
  return upper_->NewLink(device.at());
}

// The new name first: both is better than none.
Status UnionFs::SyncMoved(const Move& move) {
  TRY(upper_->SyncNames(*move.to_fd));
  return move.from_dir == move.to_dir ? Ok() : upper_->SyncNames(*move.from_fd);
}

// An AUFS whiteout beside what is there says nothing of a file, and of a
// directory that it is opaque. Of a directory that takes its place it would say
// the same.
Status UnionFs::MakeWayFor(const InodeRef& comes, BorrowedFd dir, Name name,
                           const InodeRef& there) {
  if (!comes->is_dir() ||
      TRY(upper_->IsHidden(dir, name, nullptr)) != UpperDir::Hidden::kAufs)
    return Ok();
  if (there->is_dir())
    TRY(upper_->SetMark({dir, name.c_str()}, names_.opaque, "y"));
  upper_->RemoveAufsWhiteout(dir, name);
  return Ok();
}

// REQUIRES: all four inodes locked alone.
Status UnionFs::RenameLocked(const Move& move) {
  TRY(EnsureUpperName(move.inode, move.from_dir, *move.from_fd, move.from));
  if (move.target != nullptr && move.target->in_upper())
    TRY(MakeWayFor(move.inode, *move.to_fd, move.to, move.target));
  // The target's, before it may give way to an empty one.
  FdCache::Pin pin;
  std::optional<Attr> before;
  if (move.target != nullptr) {
    pin = TRY(PinUpper(move.target));
    TRY(MayLoseName(move.target, pin));
  }
  if (pin != nullptr && move.target->is_dir())
    before = AttrOf(TRY(sys::Statx({*pin})));
  std::optional<Draft> was = TRY(PrepareTarget(move));
  Cleanup put_back([&] {
    if (was) PutBack(move, *was);
  });
  TRY(MarkMoved(move.inode, move.to_dir, *move.to_fd, move.to));
  std::optional<Draft> device;
  if ((move.flags & RENAME_WHITEOUT) != 0)
    device.emplace(TRY(WhiteoutDevice()));
  TRY(kMarked.Visit());
  TRY(InOne(move.inode, nullptr, [&]() -> Status {
    TRY(MoveUpper(move));
    kMoved.Visit();
    table_.MoveName(move.inode, move.from_dir, move.from.view(), move.to_dir,
                    move.to.view());
    return Ok();
  }));
  put_back.Dismiss();
  was.reset();  // what is removed of it is no change of its time
  if (before) KeepDirTimes(*pin, *before);
  Changed(move.from_dir);
  Changed(move.to_dir);
  if (move.target != nullptr)
    DropName(move.to_dir, move.to, move.target, std::move(pin));
  if (device) {
    TRY(sys::RenameAt2(device->at(), move.from_at()));
    device->Forget();
    upper_->RemoveAufsWhiteout(*move.from_fd, move.from);
  }
  return SyncMoved(move);
}

// REQUIRES: all four inodes locked alone.
Status UnionFs::ExchangeLocked(const Move& move) {
  TRY(EnsureUpperName(move.inode, move.from_dir, *move.from_fd, move.from));
  TRY(EnsureUpperName(move.target, move.to_dir, *move.to_fd, move.to));
  TRY(MakeWayFor(move.inode, *move.to_fd, move.to, move.target));
  TRY(MakeWayFor(move.target, *move.from_fd, move.from, move.inode));
  TRY(MarkMoved(move.inode, move.to_dir, *move.to_fd, move.to));
  TRY(MarkMoved(move.target, move.from_dir, *move.from_fd, move.from));
  TRY(kMarked.Visit());
  TRY(InOne(move.inode, move.target, [&]() -> Status {
    TRY(sys::RenameAt2(move.from_at(), move.to_at(), RENAME_EXCHANGE));
    kMoved.Visit();
    table_.MoveName(move.inode, move.from_dir, move.from.view(), move.to_dir,
                    move.to.view());
    table_.MoveName(move.target, move.to_dir, move.to.view(), move.from_dir,
                    move.from.view());
    return Ok();
  }));
  Changed(move.from_dir);
  Changed(move.to_dir);
  return SyncMoved(move);
}

}  // namespace ufs
