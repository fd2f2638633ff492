// Mount points on a command line.
#pragma once

#include <string>

namespace ufs {

// `path` as the mount table spells it: absolute, symbolic links resolved, all
// without asking what is mounted there, whose daemon may be dead.
std::string ResolveMountpoint(const std::string& path);

}  // namespace ufs
