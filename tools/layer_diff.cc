// ufs layer diff.
#include <cstdio>

#include "layerdb/tree_diff.h"
#include "tools/change_text.h"
#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerDiff[] = "ufs layer diff";

ChangeKind KindOf(TreeChange change) {
  switch (change) {
    case TreeChange::kAdded:
      return ChangeKind::kAdded;
    case TreeChange::kChanged:
      return ChangeKind::kChanged;
    case TreeChange::kDeleted:
      return ChangeKind::kDeleted;
    case TreeChange::kMetadata:
      break;
  }
  return ChangeKind::kMetadata;
}

Result<std::vector<Change>> Diff(const LayerStore& store,
                                 const std::string& before,
                                 const std::string& after) {
  const bool layers =
      !TRY(store.Find(before)).is_image && !TRY(store.Find(after)).is_image;
  const auto first = TRY(store.OpenView(TRY(store.ResolveRun(before))));
  const auto second = TRY(store.OpenView(TRY(store.ResolveRun(after))));
  std::vector<Change> changes;
  TRY(DiffTrees(
      *first, *second, {.whiteouts = layers},
      [&](TreeChange change, const std::string& path, mode_t type) -> Status {
        changes.push_back({KindOf(change), "/" + path, "", type});
        return Ok();
      }));
  return changes;
}

}  // namespace

int RunLayerDiff(int argc, char** argv) {
  std::string before, after;
  bool json = false;
  ArgumentParser parser(
      kLayerDiff, "ufs layer diff [--json] LAYER LAYER",
      "Lists what the second layer or image has differently from the first, a "
      "path a\nline:\n"
      "  A PATH   added\n"
      "  C PATH   changed: contents, type, link target or device\n"
      "  D PATH   deleted, with all below it\n"
      "  M PATH   only owner, mode, times of a file, extended attributes or "
      "hard links\n"
      "Of images what they show is compared; of two layers what they hold, "
      "deletions\nincluded. Contents are not read.",
      "Example:\n  ufs layer diff app:1 app:2\n");
  const StoreOption store_option(parser);
  parser.add_option("before", before);
  parser.add_option("after", after);
  parser.add_flag("--json", json, "A list of objects with kind, path and type");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (after.empty())
    return Complain(kLayerDiff,
                    "two layers or images are needed; see 'ufs layer diff "
                    "--help'",
                    kExitUsage);
  const auto store = store_option.Open(LayerStore::Access::kRead);
  if (!store.ok())
    return Complain(kLayerDiff, Explain(store.error()), kExitFailure);
  const auto changes = Diff(**store, before, after);
  if (!changes.ok())
    return Complain(kLayerDiff, Explain(changes.error()), kExitFailure);
  const std::string text = json ? ChangesJson(*changes) : ChangesText(*changes);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return FinishOutput(kLayerDiff);
}

}  // namespace ufs
