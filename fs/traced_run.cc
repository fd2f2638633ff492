#include "fs/traced_run.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

namespace ufs {
namespace {

// Not the union's doing.
const std::set<uint64_t> kUncounted = {
    SYS_brk,     SYS_mmap,   SYS_munmap, SYS_mprotect, SYS_futex,
    SYS_madvise, SYS_gettid, SYS_getpid, SYS_tgkill,   SYS_rt_sigprocmask};

bool IsCounted(pid_t child) {
  __ptrace_syscall_info info{};
  ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
  return info.op == PTRACE_SYSCALL_INFO_ENTRY &&
         kUncounted.count(info.entry.nr) == 0;
}

// Tracer and traced take turns: on two cores each turn would wake another.
void StayOnOneCore() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &set);
  EXPECT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

// How often a child that is started again by `request` stops with `signal`
// while it does `work`, and `counts` says so.
int64_t StopsOf(const std::function<bool()>& work, __ptrace_request request,
                int signal, const std::function<bool(pid_t)>& counts) {
  cpu_set_t before;
  EXPECT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  StayOnOneCore();
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
    raise(SIGSTOP);
    const bool good = work();
    raise(SIGSTOP);
    _exit(good ? 0 : 1);
  }
  int64_t stops = 0;
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  if (WIFSTOPPED(status)) {
    ptrace(PTRACE_SETOPTIONS, child, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (;;) {
      ptrace(request, child, nullptr, nullptr);
      EXPECT_EQ(waitpid(child, &status, 0), child);
      if (!WIFSTOPPED(status) || WSTOPSIG(status) != signal) break;
      if (counts(child)) ++stops;
    }
    ptrace(PTRACE_CONT, child, nullptr, nullptr);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  } else {
    stops = -1;
  }
  EXPECT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  return stops;
}

}  // namespace

int64_t CallsOf(const std::function<bool()>& work) {
  return StopsOf(work, PTRACE_SYSCALL, SIGTRAP | 0x80, IsCounted);
}

int64_t InstructionsOf(const std::function<bool()>& work) {
  return StopsOf(work, PTRACE_SINGLESTEP, SIGTRAP, [](pid_t) { return true; });
}

}  // namespace ufs
