#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>

#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"
#include "runtime/exec.h"
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

// The end of what a hook says.
class LastWords {
 public:
  // Whoever else holds the pipe is not waited for.
  void TakeFrom(BorrowedFd pipe) {
    char buffer[4096];
    while (true) {
      const auto got = kernel::Read(pipe, buffer, sizeof(buffer));
      if (!got.ok() || *got == 0) return;
      text_.append(buffer, *got);
      if (text_.size() > kKept) text_.erase(0, text_.size() - kKept);
    }
  }

  std::string After(std::string message) const {
    const size_t end = text_.find_last_not_of(" \n\r\t");
    if (end == text_.npos) return message;
    return std::move(message) + ": " + text_.substr(0, end + 1);
  }

 private:
  static constexpr size_t kKept = 1024;
  std::string text_;
};

// In its process; what to do after a failure is the caller's.
void Execute(const Hook& hook, const std::string& directory, BorrowedFd input,
             BorrowedFd output, const std::function<Status()>& become) {
  const std::vector<std::string> path_alone = {std::string("PATH=") +
                                               kDefaultPath};
  const std::vector<std::string> own_name = {hook.path};
  const auto argv =
      kernel::PointersTo(hook.args.empty() ? own_name : hook.args);
  const auto env = kernel::PointersTo(hook.env.empty() ? path_alone : hook.env);
  // Its own group, so that what it starts can be ended with it.
  setpgid(0, 0);
  // Whoever waits for a container has signals blocked, and ignores one.
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Enter(directory);
  if (kernel::DuplicateTo(input, STDIN_FILENO).ok() &&
      kernel::DuplicateTo(output, STDOUT_FILENO).ok() &&
      kernel::DuplicateTo(output, STDERR_FILENO).ok() &&
      kernel::CloseOnExecFrom(3).ok() && become().ok())
    execve(hook.path.c_str(), argv.data(), env.data());
}

Status RunHook(const Hook& hook, const std::string& state,
               const std::string& directory,
               const std::function<Status()>& become) {
  const UniqueFd input = TRY(MakeStateFile(state));
  auto output = TRY(kernel::MakePipe());
  auto failure = TRY(kernel::MakePipe());  // why it cannot be executed
  TRY(kernel::SetNonBlocking(output.read));
  const kernel::Child child = TRY(kernel::Clone(0));
  if (child.pid == 0) {
    Execute(hook, directory, input, output.write, become);
    const int why = kernel::LastError().code();
    (void)sys::Write(failure.write, reinterpret_cast<const char*>(&why),
                     sizeof(why));
    _exit(127);
  }
  failure.write.reset();
  output.write.reset();
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  LastWords words;
  pollfd fds[] = {{child.pidfd.get(), POLLIN, 0},
                  {output.read.get(), POLLIN, 0}};
  while (fds[0].revents == 0) {
    int timeout_ms = -1;
    if (hook.timeout_s) {
      const auto left =
          begin + std::chrono::seconds(*hook.timeout_s) - Clock::now();
      timeout_ms = static_cast<int>(std::clamp<int64_t>(
          std::chrono::ceil<std::chrono::milliseconds>(left).count(), 0,
          INT32_MAX));
    }
    const int ready = poll(fds, std::size(fds), timeout_ms);
    if (ready < 0) {
      if (kernel::LastError().code() != EINTR) return kernel::LastError();
      fds[0].revents = 0;
      continue;
    }
    words.TakeFrom(output.read);
    // Closed: nothing to wait for but the end.
    if ((fds[1].revents & POLLIN) == 0 && fds[1].revents != 0) fds[1].fd = -1;
    if (ready > 0 || timeout_ms != 0) continue;
    kill(-child.pid, SIGKILL);
    (void)kernel::PidfdSignal(child.pidfd, SIGKILL);
    (void)kernel::WaitPid(child.pid);
    return Error(ETIMEDOUT,
                 words.After("not done after " +
                             std::to_string(*hook.timeout_s) + " s"));
  }
  words.TakeFrom(output.read);
  const int code = kernel::ExitCodeOf(TRY(kernel::WaitPid(child.pid)));
  int why = 0;
  if (TRY(kernel::Read(failure.read, reinterpret_cast<char*>(&why),
                       sizeof(why))) == sizeof(why))
    return Error(why).With("cannot be executed");
  if (code != 0)
    return Error(EINVAL,
                 words.After("exited with code " + std::to_string(code)));
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
                const std::string& state, const std::string& directory,
                const std::function<Status()>& become) {
  for (const Hook& hook : hooks)
    TRY(RunHook(hook, state, directory, become)
            .With(std::string(kind) + " hook " + hook.path));
  return Ok();
}

void RunEveryHook(const char* kind, const std::vector<Hook>& hooks,
                  const std::string& state, const std::string& directory) {
  for (const Hook& hook : hooks) {
    const auto run = RunHook(hook, state, directory, Ok)
                         .With(std::string(kind) + " hook " + hook.path);
    if (run.ok()) continue;
    const Error& error = run.error();
    // Where the hook has failed, not a call of ours, there is no errno.
    log::Warn(error.explained() ? std::string(error.context())
                                : error.ToString());
  }
}

}  // namespace ufs::runtime
