#include "tools/layer_json.h"

#include <cstdio>

namespace ufs {

using Json = nlohmann::json;

Json ToJson(const LayerInfo& info) {
  Json json = {{"digest", info.diff_id.ToString()},
               {"names", info.names},
               {"created", info.created},
               {"source", info.source},
               {"entries", info.entries},
               {"whiteouts", info.whiteouts},
               {"content_bytes", info.content_bytes},
               {"objects", info.objects},
               {"recipe", info.has_recipe}};
  if (info.blob)
    json["blob"] = {{"digest", info.blob->digest.ToString()},
                    {"size", info.blob->size_bytes},
                    {"media_type", info.blob->media_type}};
  return json;
}

Json ToJson(const Finding& finding) {
  return {{"invariant", "S" + std::to_string(finding.invariant)},
          {"subject", finding.subject},
          {"text", finding.text}};
}

void PrintJson(const Json& json) {
  std::puts(json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace ufs
