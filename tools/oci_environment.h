// What an OCI runtime is told by its environment: sd_notify(3) and
// sd_listen_fds(3).
#pragma once

#include <optional>

#include "layerdb/base/result.h"
#include "runtime/container.h"

namespace ufs {

// Has the container get the sockets of LISTEN_FDS, before those of
// --preserve-fds, and say to NOTIFY_SOCKET when it is ready.
void AddFromEnvironment(runtime::CreateOptions& options);

// Starts it. Where somebody waits at NOTIFY_SOCKET: for one that was made with
// such a socket, returns once it is ready, or has ended.
Status StartAndNotify(runtime::Container& container);

// The same, but it does not wait: a child of ours does, and names us as the
// process to watch.
Status StartAndNotifyMeanwhile(runtime::Container& container);

}  // namespace ufs
