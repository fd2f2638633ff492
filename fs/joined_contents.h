// Joined contents: a file that is partly in an upper, read as the union shows
// it, while nobody has it mounted. Neither file changes by it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "fs/chunk_map.h"
#include "fs/layer.h"
#include "layerdb/base/result.h"

namespace ufs {

// The contents in order, as ForEachExtent has them: of `part`, all that there
// is, `size` bytes long, what `map` counts, of `rest`, the layer's file, what
// is missing. EIO where the layer's file is shorter than the one that was
// copied from, so that it cannot be that.
Status ReadJoined(BorrowedFd part, uint64_t size, const ChunkMap& map,
                  const NodeRef& rest,
                  const std::function<Status(std::string_view)>& on_data,
                  const std::function<Status(uint64_t)>& on_hole);

}  // namespace ufs
