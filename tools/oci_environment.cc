#include "tools/oci_environment.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "runtime/kernel.h"
#include "tools/command.h"

namespace ufs {
namespace {

using runtime::Container;
using runtime::NotifySocket;

std::string Variable(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::optional<NotifySocket>> Prepare(const Container& container) {
  if (Variable("NOTIFY_SOCKET").empty()) return std::optional<NotifySocket>();
  auto socket = container.BindNotifySocket();
  // Made when nobody waited.
  if (socket.code() == ENOENT) return std::optional<NotifySocket>();
  return std::optional<NotifySocket>(
      TRY(std::move(socket).With("binding the notify socket")));
}

}  // namespace

void AddFromEnvironment(runtime::CreateOptions& options) {
  options.notify = !Variable("NOTIFY_SOCKET").empty();
  // Meant for another process, as one of a parent of ours.
  if (std::atoi(Variable("LISTEN_PID").c_str()) != getpid()) return;
  const int count = std::atoi(Variable("LISTEN_FDS").c_str());
  if (count <= 0) return;
  options.preserve_fds += count;
  // It is the first in its namespace of processes.
  options.env.insert(options.env.end(),
                     {"LISTEN_FDS=" + std::to_string(count), "LISTEN_PID=1"});
  if (const std::string names = Variable("LISTEN_FDNAMES"); !names.empty())
    options.env.push_back("LISTEN_FDNAMES=" + names);
}

Status StartAndNotify(Container& container) {
  auto socket = TRY(Prepare(container));
  TRY(container.Start());
  if (!socket) return Ok();
  const pid_t pid = container.state().pid;
  return socket->PassOn(Variable("NOTIFY_SOCKET"), pid, pid);
}

Status StartAndNotifyMeanwhile(Container& container) {
  auto socket = TRY(Prepare(container));
  TRY(container.Start());
  if (!socket) return Ok();
  const pid_t main_pid = getpid();
  const auto child = TRY(runtime::kernel::Clone(0));
  if (child.pid != 0) return Ok();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto passed = socket->PassOn(Variable("NOTIFY_SOCKET"),
                                     container.state().pid, main_pid);
  if (!passed.ok()) Complain("ufs-oci", passed.error().ToString(), 0);
  _exit(0);
}

}  // namespace ufs
