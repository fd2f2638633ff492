// OpenModes: who has one file open, and how the kernel reads and writes it for
// them, in a mount whose opens the kernel announces (passthrough=1):
//
//   through its page cache, and messages to us; or
//   passed through, in the file of the host that was registered with it.
//
// The kernel allows no mixture: an open that is answered in another mode than
// those before it fails with EIO. The rule, which never leads there:
//
//   The first open decides, and until the last is released all others follow.
//   Once passed through, a file always is: a mapping stays when its descriptor
//   is closed, with a release, and stores to the host's pages; only there does
//   everybody see them.
//
// The kernel has left a mode before it sends the release of its last open, and
// enters one after our reply: what is counted here is never less than what the
// kernel has.
//
// Threads: the owner's lock guards it.
#pragma once

#include <cstddef>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Gives files of the host to the kernel, to read and write them by itself.
// Threads: any.
class BackingFiles {
 public:
  virtual ~BackingFiles() = default;
  // A number above 0 to name the file by.
  virtual Result<int> Register(BorrowedFd file) = 0;
  // What is open with it stays so.
  virtual void Unregister(int id) = 0;
};

class OpenModes {
 public:
  // It was passed through once.
  bool passes() const { return passes_; }
  // Nobody has it open through the page cache.
  bool may_pass() const { return passes_ || open_ == 0; }
  // What it is registered by: 0 while nobody has it open.
  int backing_id() const { return backing_id_; }

  void OpenThroughPages();
  // REQUIRES: may_pass(), and the same id as the others who have it open.
  void OpenPassed(int backing_id);
  // The id that nobody needs any more, or 0.
  int Release();

 private:
  bool passes_ = false;
  int backing_id_ = 0;
  size_t open_ = 0;
};

}  // namespace ufs
