// The paths of a layer's tar: where an entry belongs in the tree, and whether
// its name says that it is a whiteout. OCI image specification, layer.md.
#pragma once

#include <string>
#include <string_view>

#include "layerdb/base/result.h"

namespace ufs {

struct LayerPath {
  enum class Kind {
    kEntry,
    kWhiteout,  // `path` is what is deleted
    kOpaque,    // `path` is the directory
    kNothing,   // what AUFS kept for itself
  };
  Kind kind = Kind::kEntry;
  std::string path;  // "a/b"; "" is the root
};

// EINVAL, saying why, for what leads out of the layer and for whiteouts of
// nothing. "./", "//" and leading and trailing slashes are taken off.
Result<LayerPath> ParseLayerPath(std::string_view text);

}  // namespace ufs
