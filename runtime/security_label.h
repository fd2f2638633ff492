// What AppArmor and SELinux are told about a process of a container: the
// profile, the label, that the program will have from its execve on. Threads:
// called in a process with one thread.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// Whether the kernel has it and it is switched on.
bool HasAppArmor();

// ENOTSUP, by name, for what asks for a module that is not there. AppArmor's
// "unconfined" can always be had. EINVAL for labels that no policy knows.
Status CheckLabels(const Process& process, const std::string& mount_label = "");

// The caller's /proc, checked to be one, where `process` has labels: to be
// opened before the container's is in the way (CVE-2019-16884, 2019-19921,
// 2025-52881).
Result<UniqueFd> OpenProcForLabels(const Process& process);

// Keys that this process makes until its next execve are the container's.
// `proc` is as of OpenProcForLabels.
Status SetKeyLabel(BorrowedFd proc, const Process& process);

// The next execve of this process, and of those it makes, is confined as
// `process` says. `proc` is as of OpenProcForLabels. ENOENT for a profile that
// is not loaded.
Status SetExecLabels(BorrowedFd proc, const Process& process);

}  // namespace ufs::runtime
