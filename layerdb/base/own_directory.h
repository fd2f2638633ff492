// Directories of ours in places that are open to all, /tmp above all: whoever
// came first may have made one to read what we put there, or to put things of
// his own.
#pragma once

#include <sys/types.h>

#include <string>

#include "layerdb/base/result.h"

namespace ufs {

// Makes `path`, for us alone, where it is missing. False: what is there is no
// directory, or a link, or another user's, or has permission bits of
// `forbidden`.
Result<bool> EnsureOwnDirectory(const std::string& path, mode_t forbidden);

}  // namespace ufs
