// A pseudo terminal for a container. Threads: one at a time.
#pragma once

#include <optional>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

// From the devpts that is mounted at /dev/pts below `root`, and from no other:
// neither a link nor another file system is taken for it. The slave is opened
// through the master, not by a name.
Result<Terminal> OpenTerminal(BorrowedFd root,
                              const std::optional<ConsoleSize>& size,
                              uid_t owner);

// A new session with `slave` as its terminal and as the three standard streams.
Status TakeTerminal(BorrowedFd slave);

// Sends the master to whoever listens at `socket`, as runc and conmon agreed.
Status SendTerminal(const std::string& socket, BorrowedFd master);

// Copies between our own standard streams, whose terminal becomes raw, and
// `master` until the other side is gone. Follows the size of our window.
// `on_signal` gets every signal but SIGWINCH that arrives meanwhile; SIGCHLD
// ends the copying once what is left has been read.
class TerminalProxy {
 public:
  explicit TerminalProxy(UniqueFd master) : master_(std::move(master)) {}
  ~TerminalProxy();
  TerminalProxy(const TerminalProxy&) = delete;
  TerminalProxy& operator=(const TerminalProxy&) = delete;

  Status Start();  // raw mode, size
  BorrowedFd master() const { return master_; }
  void Resize();
  // One turn of what poll found. False once the other side is gone.
  bool CopyOut();
  bool CopyIn();

 private:
  UniqueFd master_;
  bool raw_ = false;
  alignas(8) char saved_[64];  // struct termios
};

}  // namespace ufs::runtime
