#include "runtime/programs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

using Clock = std::chrono::steady_clock;

int MillisecondsTo(Clock::time_point end) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

Result<pid_t> Spawn(const std::string& path,
                    const std::vector<std::string>& words, BorrowedFd output,
                    Errors errors) {
  const auto argv = kernel::PointersTo(words);
  char* no_environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                   O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
  if (errors == Errors::kWithOutput)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  else
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
                                     O_WRONLY, 0);
  // It ends by SIGPIPE if it says more than is read, whatever we ignore.
  sigset_t none, pipe;
  sigemptyset(&none);
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &pipe);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int error = posix_spawn(&child, path.c_str(), &actions, &attributes,
                                argv.data(), no_environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error(error, path);
  return child;
}

Result<std::string> ReadUntil(BorrowedFd pipe, size_t bytes_max,
                              Clock::time_point end) {
  std::string text;
  char buffer[4096];
  while (true) {
    pollfd one = {pipe.get(), POLLIN, 0};
    const int ready = poll(&one, 1, MillisecondsTo(end));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Error(errno);
    if (ready == 0) return Error(ETIMEDOUT);
    const size_t got = TRY(kernel::Read(pipe, buffer, sizeof(buffer)));
    if (got == 0) return text;
    if (text.size() + got > bytes_max) return Error(EFBIG);
    text.append(buffer, got);
  }
}

}  // namespace

std::string FindProgram(const char* name) {
  for (const char* directory : {"/usr/bin/", "/bin/", "/usr/local/bin/"}) {
    const std::string path = std::string(directory) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

Result<std::string> AskProgram(const std::string& path,
                               std::vector<std::string> arguments,
                               size_t bytes_max, int patience_ms,
                               Errors errors) {
  const auto end = Clock::now() + std::chrono::milliseconds(patience_ms);
  arguments.insert(arguments.begin(), path.substr(path.rfind('/') + 1));
  kernel::Pipe pipe = TRY(kernel::MakePipe());
  const pid_t child = TRY(Spawn(path, arguments, pipe.write, errors));
  pipe.write.reset();
  auto text = ReadUntil(pipe.read, bytes_max, end);
  pipe.read.reset();
  // It may have closed its output and gone on. Nobody else reaps it: the number
  // is its own.
  const auto pidfd = kernel::PidfdOpen(child);
  if (!pidfd.ok() || !kernel::WaitForExit(*pidfd, MillisecondsTo(end)))
    (void)kill(child, SIGKILL);
  (void)kernel::WaitPid(child);
  return text.ok() ? std::move(text) : std::move(text).error().With(path);
}

}  // namespace ufs::runtime
