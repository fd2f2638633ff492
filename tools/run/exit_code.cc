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

std::string Explain(const Error& error) {
  const std::string context(error.context());
  if (context.empty()) return error.ToString();
  switch (error.code()) {
    case EINVAL:
    case ENOTSUP:
    case EEXIST:
    case EBUSY:
    case ESRCH:
    case ECHILD:
      return context;
    default:
      return context.find("; ") != std::string::npos ? context
                                                     : error.ToString();
  }
}

}  // namespace ufs
