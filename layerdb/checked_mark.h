// A note beside a tree file which says that its hashes were right and nobody
// has written to it since, so that they need not be computed at each mount.
//
// It holds until the machine starts again: the file's pages are those that were
// checked, or were read from the same disk since. A file of another inode,
// length or time of change is another file. As a clock has ticks, a file that
// changed just now gets none: it may change once more within the tick; nor does
// one whose file system counts seconds.
//
// Notes are best effort: where none can be written, or none can be trusted,
// the hashes are taken. Threads: any.
#pragma once

#include <string>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class CheckedMark {
 public:
  // `dir` is borrowed, `name` that of the note. What the file is like is read
  // now: before its hashes are.
  CheckedMark(BorrowedFd dir, std::string name, BorrowedFd file);

  bool Holds() const;
  // REQUIRES: the hashes of the file were taken since and are right.
  void Set() const;

 private:
  BorrowedFd dir_;
  std::string name_;
  std::string text_;  // empty: cannot be told
  bool settled_ = false;
};

}  // namespace ufs
