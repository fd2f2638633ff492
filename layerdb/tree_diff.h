// The difference of two trees: layers, or what images show.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "layerdb/base/result.h"
#include "layerdb/tree_file.h"

namespace ufs {

enum class TreeChange {
  kAdded,
  kChanged,   // contents, type, link target, device, or what it hides
  kDeleted,   // with all below it
  kMetadata,  // owner, mode, times of a file, extended attributes, or which
              // earlier name is the same file, only
};

struct TreeDiffOptions {
  // Whether deletions are looked at for themselves, as layers hold them: one
  // that `after` alone has is kDeleted, one that `before` alone has kAdded.
  // Else what is deleted is not there, as in a mounted image.
  bool whiteouts = false;
};

// Calls `visit(change, path, type)` for each difference, directories before
// what is in them, names in the order of their bytes; "" is the root. `type`:
// the S_IFMT bits of what is there after, or was before; 0 for a whiteout.
// Both trees must be of one store: contents are compared by their object.
// Memory: the names of the directories on the way, and of hard links.
using VisitTreeChange =
    std::function<Status(TreeChange, const std::string& path, mode_t type)>;
Status DiffTrees(const TreeFile& before, const TreeFile& after,
                 const TreeDiffOptions& options, const VisitTreeChange& visit);

}  // namespace ufs
