// How manifests and indexes write what they point to.
// https://github.com/opencontainers/image-spec/blob/main/descriptor.md
#pragma once

#include <nlohmann/json.hpp>

#include "layerdb/image_manifest.h"

namespace ufs {

using Json = nlohmann::ordered_json;

inline Json ToJson(const Descriptor& descriptor) {
  return {{"mediaType", descriptor.media_type},
          {"digest", descriptor.digest.ToString()},
          {"size", descriptor.size_bytes}};
}

}  // namespace ufs
