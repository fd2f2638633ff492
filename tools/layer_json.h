// Layers, images and findings as JSON, for --json.
#pragma once

#include "layerdb/image.h"
#include "layerdb/layer_info.h"
#include "layerdb/store_reports.h"
#include "tools/print_json.h"

namespace ufs {

Json ToJson(const LayerInfo& info);
Json ToJson(const Image& image);
Json ToJson(const Finding& finding);

}  // namespace ufs
