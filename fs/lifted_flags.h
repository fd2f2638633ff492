// LiftedFlags: an object of the upper without the file flags (chattr) that
// forbid the host what the union allows: to bring a layer's file up into an
// immutable directory, or a new one into the place of a whiteout in an
// append-only one. They are back when it goes, or, should that fail, at the
// next mount.
//
// Threads: its inode's mu is held alone for as long as it lives; who reads or
// sets the flags of what is in the upper holds that, too. So nobody sees them
// lifted, and nobody waits for another object's.
#pragma once

#include <linux/fs.h>

#include <optional>
#include <utility>

#include "fs/lent_notes.h"
#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// What would keep out what comes up from a layer. No new name comes of that.
inline constexpr int kFixingFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;

class LiftedFlags {
 public:
  LiftedFlags() = default;  // lifts nothing
  // Takes `flags`, of those of FS_IOC_SETFLAGS, as far as it has them, from
  // `object`, which `notes` tell of meanwhile.
  static Result<LiftedFlags> Of(BorrowedFd notes, BorrowedFd object, int flags);
  LiftedFlags(LiftedFlags&& other) noexcept
      : object_(std::move(other.object_)), note_(std::move(other.note_)) {}
  LiftedFlags& operator=(LiftedFlags&&) = delete;
  ~LiftedFlags();

 private:
  UniqueFd object_;  // valid once the flags are off
  std::optional<LentNote> note_;
};

}  // namespace ufs
