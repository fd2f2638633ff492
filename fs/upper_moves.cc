// The part of UpperDir that notes moves of two steps, and does the second where
// a killed daemon has left it. A mount never fails over one: what is not
// finished shows more than it should, which who mounts it can see to.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fs/upper_dir.h"
#include "layerdb/base/log.h"
#include "layerdb/store_io.h"

namespace ufs {

Result<WorkNote> UpperDir::NoteMove(BorrowedFd from_dir, Name from,
                                    BorrowedFd to_dir, Name to) {
  return NoteOfMove(move_notes_,
                    {TRY(sys::Statx({from_dir, from.c_str()})).stx_ino,
                     TRY(sys::Statx({from_dir})).stx_ino,
                     TRY(sys::Statx({to_dir})).stx_ino, from.str(), to.str()});
}

Status UpperDir::FinishMoves() {
  for (const std::string& name : TRY(ListNames({move_notes_}))) {
    const sys::At note{move_notes_, name.c_str()};
    const std::string path = work_path_ + "/ufs/moves/" + name;
    const auto read = [&]() -> Result<TwoStepMove> {
      return ParseMove(TRY(sys::ReadLinkAt(note)));
    };
    const auto move = read();
    if (!move.ok()) {
      // It says nothing that could be done later.
      log::Warn(path + ": removed: " + move.error().ToString());
    } else if (const auto done = FinishMove(*move); !done.ok()) {
      log::Warn(
          "upper " + path_ + ": a daemon was killed as it renamed " +
          move->from + " to " + move->to +
          ", and the old name may still show: " + done.error().ToString() +
          "; each mount tries again until " + path + " is gone");
      continue;
    }
    if (const auto gone = sys::UnlinkAt(note); !gone.ok())
      log::Warn(path + ": cannot be removed: " + gone.error().ToString());
  }
  return Ok();
}

// Nothing has changed since the daemon was killed: what is not as it leaves
// things has had its second step, or not its first. Where an earlier mount
// could not finish it, something may have.
Status UpperDir::FinishMove(const TwoStepMove& move) {
  const auto give_up = [&](const char* why) {
    log::Warn("upper " + path_ + ": a daemon was killed as it renamed " +
              move.from + " to " + move.to + ": " + why +
              "; if both show, remove the old name");
    return Ok();
  };
  const Name from = Name::Trusted(move.from);
  const Name to = Name::Trusted(move.to);
  const auto found =
      TRY(FindObjects(*root_, {move.from_dir, move.to_dir},
                      [this](BorrowedFd dir) { return OpenDir(dir); }));
  UniqueFd from_dir, to_dir;
  for (const FoundObject& dir : found) {
    if (dir.ino == move.from_dir) from_dir = TRY(OpenFound(*root_, dir));
    if (dir.ino == move.to_dir) to_dir = TRY(OpenFound(*root_, dir));
  }
  if (!from_dir.valid() || !to_dir.valid())
    return give_up("no directory has the number that theirs had");
  const auto moved = sys::Statx({to_dir, to.c_str()});
  const auto left = sys::Statx({from_dir, from.c_str()});
  if (!moved.ok() && moved.code() != ENOENT) return moved.error();
  if (!left.ok() && left.code() != ENOENT) return left.error();
  if (!moved.ok() || moved->stx_ino != move.object) {
    if (left.ok() && left->stx_ino == move.object) return Ok();
    return give_up("neither has the number that it had");
  }
  // It would hide what the layers have in a directory that came there.
  RemoveAufsWhiteout(to_dir, to);
  if (TRY(IsHidden(from_dir, from, left.ok() ? &*left : nullptr)) !=
      Hidden::kNo)
    return Ok();
  if (!left.ok()) {
    if (!MayHide(from).ok()) return give_up("no whiteout has so long a name");
    return Whiteout(from_dir, from);
  }
  const bool is_dir = S_ISDIR(left->stx_mode);
  if (!is_dir && left->stx_ino != move.object) return Ok();
  if (is_dir && !TRY(IsRemains({from_dir, from.c_str()})))
    return give_up("there is another directory under the old name");
  return ReplaceByWhiteout(from_dir, from, is_dir);
}

// Whether a directory shows nothing and lets nothing of the layers show, as
// what a move leaves in exchange.
Result<bool> UpperDir::IsRemains(sys::At at) {
  const bool opaque =
      TRY(StoredMarks(at, S_IFDIR)).opaque || TRY(HasAufsOpaque(at));
  if (!opaque) return false;
  const UniqueFd dir =
      TRY(OpenDir(TRY(sys::OpenAt(at, O_PATH | O_DIRECTORY | O_NOFOLLOW))));
  for (const std::string& text : TRY(ListNames({dir}))) {
    const Name name = TRY(Name::Parse(text.c_str()));
    const sys::At inside{dir, name.c_str()};
    const auto stat = TRY(sys::Statx(inside));
    if (TRY(IsHidden(dir, name, &stat)) != Hidden::kNo) continue;
    if (!S_ISREG(stat.stx_mode) ||
        !IsAufsMark(text, stat, TRY(StoredMarks(inside, stat.stx_mode))))
      return false;
  }
  return true;
}

}  // namespace ufs
