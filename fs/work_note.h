// WorkNote: a few words in the work directory, there while something of the
// upper is half done, so that the next mount can set right what a killed daemon
// has left. Threads: any, for different names.
#pragma once

#include <string>
#include <utility>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"

namespace ufs {

class WorkNote {
 public:
  // `folder` is `dir` for messages, as "ufs/moves"; both outlive it. A note of
  // that name from before, which could not be removed when it was over, goes.
  static Result<WorkNote> Make(BorrowedFd dir, const char* folder,
                               std::string name, const std::string& text);
  // One of that name that is there.
  static WorkNote Adopt(BorrowedFd dir, const char* folder, std::string name) {
    return WorkNote(dir, folder, std::move(name));
  }
  WorkNote(WorkNote&& other) noexcept
      : dir_(other.dir_),
        folder_(other.folder_),
        name_(std::exchange(other.name_, {})) {}
  WorkNote& operator=(WorkNote&&) = delete;
  ~WorkNote();
  // What it tells of is left to the next mount.
  void Keep() { name_.clear(); }

 private:
  WorkNote(BorrowedFd dir, const char* folder, std::string name)
      : dir_(dir), folder_(folder), name_(std::move(name)) {}

  BorrowedFd dir_;
  const char* folder_;
  std::string name_;  // empty: none of ours
};

}  // namespace ufs
