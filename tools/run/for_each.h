// Verbs that do one thing to each of several containers, or volumes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/run/find.h"

namespace ufs {

// Does it to each by its name; what fails is told and the others still get
// their turn. The exit code says so, or that there are no names; `what` is what
// they would be of.
int ForEach(const char* who, const char* what,
            const std::vector<std::string>& names,
            const std::function<Status(const std::string&)>& act);

// The exit code of a verb that has printed all: `code`, unless it is a success
// and the output did not go out.
int FinishWith(const char* who, int code);

// Does it to each and prints the name of those that it was done to. What fails
// is told and the others still get their turn; the exit code says so.
int ForEachContainer(const char* who, const std::vector<std::string>& names,
                     const std::function<Status(const FoundContainer&)>& act);

// The same for what takes its time: to all at once, each in a process of its
// own. What is to be told comes in the order of the names.
// Threads: in a process with one thread.
int ForEachContainerAtOnce(
    const char* who, const std::vector<std::string>& names,
    const std::function<Status(const FoundContainer&)>& act);

// Sends a signal to its first process; one that asks it to end has it not be
// restarted. ESRCH, as a sentence, when it has ended.
Status SignalContainer(const FoundContainer& found, int signal);

// Waits until the container has ended and its supervisor has cleaned up, which
// may still be there to tell a slow reader. ETIMEDOUT.
Status AwaitEnd(const FoundContainer& found, int timeout_ms);

// Asks it to end, and makes it after `seconds`; then as AwaitEnd.
Status StopContainer(const FoundContainer& found, int seconds, int signal);

// The same, and has it started again, whatever its restart policy; waits until
// it runs. ESRCH, as a sentence, for one that has ended.
Status RestartContainer(const FoundContainer& found, int seconds, int signal);

// Removes one that has ended, with its log and fresh upper; `force`: one that
// runs, too; `volumes`: those that were made up for it. EBUSY, as a sentence.
Status RemoveContainer(const FoundContainer& found, bool force, bool volumes);

}  // namespace ufs
