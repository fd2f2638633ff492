// Which powers this process has, as far as a file system server must know.
#pragma once

#include <sys/types.h>

namespace ufs {

// Whether user ids here are those of the host: the process is in the initial
// user namespace, or in one that maps every id to itself. Read once.
bool InInitialUserNamespace();

// Root there: with CAP_SYS_ADMIN and CAP_FSETID as the kernel's capable() asks.
bool IsHostRoot();

// What /proc says of another thread, such as a request comes from. False where
// it says nothing: the thread has gone, or is hidden from this process.
bool HasCapability(pid_t thread, int capability);
bool HasSupplementaryGroup(pid_t thread, gid_t group);
// Whether it waits inside chown(2) or one of its kind.
bool IsInChown(pid_t thread);

}  // namespace ufs
