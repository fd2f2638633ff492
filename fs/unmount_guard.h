// -o auto_unmount: a process of its own that waits for the end of the daemon,
// and takes its mount away when the daemon could not do so itself.
//
// Threads: Start forks, and is called while the process has one thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class UnmountGuard {
 public:
  static Result<UnmountGuard> Start();
  UnmountGuard(UnmountGuard&& other) noexcept
      : pipe_(std::move(other.pipe_)),
        child_(std::exchange(other.child_, -1)) {}
  UnmountGuard& operator=(UnmountGuard&&) = delete;
  // The mount is gone or never came: ends the process and waits for it.
  ~UnmountGuard();

  // What is mounted at `mountpoint` now is what to take away.
  Status Watch(const std::string& mountpoint);

 private:
  UnmountGuard(UniqueFd pipe, pid_t child)
      : pipe_(std::move(pipe)), child_(child) {}

  // The end of this pipe without a word before it is the end of the daemon.
  UniqueFd pipe_;
  pid_t child_;
};

}  // namespace ufs
