// The part of UpperDir that hides names: whiteouts in their three forms, and
// directories that hold nothing else.
#include <cerrno>

#include "fs/upper_dir.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

FaultPoint kWhiteout("upper.whiteout");
DonePoint kWhiteoutsMarked("upper.whiteouts_marked");
FaultPoint kWhiteoutOver("upper.whiteout_over");
DonePoint kWhiteoutBeside("upper.whiteout_beside");
DonePoint kMovedOut("upper.moved_out");

constexpr mode_t kDraftDirMode = 0700;

}  // namespace

Result<UpperDir::Hidden> UpperDir::IsHidden(BorrowedFd dir, Name name,
                                            const struct statx* stat) {
  if (stat != nullptr) {
    if (IsCharWhiteout(*stat)) return Hidden::kObject;
    if (S_ISREG(stat->stx_mode) && stat->stx_size == 0 && has_xattrs_) {
      const Marks marks = TRY(StoredMarks({dir, name.c_str()}, stat->stx_mode));
      if (marks.whiteout) return Hidden::kObject;
    }
    return Hidden::kNo;
  }
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return Hidden::kNo;
  const sys::At at{dir, mark->c_str()};
  const auto found = sys::Statx(at);
  if (found.code() == ENOENT) return Hidden::kNo;
  if (!found.ok()) return Error(found.code());
  if (!S_ISREG(found->stx_mode)) return Hidden::kNo;
  return IsAufsMark(*mark, *found, TRY(StoredMarks(at, found->stx_mode)))
             ? Hidden::kAufs
             : Hidden::kNo;
}

// Null where there is none yet, or none can be shared.
FdCache::Pin UpperDir::SharedWhiteout() const {
  MutexLock lock(whiteout_mu_);
  return whiteout_;
}

// The next whiteouts are names of this one, until it has too many or the last
// one is gone.
void UpperDir::ShareWhiteout(sys::At at) {
  auto fd = sys::OpenAt(at, O_PATH | O_NOFOLLOW);
  if (!fd.ok()) return;
  const auto stat = sys::Statx({*fd});
  if (!stat.ok()) return;
  MutexLock lock(whiteout_mu_);
  whiteout_ = std::make_shared<const UniqueFd>(std::move(fd).value());
  whiteout_ino_ = stat->stx_ino;
}

Status UpperDir::MarkXattrWhiteouts(BorrowedFd dir) {
  const auto have = sys::GetXattr({dir}, names_.opaque.c_str());
  if (have.ok()) return Ok();  // "x", or "y" which needs no whiteouts
  TRY(sys::SetXattr({dir}, names_.opaque.c_str(), "x"));
  kWhiteoutsMarked.Visit();
  return Ok();
}

Status UpperDir::MayHide(Name name) const {
  if (whiteout_form_ != WhiteoutForm::kAufs || AufsWhiteoutName(name))
    return Ok();
  return Error(ENAMETOOLONG, name.str() + ": has no AUFS whiteout");
}

Status UpperDir::Whiteout(BorrowedFd dir, Name name) {
  TRY(kWhiteout.Visit());
  const sys::At at{dir, name.c_str()};
  if (whiteout_form_ == WhiteoutForm::kCharDevice) {
    if (const auto shared = SharedWhiteout())
      if (sys::LinkAt({*shared}, at).ok()) return Ok();
    TRY(sys::MkNodAt(at, S_IFCHR, 0));
    ShareWhiteout(at);
    return Ok();
  }
  Draft draft = TRY(NewWhiteout(dir));
  return PlaceWhiteout(draft, dir, name);
}

Status UpperDir::PlaceWhiteout(Draft& whiteout, BorrowedFd dir, Name name) {
  std::string at = name.str();
  if (whiteout_form_ == WhiteoutForm::kAufs) {
    const auto mark = AufsWhiteoutName(name);
    if (!mark) return Error(ENAMETOOLONG);
    at = *mark;
  }
  TRY(sys::RenameAt2(whiteout.at(), {dir, at.c_str()}));
  whiteout.Forget();
  return Ok();
}

Status UpperDir::ReplaceByWhiteout(BorrowedFd dir, Name name, bool is_dir) {
  TRY(kWhiteoutOver.Visit());
  const sys::At at{dir, name.c_str()};
  if (whiteout_form_ == WhiteoutForm::kAufs) {
    // While the object is there its whiteout says nothing.
    TRY(Whiteout(dir, name));
    kWhiteoutBeside.Visit();
    return is_dir ? RemoveDir(dir, name) : sys::UnlinkAt(at);
  }
  Draft whiteout = TRY(NewWhiteout(dir));
  return is_dir ? Exchange(whiteout, at) : Replace(whiteout, at);
}

Status UpperDir::ReplaceAufsWhiteout(BorrowedFd dir, Name name) {
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return Ok();
  TRY(Whiteout(dir, name));
  kWhiteoutBeside.Visit();
  return sys::UnlinkAt({dir, mark->c_str()});
}

void UpperDir::RemoveAufsWhiteout(BorrowedFd dir, Name name) {
  const auto mark = AufsWhiteoutName(name);
  if (!mark) return;
  const auto removed = sys::UnlinkAt({dir, mark->c_str()});
  if (removed.ok() || removed.code() == ENOENT) return;
  // Beside an object it says nothing.
  log::Warn("upper " + path_ + ": the whiteout of " + name.str() +
            " stays: " + removed.error().ToString());
}

Status UpperDir::RemoveDir(BorrowedFd dir, Name name) {
  const sys::At at{dir, name.c_str()};
  auto removed = sys::UnlinkAt(at, AT_REMOVEDIR);
  if (removed.code() != ENOTEMPTY && removed.code() != EEXIST) return removed;
  // Whiteouts are in it. Out of sight first, so that it goes at once.
  const std::string remains = NextName();
  TRY(Lending({at}, [&] {
    return sys::RenameAt2(at, {tmp_, remains.c_str()});
  }));
  const Draft removed_at_the_end(tmp_, remains, UniqueFd());
  kMovedOut.Visit();
  return Ok();
}

// As the old one in all that shows, as it is what shows until it is replaced.
Result<Draft> UpperDir::EmptyDir(BorrowedFd dir, Name name) {
  const sys::At at{dir, name.c_str()};
  const Attr old = AttrOf(TRY(sys::Statx(at)));
  Draft fresh = TRY(NewDir(kDraftDirMode));
  TRY(CopyStored(at, fresh.at()));
  // A redirect leads to what it hides now.
  const auto led = RemoveMark(fresh.at(), names_.redirect);
  if (!led.ok() && led.code() != ENODATA) return led.error();
  TRY(SetMark(fresh.at(), names_.opaque, "y"));
  const timespec times[2] = {old.atime, old.mtime};
  TRY(sys::UtimensAt(fresh.at(), times));
  TRY(SyncDraft(fresh));
  TRY(Exchange(fresh, at));
  return fresh;
}

}  // namespace ufs
