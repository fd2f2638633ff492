// Verbs that do one thing to each of several containers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/run/find.h"

namespace ufs {

// Does it to each and prints the name of those that it was done to. What fails
// is told and the others still get their turn; the exit code says so.
int ForEachContainer(const char* who, const std::vector<std::string>& names,
                     const std::function<Status(const FoundContainer&)>& act);

// Sends a signal to its first process; one that asks it to end has it not be
// restarted. ESRCH, as a sentence, when it has ended.
Status SignalContainer(const FoundContainer& found, int signal);

// Waits until the container has ended and its supervisor has cleaned up, which
// may still be there to tell a slow reader. ETIMEDOUT.
Status AwaitEnd(const FoundContainer& found, int timeout_ms);

// Asks it to end, and makes it after `seconds`; then as AwaitEnd.
Status StopContainer(const FoundContainer& found, int seconds);

}  // namespace ufs
