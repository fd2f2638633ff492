// Which powers this process has, as far as a file system server must know.
#pragma once

namespace ufs {

// Whether user ids here are those of the host: the process is in the initial
// user namespace, or in one that maps every id to itself. Read once.
bool InInitialUserNamespace();

// Root there: with CAP_SYS_ADMIN and CAP_FSETID as the kernel's capable() asks.
bool IsHostRoot();

}  // namespace ufs
