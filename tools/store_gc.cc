// ufs store gc.
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/layer_json.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kStoreGc[] = "ufs store gc";

void PrintText(const GcReport& report, bool dry_run) {
  std::string what;
  const auto add = [&](uint64_t count, const char* one, const char* more) {
    if (count == 0) return;
    what += (what.empty() ? "" : ", ") + FormatCount(count) + " " +
            (count == 1 ? one : more);
  };
  add(report.images, "image", "images");
  add(report.layers, "layer", "layers");
  add(report.objects, "object", "objects");
  add(report.blobs, "blob", "blobs");
  add(report.views, "view", "views");
  add(report.leftovers, "leftover", "leftovers");
  std::printf("%s %s%s%s\n", dry_run ? "would free" : "freed",
              FormatBytes(report.freed_bytes).c_str(), what.empty() ? "" : ": ",
              what.c_str());
  if (report.in_use > 0)
    std::printf("%s in use and kept\n", FormatCount(report.in_use).c_str());
  if (report.imports_under_way)
    std::puts(
        "an import is under way: objects, blobs and leftovers were not "
        "looked at");
}

}  // namespace

int RunStoreGc(int argc, char** argv) {
  bool json = false, all = false;
  LayerStore::GcOptions options;
  ArgumentParser parser(
      kStoreGc, "ufs store gc [--unnamed | --all] [--dry-run] [--json]",
      "Frees what no layer needs: contents, blobs, views of layers that are "
      "gone, layers\nthat came with images that are gone, what failed imports "
      "left. Other layers and\nimages stay, and whatever is mounted.",
      "");
  const StoreOption store_option(parser);
  parser.add_flag("--unnamed", options.unnamed_layers,
                  "Layers and images without a name go too");
  parser.add_flag("--all", all,
                  "As --unnamed; and views, which the next mount makes again");
  parser.add_flag("-n,--dry-run", options.dry_run, "Only say what would go");
  parser.add_flag("--json", json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  options.unnamed_layers = options.unnamed_layers || all;
  options.all_views = all;
  const auto store =
      store_option.Open(options.dry_run ? LayerStore::Access::kRead
                                        : LayerStore::Access::kChange);
  if (!store.ok())
    return Complain(kStoreGc, ExplainWriting(store.error()), kExitFailure);
  const auto report = (*store)->Gc(options);
  if (!report.ok())
    return Complain(kStoreGc, ExplainWriting(report.error()), kExitFailure);
  if (json) {
    PrintJson({{"dry_run", options.dry_run},
               {"images", report->images},
               {"layers", report->layers},
               {"objects", report->objects},
               {"blobs", report->blobs},
               {"views", report->views},
               {"leftovers", report->leftovers},
               {"freed_bytes", report->freed_bytes},
               {"in_use", report->in_use},
               {"imports_under_way", report->imports_under_way}});
  } else {
    PrintText(*report, options.dry_run);
  }
  return FinishOutput(kStoreGc);
}

}  // namespace ufs
