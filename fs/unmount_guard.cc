#include "fs/unmount_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "fs/control.h"
#include "fs/fuse_mount.h"
#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"

namespace ufs {
namespace {

// What the daemon writes: "DEVICE MOUNTPOINT", ended by a 0 byte, when it has
// mounted; one more 0 byte when there is nothing to do any more.
constexpr char kEnd = '\0';

// Keeps nothing of the daemon's but the pipe, nor its terminal.
void LetGo(BorrowedFd pipe) {
  setsid();
  log::UseSyslog("ufs");
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
  if (chdir("/") != 0) _exit(1);
  const auto null = sys::Open("/dev/null", O_RDWR);
  if (!null.ok()) _exit(1);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    dup2(null->get(), fd);
  const auto keep = static_cast<unsigned>(pipe.get());
  if (keep > 3) close_range(3, keep - 1, 0);
  close_range(keep + 1, ~0U, 0);
}

[[noreturn]] void Guard(UniqueFd pipe) {
  LetGo(pipe);
  std::string said;
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(pipe.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(buffer, static_cast<size_t>(got));
  }
  const size_t end = said.find(kEnd);
  if (end == std::string::npos || end + 1 != said.size()) _exit(0);
  char* rest = nullptr;
  const dev_t device = strtoull(said.c_str(), &rest, 10);
  if (*rest != ' ') _exit(1);
  const Status unmounted = UnmountFuse(rest + 1, device, /*lazily=*/true);
  // The pipe may have been the first that the dying daemon lost.
  for (int tries = 0; tries < 50 && !RemoveDeadControlSocket(device); ++tries)
    poll(nullptr, 0, 20);
  if (!unmounted.ok()) log::Warn(unmounted.error().ToString());
  _exit(unmounted.ok() ? 0 : 1);
}

Status WriteAll(BorrowedFd fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error(errno, "auto_unmount");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return Ok();
}

}  // namespace

Result<UnmountGuard> UnmountGuard::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error(errno, "making a pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return Error(errno, "starting the guard of the mount");
  if (child == 0) {
    write_end.reset();  // or the end of the daemon would never be seen
    Guard(std::move(read_end));
  }
  return UnmountGuard(std::move(write_end), child);
}

Status UnmountGuard::Watch(const std::string& mountpoint) {
  const dev_t device = TRY(DeviceAt(mountpoint));
  return WriteAll(pipe_, std::to_string(device) + " " + mountpoint + kEnd);
}

UnmountGuard::~UnmountGuard() {
  if (child_ < 0) return;
  static_cast<void>(WriteAll(pipe_, std::string_view(&kEnd, 1)));
  pipe_.reset();
  while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace ufs
