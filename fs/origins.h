// Origins of objects that carry no user attributes (links, devices), which are
// kept beside the upper: a symbolic link for each, named after the object,
// whose target is the mark. Format: FORMAT.md.
#pragma once

#include <sys/stat.h>

#include <string>
#include <unordered_map>

#include "fs/marks.h"
#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"

namespace ufs {

// By OriginKey.
using Origins = std::unordered_map<std::string, Origin>;

// Names an object of the host. Numbers are used again, times of birth are not.
std::string OriginKey(const struct statx& stat);

// Whether the host lets an object of that mode carry attributes of users.
inline bool CarriesUserXattrs(mode_t mode) {
  return S_ISREG(mode) || S_ISDIR(mode);
}

// All that a directory keeps. EIO for a damaged one.
Result<Origins> ReadOrigins(BorrowedFd dir);

}  // namespace ufs
