// A layer, or what several show together, as a directory of the host: what
// WriteTreeTar is to a tar.
#pragma once

#include <string>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/tree_file.h"
#include "layerdb/tree_tar.h"

namespace ufs {

// Fills `into`, an empty directory that nobody else writes to. Owners, modes,
// times, extended attributes, devices, holes and hard links are the tree's;
// blocks are shared with the store where the file system can. EPERM, naming
// the file, where the caller may not give it what it has. At most one
// descriptor a level is open.
//
// `opaque_mark` is the attribute by which a directory says that it hides what
// is below it. With it, and whiteouts as character devices 0/0, the directory
// is a layer again; empty asks for a whole root, which has nothing to hide.
Status WriteTreeDirectory(const TreeFile& tree, const OpenObjectFn& open_object,
                          const std::string& opaque_mark, BorrowedFd into);

}  // namespace ufs
