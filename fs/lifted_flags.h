// LiftedFlags: a directory of the upper without the file flags (chattr) that
// forbid the host what the union allows: to bring a layer's file up into an
// immutable directory, or a new one into the place of a whiteout in an
// append-only one. They are back when it goes.
#pragma once

#include <linux/fs.h>

#include <optional>
#include <utility>

#include "fs/lent_notes.h"
#include "layerdb/base/mutex.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// What would keep out what comes up from a layer. No new name comes of that.
inline constexpr int kFixingFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;

class LiftedFlags {
 public:
  LiftedFlags() = default;  // lifts nothing
  // Takes `flags`, of those of FS_IOC_SETFLAGS, from `dir`, which `notes` tell
  // of meanwhile. Holds `mu`, under which alone anybody may read or set them,
  // for as long as it lives.
  static Result<LiftedFlags> Of(Mutex& mu, BorrowedFd notes, BorrowedFd dir,
                                int flags) NO_THREAD_SAFETY_ANALYSIS;
  LiftedFlags(LiftedFlags&& other) noexcept
      : mu_(std::exchange(other.mu_, nullptr)),
        dir_(std::move(other.dir_)),
        flags_(other.flags_),
        note_(std::move(other.note_)) {}
  LiftedFlags& operator=(LiftedFlags&&) = delete;
  ~LiftedFlags() NO_THREAD_SAFETY_ANALYSIS;

 private:
  Mutex* mu_ = nullptr;
  UniqueFd dir_;   // valid once the flags are off
  int flags_ = 0;  // what it had
  std::optional<LentNote> note_;
};

}  // namespace ufs
