// linux.seccomp -> a BPF program, by libseccomp; and its loading. Compiled by
// the runtime outside the container, so that neither the memory nor a broken
// profile is the container's. Threads: any.
#pragma once

#include <linux/filter.h>

#include <optional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct SeccompProgram {
  std::vector<sock_filter> code;
  unsigned flags = 0;     // SECCOMP_FILTER_FLAG_*
  bool notifies = false;  // there is a listener to be told
};

// Calls beyond the last one that the profile names fail with ENOSYS where it
// would deny them. EINVAL for an unknown action, architecture, operator or
// flag. A system call that libseccomp does not know is left out where that
// denies it, else refused.
Result<SeccompProgram> CompileSeccomp(const Seccomp& seccomp);

// From here on the filter holds. Returns the listener's descriptor if the
// program notifies, else an invalid one. REQUIRES: no_new_privs or
// CAP_SYS_ADMIN.
Result<UniqueFd> LoadSeccomp(const SeccompProgram& program);

// For `features`.
std::vector<std::string> SeccompActions();
std::vector<std::string> SeccompOperators();
std::vector<std::string> SeccompArchitectures();
std::vector<std::string> SeccompFlags();
std::vector<std::string> SupportedSeccompFlags();  // by this kernel

}  // namespace ufs::runtime
