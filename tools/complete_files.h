// Asking a mount to bring up the rest of files that are partly in its upper, so
// that others can read it there.
#pragma once

#include <cstdint>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// A file of a mount of ufs; how many bytes that copied. ENOTTY for another.
Result<uint64_t> CompleteFile(const std::string& path);

// Every file that the upper of the mount has. The cost is that of the changes.
Status CompleteUpper(const std::string& mountpoint, const std::string& upper);

}  // namespace ufs
