// Paths in a container's root, whose contents the container controls: every
// step is resolved by the kernel inside the root, or goes from descriptor to
// descriptor without following a link. The result is a descriptor; no path in
// the root is ever handed on as text.
// Threads: any.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs::runtime {

enum class Links {
  kInRoot,   // symbolic links lead where they lead inside the root
  kRefused,  // a symbolic link anywhere is ELOOP
};

// `path` without empty and "." components and with ".." resolved by the text:
// "/a/b". Never leaves "/".
std::string CleanPath(std::string_view path);

// Opens `path` as seen from `root`. Magic links of /proc are refused.
Result<UniqueFd> OpenInRoot(BorrowedFd root, const std::string& path, int flags,
                            Links links = Links::kInRoot);

// An O_PATH descriptor of the directory, or else the file, at `path`, which is
// made, with its parents, where it is missing. EISDIR, ENOTDIR when it exists
// and is the other kind.
Result<UniqueFd> MakeInRoot(BorrowedFd root, const std::string& path,
                            bool directory, Links links = Links::kInRoot);

// What MakeInRoot would make for `path` where it is missing: the place that
// links lead to, and its parents, as paths without links, parents first. Empty
// where links lead nowhere.
std::vector<std::string> StepsInRoot(BorrowedFd root, const std::string& path);

// The directory that holds `path`, made if missing, and the name in it.
struct Place {
  UniqueFd parent;
  std::string name;
  sys::At at() const { return {parent, name.c_str()}; }
};
Result<Place> PlaceInRoot(BorrowedFd root, const std::string& path,
                          Links links = Links::kInRoot);

}  // namespace ufs::runtime
