// ufs layer view: what the first mount of layers would make, ahead of it.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerView[] = "ufs layer view";

}  // namespace

int RunLayerView(int argc, char** argv) {
  std::vector<std::string> words;
  bool json = false;
  ArgumentParser parser(
      kLayerView, "ufs layer view [--json] LAYER...",
      "Makes the view that a mount of these layers or images reads, so that "
      "the first one\nneed not, and prints its chainID. The layers are named "
      "as to 'ufs mount', bottom to\ntop; one alone needs no view.",
      "Example:\n  ufs layer view base app:1\n");
  const StoreOption store_option(parser);
  parser.add_option("layers", words);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (words.empty())
    return Complain(kLayerView, "no layer given; see 'ufs layer view --help'",
                    kExitUsage);
  const auto run = [&]() -> Status {
    const auto store = TRY(store_option.Open(LayerStore::Access::kChange));
    std::vector<Digest> layers;
    for (const std::string& word : words)
      for (const Digest& digest : TRY(store->ResolveRun(word)))
        layers.push_back(digest);
    const auto view = TRY(store->MakeView(layers));
    const std::string chain = view.chain_id.ToString();
    if (!json) {
      std::printf("%s %s\n", chain.c_str(),
                  view.built ? "built" : "there already");
      return Ok();
    }
    Json digests = Json::array();
    for (const Digest& digest : layers) digests.push_back(digest.ToString());
    PrintJson(
        {{"chain_id", chain}, {"built", view.built}, {"layers", digests}});
    return Ok();
  };
  if (const auto done = run(); !done.ok())
    return Complain(kLayerView, ExplainWriting(done.error()), kExitFailure);
  return FinishOutput(kLayerView);
}

}  // namespace ufs
