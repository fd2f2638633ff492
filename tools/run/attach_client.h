// Looking at a container through its supervisor, from our own terminal or
// pipes. Threads: in a process with one thread.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

struct AttachOptions {
  bool output = true;  // copy its output to ours
  bool input = false;  // and our input to it
  bool terminal = false;
  bool signals = true;  // pass on what we are sent
  bool owner = false;   // it has no other reader: let it know when we are none
  std::string detach_keys;  // as bytes, see detach_keys.h
};

struct Attached {
  enum class End {
    kEnded,     // `code` is the container's, or 129: our terminal was closed
    kFailed,    // it could not be started: `code`, `message`
    kDetached,  // by the keys
    kLost,      // the supervisor is gone without a word
  };
  End end = End::kLost;
  int code = 0;
  std::string message;
};

// Waits until it runs. kEnded for one that does; else why not.
Result<Attached> AwaitStart(BorrowedFd socket);

// Until the container has ended or we let go of it.
Result<Attached> Attach(BorrowedFd socket, const AttachOptions& options);

// Connects to the supervisor of the container in `directory`. ECONNREFUSED or
// ENOENT when there is none.
Result<UniqueFd> ConnectSupervisor(const std::string& directory);

}  // namespace ufs
