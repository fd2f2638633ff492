// What a supervisor and whoever looks at its container say to one another, over
// a SOCK_SEQPACKET socket: messages of a letter and a text. The pair that
// `ufs run` makes with its supervisor and the connections that `ufs attach` and
// `ufs wait` make are the same.
#pragma once

#include <cstddef>

namespace ufs {

enum class AttachWord : char {
  // To the supervisor.
  kWatch = 'H',     // send me output
  kInput = 'i',     // bytes for its standard input
  kNoInput = 'c',   // there will be no more
  kWindow = 'w',    // "ROWS COLUMNS"
  kNoOutput = 'p',  // nobody reads what I am sent: let it know
  kSignal = 's',    // "NUMBER", for its first process
  kStop = 't',      // the same, and it shall not be restarted
  kRestart = 'r',   // the same, and it shall, whatever its policy
  // From the supervisor.
  kStarted = 'S',  // NAME; from now on it runs
  kOutput = 'o',   // bytes of its standard output, or of its terminal
  kErrors = 'e',   // bytes of its standard error
  kFailed = 'F',   // "CODE MESSAGE": it could not be started
  kEnded = 'X',    // "CODE": it has ended and is cleaned up
};

constexpr size_t kAttachBytesMax = 16 << 10;

}  // namespace ufs
