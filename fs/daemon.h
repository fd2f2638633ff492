// Daemon: a process that goes to the background once it is of use, so that a
// command line can wait for it.
//
//   Daemon daemon = TRY(Daemon::Fork());   // the parent waits inside, and
//   exits auto fs = TRY(UnionFs::Open(config));  // the child goes on
//   TRY(Serve(mount, *fs, [&] { daemon.Detach("ufs"); }));
//
// Until Detach the child shares the terminal: what it prints, the user sees.
// Threads: Fork is called while the process has one thread.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class Daemon {
 public:
  // Returns in the child. The parent never returns: it exits with 0 when the
  // child detached, with the child's own exit status when that ended before,
  // and 128 plus the signal when a signal ended it.
  static Result<Daemon> Fork();

  // Lets go: own session, working directory /, /dev/null for the three standard
  // descriptors, log lines to syslog as `ident`; then the parent exits with 0.
  void Detach(const char* ident);

 private:
  explicit Daemon(UniqueFd done) : done_(std::move(done)) {}
  UniqueFd done_;  // a byte written here says "detached"
};

}  // namespace ufs
