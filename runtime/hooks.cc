#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

// Not to be entered by an ordinary user's container, it may be. And by a name
// in /proc a directory of the container's is one outside of it
// (CVE-2024-21626).
void Enter(const std::string& directory) {
  (void)kernel::Check(chdir(directory.c_str()));
  char path[PATH_MAX];
  if (getcwd(path, sizeof(path)) == nullptr || path[0] != '/')
    (void)kernel::Check(chdir("/"));
}

Status RunHook(const Hook& hook, const std::string& state,
               const std::string& directory) {
  const UniqueFd input = TRY(MakeStateFile(state));
  std::vector<std::string> args = hook.args;
  if (args.empty()) args.push_back(hook.path);
  const auto argv = kernel::PointersTo(args);
  const auto env = kernel::PointersTo(hook.env);
  auto failure = TRY(kernel::MakePipe());  // why it cannot be executed
  const kernel::Child child = TRY(kernel::Clone(0));
  if (child.pid == 0) {
    // Its own group, so that what it starts can be ended with it.
    setpgid(0, 0);
    // Whoever waits for a container has signals blocked, and ignores one.
    signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    Enter(directory);
    if (kernel::DuplicateTo(input, STDIN_FILENO).ok() &&
        kernel::CloseOnExecFrom(3).ok())
      execve(hook.path.c_str(), argv.data(), env.data());
    const int why = kernel::LastError().code();
    (void)sys::Write(failure.write, reinterpret_cast<const char*>(&why),
                     sizeof(why));
    _exit(127);
  }
  failure.write.reset();
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  const int timeout_ms = hook.timeout_s
                             ? static_cast<int>(std::min<int64_t>(
                                   int64_t{*hook.timeout_s} * 1000, INT32_MAX))
                             : -1;
  int ready;
  do {
    ready = poll(&ended, 1, timeout_ms);
  } while (ready < 0 && kernel::LastError().code() == EINTR);
  if (ready == 0) {
    kill(-child.pid, SIGKILL);
    (void)kernel::PidfdSignal(child.pidfd, SIGKILL);
    (void)kernel::WaitPid(child.pid);
    return Error(ETIMEDOUT,
                 "not done after " + std::to_string(*hook.timeout_s) + " s");
  }
  const int code = kernel::ExitCodeOf(TRY(kernel::WaitPid(child.pid)));
  int why = 0;
  if (TRY(kernel::Read(failure.read, reinterpret_cast<char*>(&why),
                       sizeof(why))) == sizeof(why))
    return Error(why).With("cannot be executed");
  if (code != 0)
    return Error(EINVAL, "exited with code " + std::to_string(code));
  return Ok();
}

}  // namespace

Result<UniqueFd> MakeStateFile(const std::string& state) {
  const int raw = memfd_create("state", MFD_CLOEXEC);
  TRY(kernel::Check(raw));
  UniqueFd file(raw);
  TRY(kernel::WriteAll(file, state));
  TRY(sys::LSeek(file, 0, SEEK_SET));
  return file;
}

Status RunHooks(const char* kind, const std::vector<Hook>& hooks,
                const std::string& state, const std::string& directory) {
  for (const Hook& hook : hooks)
    TRY(RunHook(hook, state, directory)
            .With(std::string(kind) + " hook " + hook.path));
  return Ok();
}

void RunEveryHook(const char* kind, const std::vector<Hook>& hooks,
                  const std::string& state, const std::string& directory) {
  for (const Hook& hook : hooks) {
    const auto run = RunHook(hook, state, directory)
                         .With(std::string(kind) + " hook " + hook.path);
    if (run.ok()) continue;
    const Error& error = run.error();
    // Where the hook has failed, not a call of ours, there is no errno.
    log::Warn(error.explained() ? std::string(error.context())
                                : error.ToString());
  }
}

}  // namespace ufs::runtime
