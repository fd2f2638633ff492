// Finding containers by name, and putting right what killed supervisors left.
// Threads: in a process with one thread.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "runtime/container.h"
#include "tools/run/record.h"

namespace ufs {

struct FoundContainer {
  std::string root;  // see ContainersDirectory
  RunRecord record;

  std::string directory() const { return RecordPath(root, record.name); }
  // The runtime's view. ESRCH, as a sentence, when it has ended.
  Result<runtime::Container> Open() const;
};

// ENOENT, as a sentence. A container whose supervisor was killed is ended
// first.
Result<FoundContainer> FindContainer(const std::string& name);

// Ends and, where that was asked for, removes the containers whose supervisors
// were killed, and what half-made or half-removed ones have left. What cannot
// be put right is left for the next.
void Sweep(const std::string& root);

}  // namespace ufs
