// Which powers this process has, as far as a file system server must know.
#pragma once

#include <sys/types.h>

namespace ufs {

// Whether user ids here are those of the host: the process is in the initial
// user namespace, or in one that maps every id to itself. Read once.
bool InInitialUserNamespace();

// Root there: with CAP_SYS_ADMIN and CAP_FSETID as the kernel's capable() asks.
bool IsHostRoot();

// Whether the user namespace this process is in has this id: -1, which stands
// for all that it has not, is never one. Read anew each time, as a process may
// enter another. Without /proc every other id counts as known.
bool HasUserId(uid_t id);
bool HasGroupId(gid_t id);

// What /proc says of another thread, such as a request comes from. False where
// it says nothing: the thread has gone, or is hidden from this process.
bool HasCapability(pid_t thread, int capability);
bool HasSupplementaryGroup(pid_t thread, gid_t group);
// Whether it waits inside chown(2) or one of its kind.
bool IsInChown(pid_t thread);

}  // namespace ufs
