// Makes a failing script small: leaves out operations and layer entries as long
// as it still fails in the same way (delta debugging).
#pragma once

#include <chrono>
#include <string>

#include "tests/model/script.h"

namespace ufs::model {

// `kind` as RunResult::kind of `script`. Gives up after `budget`, with the
// smallest script so far.
Script Shrink(const Script& script, const std::string& kind,
              std::chrono::seconds budget);

}  // namespace ufs::model
