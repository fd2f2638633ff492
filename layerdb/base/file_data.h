// The contents of a file. Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// All of it, or the error that stopped it.
Status WriteAll(BorrowedFd file, std::string_view data, uint64_t offset);

// Where the first byte at or after `at` is that is in no hole; at most `end`.
Result<uint64_t> NextData(BorrowedFd file, uint64_t at, uint64_t end);

// The bytes [begin, end) of a file, as far as it has them, in order: its data
// piece by piece, and how long each hole is. `on_data` gets up to 256 KiB at a
// time.
Status ForEachExtentIn(BorrowedFd file, uint64_t begin, uint64_t end,
                       const std::function<Status(std::string_view)>& on_data,
                       const std::function<Status(uint64_t)>& on_hole);
// All of it.
Status ForEachExtent(BorrowedFd file,
                     const std::function<Status(std::string_view)>& on_data,
                     const std::function<Status(uint64_t)>& on_hole);

}  // namespace ufs
