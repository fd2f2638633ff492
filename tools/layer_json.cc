#include "tools/layer_json.h"

namespace ufs {

Json ToJson(const LayerInfo& info) {
  Json json = {{"kind", "layer"},
               {"digest", info.diff_id.ToString()},
               {"names", info.names},
               {"created", info.created}};
  AddText(json, "source", info.source);
  json["entries"] = info.entries;
  json["whiteouts"] = info.whiteouts;
  json["content_bytes"] = info.content_bytes;
  json["objects"] = info.objects;
  json["recipe"] = info.has_recipe;
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
  Json json = {{"kind", "image"},
               {"digest", image.digest.ToString()},
               {"id", image.id().ToString()},
               {"names", image.names},
               {"created", image.created}};
  AddText(json, "source", image.source);
  json["platform"] = image.config.platform.ToString();
  json["layers"] = std::move(layers);
  // A document was JSON before: all text in it is UTF-8.
  json["config"] = {{"user", image.config.user},
                    {"env", image.config.env},
                    {"entrypoint", image.config.entrypoint},
                    {"cmd", image.config.cmd},
                    {"working_dir", image.config.working_dir}};
  return json;
}

Json ToJson(const Finding& finding) {
  Json json = {{"invariant", 'S' + std::to_string(finding.invariant)},
               {"subject", finding.subject}};
  AddText(json, "text", finding.text);
  return json;
}

}  // namespace ufs
