// Importing images: every layer is read, and what manifest and configuration
// say of it compared with what it is, before the first becomes visible; then
// the layers, the image, and its names appear, in this order. A crash in
// between leaves whole layers, which the next gc takes.
//
// Errors name the image's part: EBADMSG for a digest or size that is not what
// was said; else as ImportTar and LayerStore.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/image_source.h"
#include "layerdb/layer_import.h"
#include "layerdb/layer_store.h"

namespace ufs {

struct ImageImportOptions {
  ImportOptions layer;  // on_progress: of all layers together
  std::string source;   // what it is made from, for people
  // For the image, instead of those it says it has. REQUIRES: then one draft.
  std::string name;
};

// Each draft once; what they share is read once. A name that something else has
// moves to the image; a warning says so, unless it was asked for.
Result<std::vector<Image>> ImportImages(LayerStore& store,
                                        const ImageFiles& files,
                                        const std::vector<ImageDraft>& drafts,
                                        const ImageImportOptions& options);

}  // namespace ufs
