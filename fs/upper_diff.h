// What an upper directory changes: the difference between the layers alone and
// the layers under the upper, found by walking only what is in the upper. Both
// sides are merged by the rules of the union itself (fs/lower_stack.h), so
// every form of whiteout, opacity and redirect counts as it does there.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fs/open_layers.h"
#include "layerdb/base/result.h"

namespace ufs {

enum class ChangeKind {
  kAdded,
  kChanged,   // contents, type, link target or device
  kDeleted,   // with all below it
  kRenamed,   // `from` is where the layers have it
  kMetadata,  // owner, mode, times of a file, or extended attributes only
};

struct Change {
  ChangeKind kind = ChangeKind::kAdded;
  std::string path;  // from the root of the union, "/a/b"
  std::string from;  // of kRenamed
  mode_t type = 0;   // S_IFMT bits of what is there now, or was
};

struct UpperDiffOptions {
  std::string upper;
  // Bottom to top. Empty: not known. Then what only a look at the layers could
  // tell is told by marks alone: a file without an origin counts as added, a
  // directory is listed only where a mark says that it is new or moved.
  std::vector<std::string> layers;  // as UnionConfig's
  OpenSealedFn open_sealed;         // needed with sealed ones
  bool trusted_marks = true;        // trusted.overlay.*, else user.overlay.*
};

// Sorted by path. An error names the layer and the path that failed.
Result<std::vector<Change>> DiffUpper(const UpperDiffOptions& options);

}  // namespace ufs
