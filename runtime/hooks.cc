#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

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

// A file of no name in memory.
Result<UniqueFd> MakeMemoryFile(const char* name) {
  const int raw = memfd_create(name, MFD_CLOEXEC);
  TRY(kernel::Check(raw));
  return UniqueFd(raw);
}

// The end of what a hook has said, after `message`. It said it to a file, so
// that nobody waits for whom it leaves behind, and they can go on saying it.
std::string WithLastWords(std::string message, BorrowedFd output) {
  constexpr off_t kKept = 1024;
  char text[kKept];
  // Who writes on appends.
  if (!sys::LSeek(output, -kKept, SEEK_END).ok() &&
      !sys::LSeek(output, 0, SEEK_SET).ok())
    return message;
  const auto got = kernel::Read(output, text, kKept);
  if (!got.ok()) return message;
  const std::string_view words(text, *got);
  const size_t end = words.find_last_not_of(" \n\r\t");
  if (end == words.npos) return message;
  return std::move(message) + ": " + std::string(words.substr(0, end + 1));
}

// In its process. Returns only if that fails.
Error Execute(const Hook& hook, const std::string& directory, BorrowedFd input,
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
  const auto prepare = [&]() -> Status {
    TRY(kernel::DuplicateTo(input, STDIN_FILENO));
    TRY(kernel::DuplicateTo(output, STDOUT_FILENO));
    TRY(kernel::DuplicateTo(output, STDERR_FILENO));
    TRY(kernel::CloseOnExecFrom(3));
    return become();
  };
  auto prepared = prepare();
  if (!prepared.ok()) return std::move(prepared).error();
  execve(hook.path.c_str(), argv.data(), env.data());
  return kernel::LastError();
}

// What Execute returned, through a pipe: an errno, then the context.
void Tell(BorrowedFd pipe, const Error& error) {
  const int code = error.code();
  std::string text(reinterpret_cast<const char*>(&code), sizeof(code));
  text += std::string_view(error.context()).substr(0, PIPE_BUF / 2);
  (void)sys::Write(pipe, text.data(), text.size());
}

Status Told(BorrowedFd pipe) {
  char text[PIPE_BUF];
  const size_t got = TRY(kernel::Read(pipe, text, sizeof(text)));
  int code = 0;
  if (got < sizeof(code)) return Ok();
  std::memcpy(&code, text, sizeof(code));
  Error error(code);
  if (got > sizeof(code))
    error = std::move(error).With(
        std::string(text + sizeof(code), got - sizeof(code)));
  return std::move(error).With("cannot be executed");
}

// Whether it ended in time.
Result<bool> Await(const kernel::Child& child, std::optional<int> timeout_s) {
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  const int timeout_ms = timeout_s ? static_cast<int>(std::min<int64_t>(
                                         int64_t{*timeout_s} * 1000, INT32_MAX))
                                   : -1;
  while (true) {
    const int ready = poll(&ended, 1, timeout_ms);
    if (ready >= 0) return ready > 0;
    if (kernel::LastError().code() != EINTR) return kernel::LastError();
  }
}

Status RunHook(const Hook& hook, const std::string& state,
               const std::string& directory,
               const std::function<Status()>& become) {
  const UniqueFd input = TRY(MakeStateFile(state));
  const UniqueFd output = TRY(MakeMemoryFile("output"));
  TRY(kernel::Check(fcntl(output.get(), F_SETFL, O_APPEND)));
  auto failure = TRY(kernel::MakePipe());  // why it cannot be executed
  const kernel::Child child = TRY(kernel::Clone(0));
  if (child.pid == 0) {
    Tell(failure.write, Execute(hook, directory, input, output, become));
    _exit(127);
  }
  failure.write.reset();
  if (!TRY(Await(child, hook.timeout_s))) {
    kill(-child.pid, SIGKILL);
    (void)kernel::PidfdSignal(child.pidfd, SIGKILL);
    (void)kernel::WaitPid(child.pid);
    return Error(ETIMEDOUT,
                 WithLastWords(
                     "not done after " + std::to_string(*hook.timeout_s) + " s",
                     output));
  }
  const int code = kernel::ExitCodeOf(TRY(kernel::WaitPid(child.pid)));
  TRY(Told(failure.read));
  if (code != 0)
    return Error(
        EINVAL,
        WithLastWords("exited with code " + std::to_string(code), output));
  return Ok();
}

}  // namespace

Result<UniqueFd> MakeStateFile(const std::string& state) {
  UniqueFd file = TRY(MakeMemoryFile("state"));
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
