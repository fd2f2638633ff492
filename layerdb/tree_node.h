// TreeNode: all a layer says about one object but its names. A plain value, as
// importers make it and exporters take it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "layerdb/object_id.h"

namespace ufs {

struct TreeNode {
  mode_t mode = 0;  // with the S_IFMT bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t rdev = 0;  // of devices: as st_rdev
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint64_t size_bytes = 0;  // of regular files
  std::string link_target;  // of symbolic links
  // Name and value, as getxattr(2) tells them. Any order; no name twice.
  std::vector<std::pair<std::string, std::string>> xattrs;
  // Of regular files: monostate when it is empty, the bytes themselves when
  // they are few, else where they are in the object store.
  std::variant<std::monostate, ObjectId, std::string> content;
  // Of directories: hides what the layers below have under its name.
  bool opaque = false;
  // Of directories: made because something lies in it, and nobody said what its
  // attributes are. Those of the directory below show, if there is one.
  bool implied = false;
};

// Contents up to this many bytes are kept in the tree file itself. The figures
// behind it: layerdb/README.md.
inline constexpr size_t kMaxInlineBytes = 2048;

}  // namespace ufs
