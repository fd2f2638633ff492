// Layers, images and findings as JSON, for --json.
#pragma once

#include <nlohmann/json.hpp>

#include "layerdb/image.h"
#include "layerdb/layer_info.h"
#include "layerdb/store_reports.h"

namespace ufs {

nlohmann::json ToJson(const LayerInfo& info);
nlohmann::json ToJson(const Image& image);
nlohmann::json ToJson(const Finding& finding);

// One line on stdout. Text that is no UTF-8 gets replacement characters.
void PrintJson(const nlohmann::json& json);

}  // namespace ufs
