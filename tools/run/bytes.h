// Sizes in the words of a command line. Threads: any.
#pragma once

#include <cstdint>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// "64m" -> bytes, with the suffixes b k m g t (powers of 1024); at least 1.
Result<int64_t> ParseBytes(const std::string& text);

}  // namespace ufs
