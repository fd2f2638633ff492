// What a process gives up, and takes on, on its way to execve: limits,
// scheduling, ids, capabilities. Threads: called in a process with one thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// What a process has that asks for none, and init while it makes files: never
// the caller's, so that a container is the same whoever starts it.
inline constexpr mode_t kDefaultUmask = 0022;

// Raises hard limits of `pid`, 0 for the caller, to those asked for where they
// are lower: the right to is the host's, and lost in a user namespace. What is
// refused shows in SetLimits.
void RaiseHardLimits(const Process& process, pid_t pid);

// How soon `process`, an entry of /proc, is killed for want of memory. Lowering
// it takes a right of the host's, EACCES; so does doing anything to a process
// that is not dumpable.
Status SetOomScore(const std::string& process, int score);

// Says which of the capabilities asked for are none. The specification would
// not have that fail: they may be a later kernel's.
void WarnOfUnknownCapabilities(const Process& process);

// Those of its cgroup, whatever its caller was bound to.
void UseEveryProcessor();
// These alone, of the calling thread. EINVAL where its cgroup has none of them.
Status UseProcessors(const Processors& processors);

// Resource limits, priority, personality. Before the ids are given up.
Status SetLimits(const Process& process);
Status SetPersonality(unsigned long personality);

// A session keyring of that name, in which the caller's keys are not found.
// Make is for the first process, Join for who comes later and finds it: in the
// same user namespace, as the same user. Where there are no keys, or we may not
// use any, nothing is done. EDQUOT.
Status MakeSessionKeyring(const std::string& name);
Status JoinSessionKeyring(const std::string& name);

// Becomes uid 0 and gid 0, which a user namespace of our own maps, keeping the
// capabilities. Supplementary groups stay where setgroups is denied.
Status BecomeRoot(bool keep_groups = false);

// The bounding set, groups, ids, then the other sets. Nothing can be regained
// afterwards. Without `capabilities`: none.
Status DropPrivileges(const Process& process);

Status SetNoNewPrivileges();

// Nobody may attach, or look through /proc/PID, until the next execve.
Status MakeUndumpable();

}  // namespace ufs::runtime
