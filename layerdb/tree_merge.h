// Merging trees: what a run of layers shows together, as one tree.
//
// The result is what unpacking them one over the other would leave, and it
// still hides what any of them hides, so that it may lie above other layers.
#pragma once

#include <span>

#include "layerdb/base/result.h"
#include "layerdb/tree_builder.h"
#include "layerdb/tree_file.h"

namespace ufs {

// `out` must be empty. Its nodes know which layer they came from. The cost is
// that of all entries of all layers. EUCLEAN, naming the layer by its place,
// for a damaged one.
Status MergeTrees(std::span<const TreeFile* const> bottom_to_top,
                  TreeBuilder& out);

}  // namespace ufs
