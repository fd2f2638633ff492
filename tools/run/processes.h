// The processes of a container, as the host sees them. Threads: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/container.h"

namespace ufs {

struct ProcessInfo {
  pid_t pid = 0, parent = 0;
  std::string state;    // "R", "S", ...
  uid_t uid = 0;        // on the host
  double cpu_s = 0;     // user and system time
  uint64_t memory = 0;  // resident bytes
  std::string command;  // with its arguments
};

// By its cgroup, or where it has none by its pid namespace.
Result<std::vector<ProcessInfo>> ProcessesOf(runtime::Container& container);

}  // namespace ufs
