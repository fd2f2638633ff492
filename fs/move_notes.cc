#include "fs/move_notes.h"

#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <climits>
#include <cstdio>

#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

FaultPoint kMoveNote("move.note");
DonePoint kMoveNoted("move.noted");

// "X/" with X a number in hex, off the front of `text`.
bool TakeHex(std::string_view& text, uint64_t& number) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc()) return false;
  text.remove_prefix(end - text.data());
  if (!text.starts_with('/')) return false;
  text.remove_prefix(1);
  return true;
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= NAME_MAX && text != "." &&
         text != ".." && text.find('/') == text.npos &&
         text.find('\0') == text.npos;
}

}  // namespace

Result<TwoStepMove> ParseMove(std::string_view text) {
  TwoStepMove move;
  if (!TakeHex(text, move.object) || !TakeHex(text, move.from_dir) ||
      !TakeHex(text, move.to_dir))
    return Error(EIO, "a damaged note of a move");
  const size_t slash = text.find('/');
  if (slash == text.npos || !IsName(text.substr(0, slash)) ||
      !IsName(text.substr(slash + 1)))
    return Error(EIO, "a damaged note of a move");
  move.from = text.substr(0, slash);
  move.to = text.substr(slash + 1);
  return move;
}

std::string FormatMove(const TwoStepMove& move) {
  char numbers[64];
  const int size =
      snprintf(numbers, sizeof(numbers), "%" PRIx64 "/%" PRIx64 "/%" PRIx64 "/",
               move.object, move.from_dir, move.to_dir);
  return std::string(numbers, size) + move.from + "/" + move.to;
}

Result<MoveNote> MoveNote::Make(BorrowedFd notes, const TwoStepMove& move) {
  TRY(kMoveNote.Visit());
  char name[24];
  snprintf(name, sizeof(name), "%" PRIx64, move.object);
  // A link is the cheapest file with contents.
  const std::string text = FormatMove(move);
  auto made = sys::SymlinkAt(text.c_str(), {notes, name});
  if (made.code() == EEXIST) {
    // Of an earlier move of the same object.
    TRY(sys::UnlinkAt({notes, name}));
    made = sys::SymlinkAt(text.c_str(), {notes, name});
  }
  TRY(made);
  kMoveNoted.Visit();
  return MoveNote(notes, name);
}

MoveNote::~MoveNote() {
  if (name_.empty()) return;
  const auto gone = sys::UnlinkAt({notes_, name_.c_str()});
  if (!gone.ok())
    log::Warn("work directory: ufs/moves/" + name_ +
              " stays until the next mount: " + gone.error().ToString());
}

}  // namespace ufs
