// Published ports over UDP. The helpers of network.h bring in what is sent, but
// lose answers: slirp4netns those to the machine's loopback, which it keeps out
// of the container's reach, pasta those to every address of the machine.
// Threads: in a process with one thread.
#pragma once

#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"
#include "tools/run/ports.h"

namespace ufs {

// Binds the UDP ports among `ports` and starts a child of ours that passes on
// what is sent to them: from sockets in the namespace `network`, one for each
// asker, to the address that the container has there. So its services see that
// address as the asker's. What they answer goes back from the address that was
// asked. The child serves until it is ended, or we are.
// REQUIRES: one of them is a UDP port; the network is connected.
Result<runtime::kernel::Child> ForwardUdp(
    BorrowedFd network, const std::vector<PublishedPort>& ports);

}  // namespace ufs
