// Has the host read a part of a file into its page cache, while the caller goes
// on.
#pragma once

#include <cstdint>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

Status ReadAhead(BorrowedFd fd, uint64_t offset, uint64_t size);

}  // namespace ufs
