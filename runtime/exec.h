// The last steps of a process before it is the container's program. Threads:
// called in a process with one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/seccomp.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// The PATH of whoever is given none.
inline constexpr char kDefaultPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Where execve will find the program: args[0] if it has a slash, else the first
// of PATH in `env` that can be executed. In the wording callers look for.
Result<std::string> FindExecutable(const Process& process);

// What it finds in its environment: `env`, and HOME.
std::vector<std::string> EnvironmentOf(const Process& process);

// Takes descriptors away, gives up privileges and filters system calls.
// `listening` is called with the seccomp listener, if there is one.
Status BecomeProcess(const Process& process, const SeccompProgram* seccomp,
                     int preserve_fds,
                     const std::function<Status(UniqueFd)>& listening);

// The same, and executes. Returns only if that fails.
Error ExecuteProcess(const Process& process, const SeccompProgram* seccomp,
                     int preserve_fds, const std::string& executable,
                     const std::function<Status(UniqueFd)>& listening);

}  // namespace ufs::runtime
