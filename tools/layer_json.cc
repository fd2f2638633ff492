#include "tools/layer_json.h"

namespace ufs {

Json ToJson(const LayerInfo& info) {
  Json json = {{"kind", "layer"},
               {"digest", info.diff_id.ToString()},
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

Json ToJson(const Image& image) {
  Json layers = Json::array();
  for (size_t i = 0; i < image.config.diff_ids.size(); ++i) {
    const Descriptor& blob = image.manifest.layers[i];
    layers.push_back({{"digest", image.config.diff_ids[i].ToString()},
                      {"blob",
                       {{"digest", blob.digest.ToString()},
                        {"size", blob.size_bytes},
                        {"media_type", blob.media_type}}}});
  }
  return {{"kind", "image"},
          {"digest", image.digest.ToString()},
          {"id", image.id().ToString()},
          {"names", image.names},
          {"created", image.created},
          {"source", image.source},
          {"platform", image.config.platform.ToString()},
          {"layers", layers},
          {"config",
           {{"user", image.config.user},
            {"env", image.config.env},
            {"entrypoint", image.config.entrypoint},
            {"cmd", image.config.cmd},
            {"working_dir", image.config.working_dir}}}};
}

Json ToJson(const Finding& finding) {
  return {{"invariant", 'S' + std::to_string(finding.invariant)},
          {"subject", finding.subject},
          {"text", finding.text}};
}

}  // namespace ufs
