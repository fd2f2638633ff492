// sd_notify(3) for containers, as runc has it: the container gets a socket of
// ours at /run/notify/notify.sock, and whoever started us hears from us that it
// is ready. Of what it says READY=1 alone is passed on; its process is the one
// to watch from then on.
// Threads: any, one at a time.
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// Has the container see `directory`, of the host, and NOTIFY_SOCKET name the
// socket that NotifySocket::Bind will make there.
void AddNotifySocket(ContainerSpec& spec, const std::string& directory);

class NotifySocket {
 public:
  // Makes it in `directory`, where everybody may write to it.
  static Result<NotifySocket> Bind(BorrowedFd directory);

  // Waits until the container is ready or process `pid` ends, and tells `host`,
  // a path or "@" and an abstract name, with `main_pid` as the one to watch.
  Status PassOn(const std::string& host, pid_t pid, pid_t main_pid);

 private:
  explicit NotifySocket(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

}  // namespace ufs::runtime
