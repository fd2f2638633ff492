// OpenChain: a directory by the names that lead to it.
// Threads: any.
#pragma once

#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

// Opens `names` one below the other from `base`, each a directory and none a
// symbolic link, as O_PATH. Deeper than PATH_MAX too.
Result<UniqueFd> OpenChain(BorrowedFd base,
                           const std::vector<std::string_view>& names);

// The names of "a/b", which has no slash before or behind; of "", none.
std::vector<std::string_view> NamesIn(std::string_view path);

}  // namespace ufs
