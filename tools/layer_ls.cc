// ufs layer ls.
#include <cstdio>
#include <map>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerLs[] = "ufs layer ls";
using Align = Table::Align;

void AddRows(Table& table, std::vector<std::string> names, const Digest& digest,
             const std::vector<std::string>& rest) {
  if (names.empty()) names.emplace_back("-");
  for (const std::string& name : names) {
    std::vector<std::string> row = {name, ShortDigest(digest)};
    row.insert(row.end(), rest.begin(), rest.end());
    table.AddRow(row);
  }
}

// Images first: they are what most layers are there for.
void PrintTable(const std::vector<Image>& images,
                const std::vector<LayerInfo>& layers) {
  std::map<Digest, LayerInfo> infos;
  for (const LayerInfo& info : layers) infos.emplace(info.diff_id, info);
  Table table({Align::kLeft, Align::kLeft, Align::kRight, Align::kRight,
               Align::kRight, Align::kLeft, Align::kLeft});
  table.AddRow(
      {"NAME", "DIGEST", "LAYERS", "ENTRIES", "CONTENTS", "CREATED", "SOURCE"});
  for (const Image& image : images) {
    uint64_t entries = 0, bytes = 0;
    for (const Digest& layer : image.config.diff_ids) {
      entries += infos[layer].entries;
      bytes += infos[layer].content_bytes;
    }
    AddRows(table, image.names, image.digest,
            {FormatCount(image.config.diff_ids.size()), FormatCount(entries),
             FormatBytes(bytes), FormatTime(image.created),
             EscapePath(image.source)});
  }
  for (const LayerInfo& info : layers)
    AddRows(table, info.names, info.diff_id,
            {"-", FormatCount(info.entries), FormatBytes(info.content_bytes),
             FormatTime(info.created), EscapePath(info.source)});
  std::fputs(table.ToString().c_str(), stdout);
}

}  // namespace

int RunLayerLs(int argc, char** argv) {
  bool json = false, quiet = false;
  ArgumentParser parser(kLayerLs, "ufs layer ls [--json | --quiet]",
                        "Lists the images and layers of the store, the "
                        "oldest first.",
                        "Example:\n  ufs layer ls --quiet | xargs ufs layer "
                        "verify\n");
  const StoreOption store_option(parser);
  parser.add_flag("--json", json, "For programs");
  parser.add_flag("-q,--quiet", quiet, "Whole digests alone");
  if (auto done = parser.Parse(argc, argv)) return *done;

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kLayerLs, Explain(store.error()), kExitFailure);
  const auto layers = (*store)->List();
  if (!layers.ok())
    return Complain(kLayerLs, Explain(layers.error()), kExitFailure);
  const auto images = (*store)->Images();
  if (!images.ok())
    return Complain(kLayerLs, Explain(images.error()), kExitFailure);
  if (json) {
    auto list = Json::array();
    for (const Image& image : *images) list.push_back(ToJson(image));
    for (const LayerInfo& info : *layers) list.push_back(ToJson(info));
    PrintJson(list);
  } else if (quiet) {
    for (const Image& image : *images)
      std::puts(image.digest.ToString().c_str());
    for (const LayerInfo& info : *layers)
      std::puts(info.diff_id.ToString().c_str());
  } else {
    PrintTable(*images, *layers);
  }
  return FinishOutput(kLayerLs);
}

}  // namespace ufs
