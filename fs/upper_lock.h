// The lock on an upper and on its work directory while they are mounted, and
// the note of who holds it: WORK/ufs/mount, "PID MAJOR:MINOR NAMESPACE\n": the
// daemon, the device number of its mount, and by which pid namespace.
// Threads: any.
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Locks `dir` until it is closed. A daemon ends after umount(8) has returned:
// one whose mount is gone, by the note in the work directory at `work_path`, is
// waited for, some seconds. Any other holder is EBUSY, and the context begins
// with `what` and names the mount where it can.
Status LockForMount(BorrowedFd dir, const std::string& what,
                    const std::string& work_path);

// Notes that this process holds the locks for the mount with number `device`.
// `ufs` is WORK/ufs.
Status NoteMount(BorrowedFd ufs, dev_t device);

}  // namespace ufs
