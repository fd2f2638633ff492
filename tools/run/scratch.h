// What a command makes beside the entries of a directory of ours before it
// shows it under its name, or moves away from its name to remove it: when the
// command is killed the next one finds it, and can tell that nobody works on
// it.
// Threads: in a process with one thread.
#pragma once

#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// ".draft.PID.NAME", with our pid.
std::string ScratchName(const std::string& name);

// With all in it; where there is nothing it is done.
Status RemoveTree(const std::string& path);

// The same as the ids of this user's containers, which may own what is in it.
Status RemoveTreeOfContainers(const std::string& path);

// Removes what killed commands left in `directory`. What fails is left to the
// next.
void RemoveScratch(const std::string& directory);

}  // namespace ufs
