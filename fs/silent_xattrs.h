// SilentXattrs: what the extended attributes of an object in the upper are
// known not to say, so that nobody reads them again: most files have none, and
// each of these calls is a path walk on the host. Good until this process sets
// an attribute of any file, as nobody else changes the upper of a mount.
//
// Threads: all members at any time.
#pragma once

#include <atomic>
#include <cstdint>

#include "fs/marks.h"
#include "layerdb/base/syscall.h"

namespace ufs {

class SilentXattrs {
 public:
  enum About : uint64_t {
    kAttributes = 1,  // nothing that stat(2) shows
    kCapability = 2,  // no file capabilities
  };

  // They were read as `marks`, after `set_before` was taken of XattrsSet().
  void Note(const Marks& marks, uint64_t set_before) {
    const bool tells = marks.override || marks.nlink || marks.metacopy;
    Note((tells ? 0 : uint64_t{kAttributes}) |
             (marks.has_capability ? 0 : uint64_t{kCapability}),
         set_before);
  }
  // The object was just made, with none of these.
  void NoteNew() { Note(kAttributes | kCapability, sys::XattrsSet()); }
  void Forget() { state_ = 0; }

  bool On(About what) const {
    const uint64_t state = state_;
    return (state & what) != 0 && state >> kBits == sys::XattrsSet();
  }

 private:
  static constexpr int kBits = 2;
  void Note(uint64_t about, uint64_t set_before) {
    state_ = set_before << kBits | about;
  }

  std::atomic<uint64_t> state_{0};
};

}  // namespace ufs
