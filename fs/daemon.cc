#include "fs/daemon.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// Waits until the child detached or ended, and exits as it did.
[[noreturn]] void ExitAs(pid_t child, UniqueFd done) {
  char byte;
  ssize_t got;
  do got = read(done.get(), &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got == 1) _exit(0);

  int status = 0;
  pid_t ended;
  do ended = waitpid(child, &status, 0);
  while (ended < 0 && errno == EINTR);
  if (ended == child && WIFEXITED(status)) _exit(WEXITSTATUS(status));
  if (ended == child && WIFSIGNALED(status)) _exit(128 + WTERMSIG(status));
  _exit(1);
}

}  // namespace

Result<Daemon> Daemon::Fork() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error(errno, "making a pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  const pid_t child = fork();
  if (child < 0) return Error(errno, "starting the daemon");
  if (child > 0) {
    write_end.reset();  // or the end of the child would never be seen
    ExitAs(child, std::move(read_end));
  }
  return Daemon(std::move(write_end));
}

void Daemon::Detach(const char* ident) {
  setsid();  // fails only for a group leader, which a forked child is not
  if (chdir("/") != 0)
    log::Warn("cannot change to /: the old directory stays busy");
  log::UseSyslog(ident);
  if (Result<UniqueFd> null = sys::Open("/dev/null", O_RDWR); null.ok())
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      dup2(null->get(), fd);

  const char byte = 0;
  ssize_t written;
  do written = write(done_.get(), &byte, 1);
  while (written < 0 && errno == EINTR);
  done_.reset();  // a parent that is gone by now needs no word
}

}  // namespace ufs
