// Hooks: programs of the caller's that run at named moments of a container's
// life, with its state on their standard input. Threads: one at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// A state as a hook is given it: a file of no name, at its beginning.
Result<UniqueFd> MakeStateFile(const std::string& state);

// Runs them in order in the calling process's namespaces; the first that fails
// or takes too long ends it, with an error that names the hook and ends with
// what it said last: its output is not the container's. A hook sees the
// environment that its configuration gives it, or a PATH alone, and nothing of
// ours, and is in `directory`, if that can be entered and is below its root.
// `become` is called in the process that is about to be the hook.
Status RunHooks(const char* kind, const std::vector<Hook>& hooks,
                const std::string& state, const std::string& directory,
                const std::function<Status()>& become = Ok);
// Runs all of them; one that fails is a warning in the log, no more.
void RunEveryHook(const char* kind, const std::vector<Hook>& hooks,
                  const std::string& state, const std::string& directory);

}  // namespace ufs::runtime
