// The session: mounts a union, answers the kernel until it is unmounted, and
// leaves nothing behind. Transport, threads and signals are its business.
//
// Threads: Serve is called once, from the main thread, before the process has
// others that take signals; it blocks SIGINT, SIGTERM and SIGHUP for all.
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
// after SIGINT, SIGTERM or SIGHUP unmounted it. An Error from before the mount
// was live names its cause and the remedy; nothing is mounted then and `ready`
// was not called.
Status Serve(const MountConfig& config, UnionFs& fs, const ReadyFn& ready);

}  // namespace ufs
