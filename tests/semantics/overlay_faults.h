// Where kernel overlayfs is known not to do what a file system should, each
// with its reason. There is no such list for ufs.
#pragma once

#include <map>
#include <string>

namespace ufs::test {

// Full test name to reason.
const std::map<std::string, std::string>& OverlayFaults();

}  // namespace ufs::test
