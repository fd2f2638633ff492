// A layer, or what several show together, as a directory of the host: what
// WriteTreeTar is to a tar.
#pragma once

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "layerdb/tree_file.h"
#include "layerdb/tree_tar.h"

namespace ufs {

enum class DirectoryForm {
  // Whiteouts are character devices 0/0 and opaque directories have overlayfs's
  // mark, so that the directory is a layer again, here and there.
  kLayer,
  // A whole root, with nothing below it to hide.
  kRoot,
};

// Fills `into`, an empty directory that nobody else writes to. Owners, modes,
// times, extended attributes, devices, holes and hard links are the tree's;
// blocks are shared with the store where the file system can. EPERM, naming
// the file, where the caller may not give it what it has. At most one
// descriptor a level is open.
Status WriteTreeDirectory(const TreeFile& tree, const OpenObjectFn& open_object,
                          DirectoryForm form, BorrowedFd into);

}  // namespace ufs
