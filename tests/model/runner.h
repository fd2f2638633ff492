// Runs scripts: makes the layers, mounts the subject, and lets each lane carry
// out its operations in a thread of its own. A remount waits until every lane
// that still has something to do wants one.
#pragma once

#include <string>

#include "tests/model/script.h"

namespace ufs::model {

struct RunResult {
  std::string failure;  // empty: all agreed
  // Where it went wrong; the same for every run that fails in the same way, as
  // far as one can tell.
  std::string kind;
};

// What a random run is made of. Everything else follows from the seed.
struct RandomRun {
  uint64_t seed = 0;
  int ops = 400;  // of each lane
  bool drop_caches = false;
};

RunResult RunScript(const Script& script);

// `script` becomes what was run, up to the failure.
RunResult RunSeed(const RandomRun& run, Script* script);

}  // namespace ufs::model
