// Container::Exec: another process in a container that runs.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/container.h"
#include "runtime/exec.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"
#include "runtime/privileges.h"
#include "runtime/security_label.h"
#include "runtime/terminal.h"

namespace ufs::runtime {
namespace {

using ufs::Status;

struct ExecInput {
  pid_t init;
  BorrowedFd init_fd;
  const Process& process;
  const SeccompProgram* seccomp;
  const Cgroup& cgroup;
  const CgroupDoors& doors;
  int preserve_fds;
  std::string keyring;
  std::optional<int> oom_score_adj;
  std::optional<unsigned long> personality;
  bool keep_line_ends;
};

// In the process that is in all namespaces, the pid namespace included.
Status ExecuteInside(const ExecInput& input, BorrowedFd channel,
                     BorrowedFd host_proc) {
  const Process& process = input.process;
  if (process.terminal) {
    const UniqueFd root = TRY(sys::Open("/", O_PATH | O_DIRECTORY));
    const Terminal terminal =
        TRY(OpenTerminal(root, process.console_size, process.user.uid));
    if (input.keep_line_ends) KeepLineEnds(terminal.master);
    TRY(Say(channel, Word::kTerminal, "", terminal.master.get()));
    TRY(TakeTerminal(terminal.slave));
  } else {
    (void)kernel::Check(setsid());
  }
  if (input.personality) TRY(SetPersonality(*input.personality));
  const std::string executable = TRY(FindExecutable(process));
  TRY(SetExecLabels(host_proc, process));
  return ExecuteProcess(process, input.seccomp, input.preserve_fds, executable,
                        [&](UniqueFd listener) {
                          return HandOverListener(channel, std::move(listener));
                        });
}

// In the helper: joins, then makes the process as a child of its own parent.
Status JoinAndClone(const ExecInput& input, BorrowedFd channel) {
  // While /proc/self is still ours to write.
  if (input.oom_score_adj) {
    auto set = SetOomScore("self", *input.oom_score_adj);
    // An ordinary user, whose init was given less, has to do without.
    if (set.code() != EACCES) TRY(std::move(set));
  }
  // Whoever is in the container may look at what joins it.
  TRY(MakeUndumpable());
  TRY(input.cgroup.JoinLater(input.doors, input.init));
  if (!input.process.exec_affinity) {
    UseEveryProcessor();
  } else if (!input.process.exec_affinity->final.empty()) {
    TRY(UseProcessors(input.process.exec_affinity->final)
            .With("process.execCPUAffinity.final"));
  }
  RaiseHardLimits(input.process, 0);
  const UniqueFd host_proc = TRY(OpenProcForLabels(input.process));
  TRY(JoinProcess(input.init, input.init_fd));
  // The right to, in the user namespace that has just been joined.
  if (!InInitialUserNamespace()) {
    (void)BecomeRoot(input.process.user.keep_groups);
    TRY(MakeUndumpable());
  }
  if (!input.keyring.empty()) TRY(JoinSessionKeyring(input.keyring));
  const auto child = TRY(kernel::Clone(CLONE_PARENT));
  if (child.pid == 0) {
    const auto failed = ExecuteInside(input, channel, host_proc);
    if (!failed.ok()) SayError(channel, failed.error());
    _exit(1);
  }
  return Say(channel, Word::kInitIs, std::to_string(child.pid),
             child.pidfd.get());
}

}  // namespace

Result<pid_t> Container::Exec(Process process, const ExecOptions& options,
                              UniqueFd& terminal) {
  const UniqueFd init = TRY(kernel::PidfdOpen(state_.pid > 0 ? state_.pid : -1)
                                .With("container not running"));
  const RunState now = TRY(Status());
  if (now == RunState::kStopped || now == RunState::kCreating)
    return Error(ESRCH, std::string("cannot exec in a container that is ") +
                            NameOf(now) + ": container not running");
  if (now == RunState::kPaused && !options.ignore_paused)
    return Error(EBUSY, "cannot exec in a paused container");
  TRY(CheckLabels(process));
  WarnOfUnknownCapabilities(process);
  const ContainerSpec spec = TRY(Spec());
  process.user.keep_groups = spec.process.user.keep_groups;
  if (!process.exec_affinity)
    process.exec_affinity = spec.process.exec_affinity;
  SeccompProgram seccomp;
  if (spec.seccomp) seccomp = TRY(CompileSeccomp(*spec.seccomp));
  const UniqueFd pidfd_socket = TRY(ConnectPidfdSocket(options.pidfd_socket));
  const Cgroup cgroup = options.cgroups.empty()
                            ? state_.cgroup
                            : TRY(state_.cgroup.Below(options.cgroups));
  CgroupDoors doors = TRY(cgroup.OpenDoors());
  const ExecInput input{state_.pid,
                        init,
                        process,
                        spec.seccomp ? &seccomp : nullptr,
                        cgroup,
                        doors,
                        options.preserve_fds,
                        state_.keyring,
                        process.oom_score_adj ? process.oom_score_adj
                                              : spec.process.oom_score_adj,
                        spec.personality,
                        options.keep_line_ends};

  // Ours, and so of the helper, which may be born in the cgroup.
  if (input.process.exec_affinity &&
      !input.process.exec_affinity->initial.empty())
    TRY(UseProcessors(input.process.exec_affinity->initial)
            .With("process.execCPUAffinity.initial"));
  auto pair = TRY(kernel::MakeSocketPair());
  const auto helper = TRY(doors.Clone(0));
  if (helper.pid == 0) {
    pair.ours.reset();
    const auto done = JoinAndClone(input, pair.theirs);
    if (!done.ok()) SayError(pair.theirs, done.error());
    _exit(done.ok() ? 0 : 1);
  }
  pair.theirs.reset();

  pid_t pid = 0;
  UniqueFd pidfd;
  std::string listener;  // its number there
  ufs::Status failure;
  while (failure.ok()) {
    auto said = Listen(pair.ours);
    if (said.code() == EPIPE) break;  // closed by execve
    if (!said.ok()) {
      failure = std::move(said).error();
      break;
    }
    if (said->word == Word::kInitIs) {
      pid = static_cast<pid_t>(std::atoi(said->text.c_str()));
      pidfd = std::move(said->fd);
    } else if (said->word == Word::kNotify && spec.seccomp) {
      listener = std::move(said->text);
    } else if (said->word == Word::kTerminal) {
      if (options.console_socket.empty()) {
        terminal = std::move(said->fd);
      } else {
        failure = SendTerminal(options.console_socket, said->fd);
      }
    }
    // Who made it and it itself speak at once.
    if (failure.ok() && pid != 0 && !listener.empty()) {
      failure = HandNotifier(*spec.seccomp, pair.ours, pid,
                             std::atoi(listener.c_str()), now);
      listener.clear();
    }
  }
  TRY(kernel::WaitPid(helper.pid));
  // What it made has to end, too.
  while (!failure.ok() && pid == 0) {
    const auto said = Listen(pair.ours);
    if (!said.ok()) break;
    if (said->word == Word::kInitIs)
      pid = static_cast<pid_t>(std::atoi(said->text.c_str()));
  }
  if (failure.ok() && pid == 0)
    failure = Error(ESRCH,
                    "the process ended before it began: container not "
                    "running");
  if (failure.ok()) failure = WritePidFile(options.pid_file, pid);
  if (failure.ok()) failure = SendPidfd(pidfd_socket, pidfd, "setns");
  if (!failure.ok()) {
    // It has failed, or has nobody to talk to.
    if (pid > 0) {
      (void)kernel::Check(kill(pid, SIGKILL));
      (void)kernel::WaitPid(pid);
    }
    return std::move(failure).error();
  }
  return pid;
}

}  // namespace ufs::runtime
