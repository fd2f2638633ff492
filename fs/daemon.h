// Daemon: a process that goes to the background once it is of use, so that a
// command line can wait for it.
//
//   const Status never = Daemon::Run([&](Daemon& daemon) {
//     auto fs = UnionFs::Open(config);
//     return ExitCode(Serve(mount, *fs, [&] { daemon.Detach("ufs"); }));
//   });
//
// Until Detach the daemon shares the terminal: what it prints, the user sees.
// Threads: Run is called while the process has one thread.
#pragma once

#include <functional>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

class Daemon {
 public:
  // Runs `body` in another process, which ends with what that returns. This one
  // exits with 0 when the other detached, with its exit status when it ended
  // before, and 128 plus the signal when a signal ended it. So this returns
  // only if there can be no other process.
  //
  // The two are one memory: this one does nothing but wait. So starting takes
  // no copy of page tables, and running none of the pages. REQUIRES: no handler
  // of a signal, which would run in either.
  static Status Run(const std::function<int(Daemon&)>& body);

  // Lets go: own session, working directory /, /dev/null for the three standard
  // descriptors, log lines to syslog as `ident`; then the parent exits with 0.
  void Detach(const char* ident);

 private:
  friend class DaemonStart;
  explicit Daemon(UniqueFd done) : done_(std::move(done)) {}
  UniqueFd done_;  // a byte written here says "detached"
};

}  // namespace ufs
