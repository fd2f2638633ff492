// Notes of the objects of the upper whose mode or file flags are not their own
// for a moment (UpperDir::Lending, LiftedFlags), kept in the work directory:
// the next mount sets right what a killed daemon left, or what could not be
// given back. Format: FORMAT.md.
//
// Threads: any, for different objects.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include "fs/find_objects.h"
#include "fs/work_note.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

enum class Lendable { kMode, kFlags };  // chmod; chattr

// One note, from before something is lent until after it is back. Where none
// can be made, as on a full disk, it is lent all the same, with a warning. It
// goes with this; one that was kept, only once it is removed.
class LentNote {
 public:
  // `notes` outlives it. `own` is what the object has now.
  LentNote(BorrowedFd notes, Lendable what, const struct statx& object,
           uint32_t own);
  LentNote(LentNote&& other) noexcept
      : own_(other.own_),
        was_kept_(other.was_kept_),
        note_(std::exchange(other.note_, std::nullopt)) {}
  LentNote& operator=(LentNote&&) = delete;
  ~LentNote() { was_kept_ ? Keep() : Remove(); }
  // It has been given back.
  void Remove();
  // It could not be given back: that is left to the next mount.
  void Keep();
  // What the object has again: what an earlier note says that was kept, else
  // what it had.
  uint32_t own() const { return own_; }
  // Whether this process has kept one. Those of an object go with Forget, in
  // its turn or with its inode's mu held alone, once what they tell of was set
  // anew.
  static bool AnyKept();
  static void Forget(BorrowedFd notes, Lendable what, uint64_t ino);

 private:
  uint32_t own_;
  bool was_kept_ = false;  // by an earlier one
  std::optional<WorkNote> note_;
};

// Gives what the notes name, of what is in `trees`, its own again, and removes
// them; warns of what is not found. `open` opens a directory to be listed,
// whatever its mode.
Status SetRightWhatWasLent(BorrowedFd notes,
                           std::initializer_list<BorrowedFd> trees,
                           const OpenAnyDir& open);

}  // namespace ufs
