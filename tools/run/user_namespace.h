// Acting as the ids of a container of an ordinary user, or where a container's
// supervisor is.
#pragma once

#include <sys/types.h>

#include <functional>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/id_map.h"

namespace ufs {

// Runs `body` in a child process that is root of a new user namespace with
// these maps, and returns what it returns; without maps, here and now.
// Threads: in a process with one thread.
Status InUserNamespace(const std::vector<runtime::IdMapping>& uids,
                       const std::vector<runtime::IdMapping>& gids,
                       const std::function<Status()>& body);

// The same in the mount namespace of a process, and in its user namespace if
// `user_too`. Paths mean there what they mean to it, and none is relative.
// `is_it` tells, once they are opened, whether the number is still that
// process's: ESRCH.
Status InNamespacesOf(pid_t pid, bool user_too,
                      const std::function<bool()>& is_it,
                      const std::function<Status()>& body);

}  // namespace ufs
