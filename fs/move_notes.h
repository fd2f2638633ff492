// Notes of moves that take two steps on the host (UnionFs::MoveInTwoSteps): one
// is there from before the first until the second is done or the first undone,
// so that the next mount can do what a killed daemon has left. Kept in the work
// directory; format: FORMAT.md. Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fs/work_note.h"
#include "layerdb/base/result.h"

namespace ufs {

// An object of the upper moves, and a whiteout comes to where it was.
struct TwoStepMove {
  uint64_t object = 0;  // numbers on the host
  uint64_t from_dir = 0, to_dir = 0;
  std::string from, to;
};
Result<TwoStepMove> ParseMove(std::string_view text);
std::string FormatMove(const TwoStepMove& move);

// `notes` outlives it.
Result<WorkNote> NoteOfMove(BorrowedFd notes, const TwoStepMove& move);

}  // namespace ufs
