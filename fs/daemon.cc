#include "fs/daemon.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// What the two processes of a start have in common.
class DaemonStart {
 public:
  DaemonStart(const std::function<int(Daemon&)>& body, UniqueFd read_end,
              UniqueFd write_end)
      : body_(body),
        read_end_(std::move(read_end)),
        write_end_(std::move(write_end)) {}

  // Another process in this memory, or a copy where that cannot be.
  Result<pid_t> Begin();
  // Waits until the daemon detached or ended, and exits as it did.
  [[noreturn]] void ExitAs(pid_t daemon);

 private:
  // As much as a thread has.
  static constexpr size_t kStackBytes = 8 << 20;
  static constexpr size_t kGuardBytes = 64 << 10;

  Result<pid_t> Share(int* thread_id);
  Result<pid_t> Copy();
  [[noreturn]] void BeDaemon();

  const std::function<int(Daemon&)>& body_;
  UniqueFd read_end_;
  UniqueFd write_end_;
  robust_list_head* robust_list_ = nullptr;
  size_t robust_list_size_ = 0;
};

Result<pid_t> DaemonStart::Begin() {
#ifndef UFS_SANITIZED  // sanitizers know the stacks of threads alone
  // Where the C library keeps the number of its thread, and has the kernel
  // write 0 when that is gone. Needs CONFIG_CHECKPOINT_RESTORE.
  int* thread_id = nullptr;
  if (prctl(PR_GET_TID_ADDRESS, &thread_id) == 0 && thread_id != nullptr &&
      syscall(SYS_get_robust_list, 0, &robust_list_, &robust_list_size_) == 0)
    // Emulators and filters may refuse what no thread and no fork(2) asks for.
    if (auto daemon = Share(thread_id); daemon.ok()) return daemon;
  robust_list_ = nullptr;
#endif
  return Copy();
}

// To the C library the daemon is what this process was, the thread with which
// a program starts, as after fork(2): with its number and its list of locks
// that outlive their owner. Only rseq(2) it does without, so that
// sched_getcpu(3), were it called on this thread, would tell of the past.
Result<pid_t> DaemonStart::Share(int* thread_id) {
  void* const stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return Error(errno, "memory for the daemon's stack");
  if (mprotect(stack, kGuardBytes, PROT_NONE) != 0) {
    const Error error(errno, "the guard of the daemon's stack");
    munmap(stack, kStackBytes);
    return error;
  }

  // The daemon's number stays when this process goes.
  int unused = 0;
  syscall(SYS_set_tid_address, &unused);
  const auto run = [](void* self) -> int {
    static_cast<DaemonStart*>(self)->BeDaemon();
  };
  const pid_t daemon =
      clone(run, static_cast<char*>(stack) + kStackBytes,
            CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
            this, nullptr, nullptr, thread_id);
  if (daemon > 0) return daemon;
  const Error error(errno, "starting the daemon");
  syscall(SYS_set_tid_address, thread_id);
  munmap(stack, kStackBytes);
  return error;
}

Result<pid_t> DaemonStart::Copy() {
  const pid_t daemon = fork();
  if (daemon < 0) return Error(errno, "starting the daemon");
  if (daemon == 0) BeDaemon();
  return daemon;
}

void DaemonStart::BeDaemon() {
  if (robust_list_ != nullptr)
    syscall(SYS_set_robust_list, robust_list_, robust_list_size_);
  close(read_end_.get());  // of this process alone, as all descriptors
  Daemon daemon(UniqueFd(write_end_.get()));
  std::exit(body_(daemon));
}

// By system calls alone: the C library's memory is the daemon's.
void DaemonStart::ExitAs(pid_t daemon) {
  // Or the end of the daemon would never be seen.
  syscall(SYS_close, write_end_.get());
  char byte;
  long got;
  do got = syscall(SYS_read, read_end_.get(), &byte, 1);
  while (got < 0 && errno == EINTR);

  int code = 0;
  if (got != 1) {
    int status = 0;
    long ended;
    do ended = syscall(SYS_wait4, daemon, &status, 0, nullptr);
    while (ended < 0 && errno == EINTR);
    code = 1;
    if (ended == daemon && WIFEXITED(status)) code = WEXITSTATUS(status);
    if (ended == daemon && WIFSIGNALED(status)) code = 128 + WTERMSIG(status);
  }
  for (;;) syscall(SYS_exit_group, code);
}

Status Daemon::Run(const std::function<int(Daemon&)>& body) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error(errno, "making a pipe");
  DaemonStart start(body, UniqueFd(ends[0]), UniqueFd(ends[1]));
  start.ExitAs(TRY(start.Begin()));
}

void Daemon::Detach(const char* ident) {
  setsid();  // fails only for a group leader, which no daemon is at its start
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
  // Whoever reads it was woken on this processor, as if we had to wait now; and
  // its end needs the memory that our next threads would change.
  sched_yield();
  done_.reset();  // a parent that is gone by now needs no word
}

}  // namespace ufs
