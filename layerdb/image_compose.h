// An image of layers that are in a store: those of other images, what was
// committed since, and layers that never came with an image.
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/image.h"
#include "layerdb/layer_store.h"

namespace ufs {

// Of the layers of `parts`, bottom to top. The topmost image among them says
// what to run and all else that its configuration holds; without one it is an
// image for this machine with nothing to run. The history is that of all of
// them. Its `source` and names are left to the caller, and putting it into the
// store: LayerStore::PutImage.
//
// A layer that did not come compressed is read for the size of its tar, of
// which `on_progress` hears in bytes.
// Errors: ENODATA for no layer at all; EFBIG for too many; those of reading.
Result<Image> ComposeImage(const LayerStore& store,
                           const std::vector<StoreReference>& parts,
                           const std::function<void(uint64_t)>& on_progress);

}  // namespace ufs
