// The session: mounts a union, answers the kernel until it is unmounted, and
// leaves nothing behind. Transport, threads and signals are its business.
//
// Threads: Serve is called once in a process, from the main thread, before the
// process has others that take signals; it blocks SIGINT, SIGTERM and SIGHUP
// for all, and for good.
#pragma once

#include <functional>

#include "fs/mount_config.h"
#include "fs/union_fs.h"
#include "layerdb/base/result.h"

namespace ufs {

// Called once, on a thread of the session, when the mount is there: whoever
// asks it for something is answered, if not at once.
using ReadyFn = std::function<void()>;

// Mounts `fs` and serves it. Returns when it is unmounted, by whomever, or
// after SIGINT, SIGTERM or SIGHUP unmounted it. Nothing calls `fs` after that,
// but threads may be left that wait for the end of the process, which is to
// come then: whoever has a file open of a busy mount waits, too. An Error names
// its cause and the remedy, and nothing is mounted then. After `ready` it can
// only be that the kernel's first message was not answered, for want of a
// thread or memory.
Status Serve(const MountConfig& config, UnionFs& fs, const ReadyFn& ready);

}  // namespace ufs
