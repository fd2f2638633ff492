#include "runtime/notify_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

constexpr char kName[] = "notify.sock";
constexpr char kPlace[] = "/run/notify";
constexpr char kVariable[] = "NOTIFY_SOCKET=";
// As systemd's own, see sd_notify(3).
constexpr size_t kMessageBytesMax = 4096;
constexpr int kBarrierPatienceMs = 30'000;

bool SaysReady(std::string_view message) {
  while (!message.empty()) {
    const size_t end = std::min(message.find('\n'), message.size());
    if (message.substr(0, end) == "READY=1") return true;
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return false;
}

// Until the receiver has read all: we may end, and with us what says who it
// comes from.
Status AwaitBarrier(BorrowedFd host) {
  kernel::Pipe pipe = TRY(kernel::MakePipe());
  TRY(kernel::SendMessage(host, "BARRIER=1", pipe.write.get()));
  pipe.write.reset();
  pollfd closed{pipe.read.get(), 0, 0};
  if (poll(&closed, 1, kBarrierPatienceMs) > 0) return Ok();
  return Error(ETIMEDOUT, "nobody reads it");
}

}  // namespace

void AddNotifySocket(ContainerSpec& spec, const std::string& directory) {
  spec.mounts.push_back(
      {kPlace, "bind", directory, {"bind", "nosuid", "noexec", "nodev", "ro"}});
  std::erase_if(spec.process.env, [](const std::string& entry) {
    return entry.starts_with(kVariable);
  });
  spec.process.env.push_back(std::string(kVariable) + kPlace + "/" + kName);
}

Result<NotifySocket> NotifySocket::Bind(BorrowedFd directory) {
  const sys::At at{directory, kName};
  UniqueFd socket = TRY(kernel::BindUnix(at, SOCK_DGRAM));
  // Who is who in there is not for us to know.
  TRY(sys::ChmodAt(at, 0777));
  return NotifySocket(std::move(socket));
}

Status NotifySocket::PassOn(const std::string& host, pid_t pid,
                            pid_t main_pid) {
  const UniqueFd listener =
      TRY((host.starts_with('@')
               ? kernel::ConnectAbstract(host.substr(1), SOCK_DGRAM)
               : kernel::ConnectUnix(host, SOCK_DGRAM))
              .With("NOTIFY_SOCKET " + host));
  // It may have ended, and been waited for: what it said is still there.
  const auto init = kernel::PidfdOpen(pid);
  while (true) {
    pollfd fds[] = {{socket_.get(), POLLIN, 0},
                    {init.ok() ? init->get() : -1, POLLIN, 0}};
    if (poll(fds, 2, init.ok() ? -1 : 0) < 0) continue;
    if (fds[0].revents == 0) return Ok();  // it has ended, and said nothing
    const auto message = kernel::ReceiveMessage(socket_, kMessageBytesMax);
    // What is too long is not what we wait for.
    if (!message.ok() || !SaysReady(message->data)) continue;
    const auto tell = [&]() -> Status {
      TRY(kernel::SendMessage(listener, "READY=1\n"));
      TRY(kernel::SendMessage(listener,
                              "MAINPID=" + std::to_string(main_pid) + "\n"));
      return AwaitBarrier(listener);
    };
    return tell().With("telling NOTIFY_SOCKET " + host);
  }
}

}  // namespace ufs::runtime
