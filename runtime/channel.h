// The talk between the runtime and a process on its way into a container: small
// typed messages over a SOCK_SEQPACKET pair, each below 64 KiB, one descriptor
// along at most: of a file where there is more to say. A peer that dies reads
// as an error. Threads: one at a time.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::runtime {

enum class Word : char {
  // From the process to the runtime.
  kMapMe = 'M',     // "map the ids of my user namespace", answered by kGo
  kInitIs = 'P',    // the pid of init, by the process that made it
  kMounted = 'H',   // "run the hooks of the host's side", answered by kGo
                    // and a file with the state
  kMapMount = 'I',  // number of a mount whose source comes along, to be
                    // idmapped; answered by kGo
  kOpen = 'O',      // what of the host init may not open; answered by kGo and
                    // its descriptor, or kError
  kTerminal = 'T',  // a pty's master comes along
  kReady = 'R',     // waits to be started
  kNotify = 'N',    // number of the seccomp listener, answered by kGo
  kError = 'E',     // "ERRNO CONTEXT"; "ERRNO! CONTEXT" if explained
  // From the runtime to the process.
  kGo = 'g',
};

struct Said {
  Word word;
  std::string text;
  UniqueFd fd;
};

Status Say(BorrowedFd channel, Word word, std::string_view text = "",
           int fd = -1);

// An Error as the peer's: EPIPE when it is gone, and for kError what it says.
Result<Said> Listen(BorrowedFd channel);

// As Listen, when nothing but `word` will do.
Result<Said> Expect(BorrowedFd channel, Word word);

// Has the runtime take the seccomp listener out of this process: kNotify and an
// answer, by write(2) and read(2) alone, as the filter holds already.
Status HandOverListener(BorrowedFd channel, UniqueFd listener);

void SayError(BorrowedFd channel, const Error& error);

}  // namespace ufs::runtime
