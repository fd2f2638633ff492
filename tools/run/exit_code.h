// Exit codes and messages of the verbs that run programs in containers.
#pragma once

#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// As docker and podman give them; anything else is the program's own.
enum RunExitCode {
  kExitNotStarted = 125,     // we failed
  kExitNotExecutable = 126,  // the program is there and cannot be run
  kExitNotFound = 127,       // it is not there
};

// What the failure to start a program means for the exit code.
int ExitCodeFor(const Error& error);

}  // namespace ufs
