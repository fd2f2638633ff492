#include "tools/run/exit_code.h"

#include <cerrno>

namespace ufs {

int ExitCodeFor(const Error& error) {
  // The runtime's words for the program itself, see runtime/exec.cc.
  const bool program =
      error.context().find("exec: \"") != std::string_view::npos ||
      (error.context().starts_with("exec ") && error.code() != ENOTSUP);
  if (!program) return kExitNotStarted;
  return error.code() == ENOENT || error.code() == ENOTDIR ? kExitNotFound
                                                           : kExitNotExecutable;
}

}  // namespace ufs
