// What a process gives up, and takes on, on its way to execve: limits,
// scheduling, ids, capabilities. Threads: called in a process with one thread.
#pragma once

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// Resource limits, priority, personality. Before the ids are given up.
Status SetLimits(const Process& process);
Status SetPersonality(unsigned long personality);

// Becomes uid 0 and gid 0, which a user namespace of our own maps, keeping the
// capabilities. Supplementary groups stay where setgroups is denied.
Status BecomeRoot();

// The bounding set, groups, ids, then the other sets. Nothing can be regained
// afterwards. Without `capabilities`: none.
Status DropPrivileges(const Process& process);

Status SetNoNewPrivileges();

// Nobody may attach, or look through /proc/PID, until the next execve.
Status MakeUndumpable();

}  // namespace ufs::runtime
