// ufs layer verify.
#include <cerrno>
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kWho[] = "ufs layer verify";

Result<std::vector<LayerInfo>> Chosen(const LayerStore& store,
                                      const std::vector<std::string>& wanted) {
  if (wanted.empty()) return store.List();
  std::vector<LayerInfo> layers;
  for (const std::string& reference : wanted) {
    const Digest digest = TRY(store.Resolve(reference));
    auto info = store.Info(digest);
    // A damaged one has nothing to tell, and is the very one to verify.
    if (!info.ok()) info = LayerInfo{};
    info->diff_id = digest;
    layers.push_back(std::move(*info));
  }
  return layers;
}

}  // namespace

int RunLayerVerify(int argc, char** argv) {
  std::vector<std::string> references;
  bool json = false;
  ArgumentParser parser(
      kWho, "ufs layer verify [--json] [LAYER...]",
      "Reads the index, every object and the blob of layers, of all layers "
      "when\n"
      "none is named, and compares every hash. Exits with 1 and names what is\n"
      "damaged; importing the layer again mends it.",
      "");
  const StoreOption store_option(parser);
  parser.add_option("layers", references);
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;

  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kWho, store.error().ToString(), kExitFailure);
  const auto layers = Chosen(**store, references);
  if (!layers.ok())
    return Complain(kWho, layers.error().ToString(), kExitFailure);

  auto findings = nlohmann::json::array();
  uint64_t total = 0, bytes = 0;
  for (const LayerInfo& info : *layers)
    total += info.content_bytes + (info.blob ? info.blob->size_bytes : 0);
  bool clean = true;
  Progress progress("verify", total);
  for (const LayerInfo& info : *layers) {
    const auto report = (*store)->Verify(
        info.diff_id, [&](uint64_t read) { progress.Add(read); });
    if (report.code() == ENOENT && references.empty()) continue;  // removed
    if (!report.ok()) {
      progress.Finish();
      return Complain(kWho, report.error().ToString(), kExitFailure);
    }
    bytes += report->bytes;
    for (const Finding& finding : report->findings) {
      clean = false;
      progress.Clear();
      if (json) {
        findings.push_back(ToJson(finding));
      } else {
        Complain(kWho,
                 EscapePath(finding.subject + ": " + finding.text) + " (S" +
                     std::to_string(finding.invariant) + ")",
                 kExitFailure);
      }
    }
  }
  progress.Finish();
  if (json) {
    PrintJson(
        {{"layers", layers->size()}, {"bytes", bytes}, {"findings", findings}});
  } else {
    std::printf("%zu layers, %s read: %s\n", layers->size(),
                FormatBytes(bytes).c_str(), clean ? "sound" : "damaged");
  }
  if (FinishOutput(kWho) != kExitOk) return kExitFailure;
  return clean ? kExitOk : kExitFailure;
}

}  // namespace ufs
