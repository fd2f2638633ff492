// The child's side of a container's creation: from the first instruction in the
// new namespaces to execve. RunInit reads as a table of contents; README.md
// says why the steps stand in this order.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/seccomp.h"
#include "runtime/spec.h"

namespace ufs::runtime {

struct InitInput {
  const ContainerSpec& spec;
  const Cgroup& cgroup;
  const CgroupDoors& doors;
  const SeccompProgram* seccomp;       // null: none
  const SeccompProgram* hook_seccomp;  // of its startContainer hooks
  std::string bundle;
  std::string keyring;  // the session's; empty: the caller's
  BorrowedFd listener;  // where `start` connects
  int preserve_fds = 0;
  bool pivot = true;  // see Rootfs::Enter
};

// Never returns. What fails is told through `channel` until it is ready, to
// whoever starts it from then on.
[[noreturn]] void RunInit(const InitInput& input, UniqueFd channel);

}  // namespace ufs::runtime
