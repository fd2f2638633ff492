// ufs layer verify.
#include <cerrno>
#include <cstdio>
#include <functional>
#include <set>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerVerify[] = "ufs layer verify";

// What is to be read.
struct Choice {
  std::vector<Digest> images;
  std::vector<LayerInfo> layers;
};

Result<Choice> Choose(const LayerStore& store,
                      const std::vector<std::string>& wanted) {
  Choice choice;
  if (wanted.empty()) {
    choice.layers = TRY(store.List());
    for (const Image& image : TRY(store.Images()))
      choice.images.push_back(image.digest);
    return choice;
  }
  std::set<Digest> layers;
  for (const std::string& reference : wanted) {
    const StoreReference found = TRY(store.Find(reference));
    if (!found.is_image) {
      layers.insert(found.digest);
      continue;
    }
    choice.images.push_back(found.digest);
    if (const auto image = store.OpenImage(found.digest); image.ok())
      for (const Digest& layer : image->config.diff_ids)
        if (store.Has(layer)) layers.insert(layer);  // else VerifyImage says so
  }
  for (const Digest& digest : layers) {
    auto info = store.Info(digest);
    // A damaged one has nothing to tell, and is the very one to verify.
    if (!info.ok()) info = LayerInfo{};
    info->diff_id = digest;
    choice.layers.push_back(std::move(*info));
  }
  return choice;
}

}  // namespace

int RunLayerVerify(int argc, char** argv) {
  std::vector<std::string> references;
  bool json = false;
  ArgumentParser parser(
      kLayerVerify, "ufs layer verify [--json] [LAYER...]",
      "Reads the index, every object and the blob of layers and images, and "
      "the views\nthat they are in, of all when none is named, and compares "
      "every hash. Exits with 1\nand names what is damaged; importing the "
      "layer again mends it.",
      "");
  const StoreOption store_option(parser);
  parser.add_option("layers", references);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kLayerVerify, Explain(store.error()), kExitFailure);
  const auto choice = Choose(**store, references);
  if (!choice.ok())
    return Complain(kLayerVerify, Explain(choice.error()), kExitFailure);

  auto findings = Json::array();
  uint64_t total = 0, bytes = 0, views = 0;
  for (const LayerInfo& info : choice->layers)
    total += info.content_bytes + (info.blob ? info.blob->size_bytes : 0);
  bool clean = true;
  Progress progress("verify", total, Progress::StyleOfStderr(json));
  const auto take = [&](const Result<CheckReport>& report) {
    // Removed meanwhile, unless it was asked for.
    if (report.code() == ENOENT && references.empty()) return true;
    if (!report.ok()) return false;
    bytes += report->bytes;
    views += report->views;
    for (const Finding& finding : report->findings) {
      clean = false;
      progress.Clear();
      if (json) {
        findings.push_back(ToJson(finding));
      } else {
        Complain(kLayerVerify,
                 EscapePath(finding.subject + ": " + finding.text) + " (S" +
                     std::to_string(finding.invariant) + ")",
                 kExitFailure);
      }
    }
    return true;
  };
  std::vector<std::function<Result<CheckReport>()>> steps;
  for (const Digest& image : choice->images)
    steps.emplace_back([&] { return (*store)->VerifyImage(image); });
  for (const LayerInfo& info : choice->layers)
    steps.emplace_back([&] {
      return (*store)->Verify(info.diff_id,
                              [&](uint64_t read) { progress.Add(read); });
    });
  steps.emplace_back([&] {
    std::vector<Digest> layers;
    for (const LayerInfo& info : choice->layers) layers.push_back(info.diff_id);
    return (*store)->VerifyViews(layers);
  });
  for (const auto& step : steps) {
    const auto report = step();
    if (take(report)) continue;
    progress.Finish();
    return Complain(kLayerVerify, Explain(report.error()), kExitFailure);
  }
  progress.Finish();
  if (json) {
    PrintJson({{"layers", choice->layers.size()},
               {"images", choice->images.size()},
               {"views", views},
               {"bytes", bytes},
               {"findings", findings}});
  } else {
    if (!choice->images.empty())
      std::printf("%s, ",
                  FormatCountOf(choice->images.size(), "image").c_str());
    std::printf("%s, %s read: %s\n",
                FormatCountOf(choice->layers.size(), "layer").c_str(),
                FormatBytes(bytes).c_str(), clean ? "sound" : "damaged");
  }
  if (FinishOutput(kLayerVerify) != kExitOk) return kExitFailure;
  return clean ? kExitOk : kExitFailure;
}

}  // namespace ufs
