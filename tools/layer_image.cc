// ufs layer image.
#include <cstdio>

#include "layerdb/image_compose.h"
#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerImage[] = "ufs layer image";

Result<Image> MakeImage(LayerStore& store,
                        const std::vector<std::string>& words,
                        const std::string& name, bool json) {
  // Said before there is an image to be named.
  if (!name.empty()) TRY(NormalizeLayerName(name));
  std::vector<StoreReference> parts;
  std::string source = "image";
  for (const std::string& word : words) {
    parts.push_back(TRY(store.Find(word)));
    source += " " + word;
  }
  Progress progress("image", 0, Progress::StyleOfStderr(json));
  Image image = TRY(
      ComposeImage(store, parts, [&](uint64_t bytes) { progress.Add(bytes); }));
  image.source = source;
  TRY(store.PutImage(image));
  if (!name.empty()) TRY(store.SetName(name, image.digest));
  return store.OpenImage(image.digest);
}

}  // namespace

int RunLayerImage(int argc, char** argv) {
  std::vector<std::string> words;
  std::string name;
  bool json = false;
  ArgumentParser parser(
      kLayerImage, "ufs layer image [--name NAME] [--json] LAYER|IMAGE...",
      "Makes an image of the layers named, bottom to top, and prints its "
      "digest. What to\nrun, and all else that is configured, is what the "
      "topmost image among them says.\nNo contents are copied.",
      "Example:\n"
      "  d=$(ufs commit /mnt) && ufs layer image app:1 $d --name app:2\n"
      "\n"
      "See also: ufs commit, ufs layer export\n");
  const StoreOption store_option(parser);
  parser.add_option("layers", words);
  parser.add_option("--name", name, "A name for it")->type_name("NAME[:TAG]");
  parser.add_flag("--json", json, "Print an object instead of the digest");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (words.empty())
    return Complain(kLayerImage, "no layer given; see 'ufs layer image --help'",
                    kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kChange);
  if (!store.ok())
    return Complain(kLayerImage, ExplainWriting(store.error()), kExitFailure);
  const auto image = MakeImage(**store, words, name, json);
  if (!image.ok())
    return Complain(kLayerImage, ExplainWriting(image.error()), kExitFailure);
  if (json)
    PrintJson(ToJson(*image));
  else
    std::puts(image->digest.ToString().c_str());
  return FinishOutput(kLayerImage);
}

}  // namespace ufs
