#include "fs/move_notes.h"

#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "fs/types.h"
#include "layerdb/base/fault.h"

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

bool IsName(const std::string& text) {
  const auto name = Name::Parse(text.c_str());
  return name.ok() && name->view() == text;  // which a NUL would end
}

}  // namespace

Result<TwoStepMove> ParseMove(std::string_view text) {
  TwoStepMove move;
  if (!TakeHex(text, move.object) || !TakeHex(text, move.from_dir) ||
      !TakeHex(text, move.to_dir))
    return Error(EIO, "a damaged note of a move");
  const size_t slash = text.find('/');
  move.from = text.substr(0, slash);
  if (slash != text.npos) move.to = text.substr(slash + 1);
  if (!IsName(move.from) || !IsName(move.to))
    return Error(EIO, "a damaged note of a move");
  return move;
}

std::string FormatMove(const TwoStepMove& move) {
  char numbers[64];
  const int size =
      snprintf(numbers, sizeof(numbers), "%" PRIx64 "/%" PRIx64 "/%" PRIx64 "/",
               move.object, move.from_dir, move.to_dir);
  return std::string(numbers, size) + move.from + "/" + move.to;
}

Result<WorkNote> NoteOfMove(BorrowedFd notes, const TwoStepMove& move) {
  TRY(kMoveNote.Visit());
  char name[24];
  snprintf(name, sizeof(name), "%" PRIx64, move.object);
  WorkNote note =
      TRY(WorkNote::Make(notes, "ufs/moves", name, FormatMove(move)));
  kMoveNoted.Visit();
  return note;
}

}  // namespace ufs
