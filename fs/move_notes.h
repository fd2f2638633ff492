// Notes of moves that take two steps on the host (UnionFs::MoveInTwoSteps): one
// is there from before the first until the second is done or the first undone,
// so that the next mount can do what a killed daemon has left. Kept in the work
// directory; format: FORMAT.md. Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// An object of the upper moves, and a whiteout comes to where it was.
struct TwoStepMove {
  uint64_t object = 0;  // numbers on the host
  uint64_t from_dir = 0, to_dir = 0;
  std::string from, to;
};
Result<TwoStepMove> ParseMove(std::string_view text);
std::string FormatMove(const TwoStepMove& move);

class MoveNote {
 public:
  // `notes` outlives it.
  static Result<MoveNote> Make(BorrowedFd notes, const TwoStepMove& move);
  MoveNote(MoveNote&& other) noexcept
      : notes_(other.notes_), name_(std::exchange(other.name_, {})) {}
  MoveNote& operator=(MoveNote&&) = delete;
  ~MoveNote();
  // The first step is done, and the second is left to the next mount.
  void Keep() { name_.clear(); }

 private:
  MoveNote(BorrowedFd notes, std::string name)
      : notes_(notes), name_(std::move(name)) {}

  BorrowedFd notes_;
  std::string name_;
};

}  // namespace ufs
