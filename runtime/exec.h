// The last steps of a process before it is the container's program. Threads:
// called in a process with one thread.
#pragma once

#include <functional>
#include <string>

#include "layerdb/base/result.h"
#include "runtime/seccomp.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// Where execve will find the program: args[0] if it has a slash, else the first
// of PATH in `env` that can be executed. In the wording callers look for.
Result<std::string> FindExecutable(const Process& process);

// Takes descriptors away, gives up privileges, filters system calls and
// executes. Returns only if that fails. `listening` is called with the seccomp
// listener, if there is one, before the program begins.
Error ExecuteProcess(const Process& process, const SeccompProgram* seccomp,
                     int preserve_fds, const std::string& executable,
                     const std::function<Status(UniqueFd)>& listening);

}  // namespace ufs::runtime
