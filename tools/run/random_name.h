// Names made up for what nobody has named. Threads: any.
#pragma once

#include <cstddef>
#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// `bytes` random ones in hexadecimal.
Result<std::string> RandomName(size_t bytes);

}  // namespace ufs
