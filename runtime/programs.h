// Programs of the host that help. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs::runtime {

// The path of the program called `name`, where such are installed; PATH, which
// is the caller's, is not asked. Empty when there is none.
std::string FindProgram(const char* name);

enum class Errors { kDropped, kWithOutput };

// What the program at `path` prints, with these arguments and nothing of ours:
// whoever calls us may be set-id. However it ends, or is ended: EFBIG when it
// says more than `bytes_max`, ETIMEDOUT when it takes longer than
// `patience_ms`.
Result<std::string> AskProgram(const std::string& path,
                               std::vector<std::string> arguments,
                               size_t bytes_max, int patience_ms,
                               Errors errors = Errors::kDropped);

}  // namespace ufs::runtime
