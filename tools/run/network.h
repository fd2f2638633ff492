// The helper that gives a private network namespace a way out: slirp4netns,
// which runs on the host and connects for the container.
// Threads: in a process with one thread.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"

namespace ufs {

// A new network namespace with its loopback up.
Result<UniqueFd> MakeNetwork();

// Connects it to the host's network. Returns when it is connected; the helper,
// a child of ours, serves until it is ended.
Result<runtime::kernel::Child> ConnectNetwork(BorrowedFd network);

}  // namespace ufs
