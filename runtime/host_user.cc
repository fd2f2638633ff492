#include "runtime/host_user.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "runtime/kernel.h"
#include "runtime/programs.h"

namespace ufs::runtime {
namespace {

// A host's file may be long, but who has that many users has a directory server
// that is faster.
constexpr size_t kPasswdBytesMax = 4 << 20;
constexpr size_t kLineBytesMax = 64 << 10;

// Starts it with nothing of ours but a pipe: whoever calls us may be set-id.
Result<pid_t> Spawn(const std::string& getent, uid_t uid, BorrowedFd output) {
  std::string words[] = {"getent", "passwd", std::to_string(uid)};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  char* no_environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                   O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
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
  const int error = posix_spawn(&child, getent.c_str(), &actions, &attributes,
                                argv, no_environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error(error, getent);
  return child;
}

// Its exit status adds nothing to what it prints.
Result<std::string> AskGetent(const std::string& getent, uid_t uid) {
  kernel::Pipe pipe = TRY(kernel::MakePipe());
  const pid_t child = TRY(Spawn(getent, uid, pipe.write));
  pipe.write.reset();
  auto text = kernel::ReadAll(pipe.read, kLineBytesMax);
  pipe.read.reset();
  (void)kernel::WaitPid(child);
  return text;
}

}  // namespace

std::optional<PasswdEntry> FindHostUser(uid_t uid) {
  return FindHostUser(uid, "/etc/passwd", FindProgram("getent"));
}

std::optional<PasswdEntry> FindHostUser(uid_t uid, const std::string& passwd,
                                        const std::string& getent) {
  const std::string number = std::to_string(uid);
  if (const auto text = kernel::ReadFile(passwd, kPasswdBytesMax); text.ok())
    if (auto entry = FindUser(*text, number)) return entry;
  if (getent.empty()) return std::nullopt;
  const auto text = AskGetent(getent, uid);
  return text.ok() ? FindUser(*text, number) : std::nullopt;
}

}  // namespace ufs::runtime
