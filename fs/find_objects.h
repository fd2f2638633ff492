// FindObjects: where in a tree the objects are that only their numbers on the
// host (as stat tells them) are known of. It reads the tree until it has found
// them all: for what a crash leaves, not for every day. Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

struct FoundObject {
  uint64_t ino = 0;
  std::string path;  // in the tree; empty: its root
};

// Opens a directory to be listed, whatever its mode.
using OpenAnyDir = std::function<Result<UniqueFd>(BorrowedFd)>;

// Each once, what is above before what is below. Directories that cannot be
// read are passed over, with a warning.
Result<std::vector<FoundObject>> FindObjects(
    BorrowedFd tree, std::unordered_set<uint64_t> wanted,
    const OpenAnyDir& open);

// An O_PATH descriptor of what FindObjects found.
Result<UniqueFd> OpenFound(BorrowedFd tree, const FoundObject& found);

}  // namespace ufs
