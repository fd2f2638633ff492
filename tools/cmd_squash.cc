// ufs squash: several layers become one.
#include <cstdio>
#include <string>
#include <vector>

#include "layerdb/tree_merge.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/seal_layer.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kUfsSquash[] = "ufs squash";

Result<LayerInfo> Squash(const std::string& store_path,
                         const std::vector<std::string>& words,
                         const std::string& name, bool as_json) {
  // Said before there is a layer to be named.
  if (!name.empty()) TRY(NormalizeLayerName(name));
  const auto store = TRY(OpenStore(store_path, LayerStore::Access::kWrite));
  std::vector<std::shared_ptr<const TreeFile>> layers;
  std::vector<const TreeFile*> run;
  std::string source = "squash";
  for (const std::string& word : words) {
    for (const Digest& digest : TRY(store->ResolveRun(word))) {
      layers.push_back(TRY(store->OpenLayer(digest, TreeFile::Verify::kAll)));
      run.push_back(layers.back().get());
    }
    source += " " + word;
  }
  const auto ingest = TRY(store->BeginIngest(source));
  TRY(MergeTrees(run, ingest->tree()));
  Progress progress("squash", ingest->tree().Stats().content_bytes,
                    Progress::StyleOfStderr(as_json));
  return SealIngest(*store, *ingest, name, progress);
}

}  // namespace

int RunSquash(int argc, char** argv) {
  std::vector<std::string> layers;
  std::string name, store;
  bool as_json = false;
  ArgumentParser parser(
      kUfsSquash,
      "ufs squash [--store DIR] [--json] [--name NAME] LAYER LAYER...",
      "Makes one layer of several, the bottom one first, and prints its "
      "digest.\n"
      "It shows what they show together, and hides what they hide. They stay, "
      "and no\n"
      "contents are copied.",
      "Examples:\n"
      "  ufs squash debian:12 app fixes --name app:2\n"
      "\n"
      "See also: ufs commit, ufs mount\n");
  parser.add_option("layers", layers);
  parser.add_option("--name", name, "A name for the new layer")
      ->type_name("NAME[:TAG]");
  parser
      .add_option("--store", store,
                  "The store (default: $UFS_STORE, else the state directory)")
      ->type_name("DIR");
  parser.add_flag("--json", as_json, "Print an object for programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (layers.empty())
    return Complain(kUfsSquash, "no layer given; see 'ufs squash --help'",
                    kExitUsage);
  const auto layer = Squash(store, layers, name, as_json);
  if (!layer.ok())
    return Complain(kUfsSquash, ExplainWriting(layer.error()), kExitFailure);
  PrintSealed(*layer, name, as_json);
  return FinishOutput(kUfsSquash);
}

}  // namespace ufs
