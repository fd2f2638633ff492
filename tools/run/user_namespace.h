// Acting as the ids of a container of an ordinary user.
#pragma once

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

}  // namespace ufs
