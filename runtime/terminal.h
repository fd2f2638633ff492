// A pseudo terminal for a container. Threads: one at a time.
#pragma once

#include <poll.h>

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

// Lines end as the program ends them: for a reader that is no terminal.
void KeepLineEnds(BorrowedFd master);

// Sends the master to whoever listens at `socket`, as runc and conmon agreed.
Status SendTerminal(const std::string& socket, BorrowedFd master);

// Our own terminal, if standard input is one, in raw mode; as it was before
// once this goes. Not while another job has it and SIGTTOU is blocked.
class RawTerminal {
 public:
  RawTerminal();
  ~RawTerminal();
  bool is_raw() const { return raw_; }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  bool raw_ = false;
  alignas(8) char saved_[64];  // struct termios
};

// Copies between our own standard streams, whose terminal becomes raw, and
// `master` until the other side is gone. Follows the size of our window.
// Neither direction waits for the other, or a program that must be read from
// before it reads on would never be: what cannot be written yet is kept, and no
// more is read until it is.
class TerminalProxy {
 public:
  explicit TerminalProxy(UniqueFd master);

  void Resize();

  // Fills in what poll shall wait for; Handle takes the same elements back.
  static constexpr int kPolled = 3;
  void Prepare(pollfd* fds) const;
  void Handle(const pollfd* fds);
  // After the container's end: passes on what it has left behind.
  void Drain();

  // Nobody takes what we write any more, or our terminal is closed.
  bool reader_gone() const { return reader_gone_; }

 private:
  void ReadMaster();
  void WriteMaster();
  void ReadInput(bool hung_up);
  void WriteOutput();

  UniqueFd master_;
  RawTerminal raw_;
  std::string to_output_, to_master_;
  bool other_side_ = true, input_ = true, reader_gone_ = false;
};

}  // namespace ufs::runtime
