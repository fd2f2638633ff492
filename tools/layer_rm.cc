// ufs layer rm.
#include <cerrno>
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerRm[] = "ufs layer rm";

struct Done {
  Json removed = Json::array();   // digests
  Json untagged = Json::array();  // names of what stays
  bool json = false;              // says it all at the end
};

// By a name: the name, and what it names unless that has others. By a digest:
// the layer or image, with its names when `force` says so.
Status RemoveOne(LayerStore& store, const std::string& reference, bool force,
                 Done& done) {
  const StoreReference found = TRY(store.Find(reference));
  const Digest& digest = found.digest;
  const auto name = NormalizeLayerName(reference);
  bool by_name = false, has_others = false;
  for (const std::string& own : TRY(store.NamesOf(digest)))
    (name.ok() && own == *name ? by_name : has_others) = true;
  if (by_name && has_others && !force) {
    TRY(store.RemoveName(*name));
    done.untagged.push_back(*name);
    if (!done.json)
      std::printf("%s: the name is gone, the %s stays (%s)\n", name->c_str(),
                  found.is_image ? "image" : "layer",
                  ShortDigest(digest).c_str());
    return Ok();
  }
  const bool names_too = by_name || force;
  auto removed = found.is_image ? store.RemoveImage(digest, names_too)
                                : store.Remove(digest, names_too);
  if (removed.code() == EBUSY && has_others && !names_too)
    return std::move(removed).With("remove its names, or use --force");
  TRY(removed);
  done.removed.push_back(digest.ToString());
  if (!done.json) std::printf("removed %s\n", digest.ToString().c_str());
  return Ok();
}

}  // namespace

int RunLayerRm(int argc, char** argv) {
  std::vector<std::string> references;
  bool force = false, keep = false;
  Done removal;
  ArgumentParser parser(
      kLayerRm, "ufs layer rm [--force] [--no-gc] [--json] LAYER...",
      "Removes layers or images and frees what they alone used: an image takes "
      "along the\nlayers that came with it and that nothing else has. By a "
      "name: the name, and the\nlayer or image when that was its last. What is "
      "mounted cannot be removed.",
      "Examples:\n"
      "  ufs layer rm base:v1\n"
      "  ufs layer rm --force 3f2a0c    with all of its names\n");
  const StoreOption store_option(parser);
  parser.add_option("layers", references);
  parser.add_flag("-f,--force", force, "Together with all names it has");
  parser.add_flag("--no-gc", keep, "Leave contents to a later 'ufs store gc'");
  parser.add_flag("--json", removal.json, "For programs");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (references.empty())
    return Complain(kLayerRm, "no layer given; see 'ufs layer rm --help'",
                    kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kChange);
  if (!store.ok())
    return Complain(kLayerRm, ExplainWriting(store.error()), kExitFailure);
  int code = kExitOk;
  for (const std::string& reference : references)
    if (const auto done = RemoveOne(**store, reference, force, removal);
        !done.ok())
      code = Complain(kLayerRm, ExplainWriting(done.error()), kExitFailure);
  uint64_t freed = 0;
  if (!keep) {
    const auto swept = (*store)->Gc({});
    if (swept.ok()) {
      freed = swept->freed_bytes;
    } else {
      std::string text = ExplainWriting(swept.error());
      // What was said to be removed is.
      if (!removal.removed.empty())
        text =
            "the layers are removed, but what they alone used is left to "
            "'ufs store gc': " +
            text;
      code = Complain(kLayerRm, text, kExitFailure);
    }
  }
  if (removal.json) {
    PrintJson({{"removed", removal.removed},
               {"untagged", removal.untagged},
               {"freed_bytes", freed}});
  } else if (freed > 0) {
    std::printf("freed %s\n", FormatBytes(freed).c_str());
  }
  return FinishOutput(kLayerRm) == kExitOk ? code : kExitFailure;
}

}  // namespace ufs
