// What all the ways to ask for a mount have in common: check, go to the
// background, open the union, serve it.
#pragma once

#include <functional>
#include <string>

#include "fs/mount_options.h"
#include "runtime/kernel.h"

namespace ufs {

struct MountRequest {
  MountOptions options;  // with layers and mount point, as the user gave them
  std::string store;     // of named layers; empty: the usual one
  bool make_upper = false;  // a named upper that is missing is made
  bool make_work = false;
  bool fresh_upper = false;  // a new one under the state directory
  std::string who;           // begins each message, "ufs mount"
  int failure_code = 1;
  std::function<void()> ready;  // in the foreground: called when it is mounted
};

// Returns an exit code. On success the caller's process has ended before, when
// the mount is there, or with `foreground` it returns after the unmount.
int MountUnion(MountRequest request);

// The same in a child process, with a session of its own and nothing of ours
// open, which ends with the mount or with us. Returns when the mount is there.
// ECHILD without context: it could not be mounted, and stderr says why.
// Threads: in a process with one thread.
Result<runtime::kernel::Child> StartUnion(MountRequest request);
// Whether that is what it failed with, so that nothing is left to be said.
bool SaidByUnion(const Error& error);

}  // namespace ufs
