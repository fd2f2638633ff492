// Containers for the verbs that take a mount point or an upper.
// Threads: in a process with one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "layerdb/base/result.h"
#include "tools/run/find.h"
#include "tools/unmounted_upper.h"

namespace ufs {

// The container that `word` names; nullopt for a directory, or what has a slash
// as a path. As sentences: EEXIST where it is both, ENOENT for neither.
Result<std::optional<FoundContainer>> ContainerNamed(const std::string& word);

// Runs `body` with the mount point of the container's union for a path, or once
// it has ended with its upper and the layers under that, and the store that
// those are in; else as `given`, which is to name none: EINVAL. The mount is in
// a namespace of its supervisor's, and files of an ordinary user's upper have
// other ids than his: `body` runs in a child process there, if not here. Its
// error is returned.
Status InContainer(const FoundContainer& container, const UnmountedUpper& given,
                   const std::function<Status(const UnmountedUpper&)>& body);

}  // namespace ufs
