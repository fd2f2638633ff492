// Lengths of time in the words of a command line. Threads: any.
#pragma once

#include <chrono>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// "1m30s", "500ms", "2h", "1.5s", as Go and so docker have them; "0". Up to a
// year. EINVAL, as a sentence.
Result<std::chrono::milliseconds> ParseDuration(const std::string& text);

}  // namespace ufs
