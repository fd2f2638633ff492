// ufs layer rm.
#include <cerrno>
#include <cstdio>

#include "tools/layer_commands.h"
#include "tools/output.h"
#include "tools/store_option.h"

namespace ufs {
namespace {

constexpr char kLayerRm[] = "ufs layer rm";

// By a name: the name, and what it names unless that has others. By a digest:
// the layer or image, with its names when `force` says so.
Status RemoveOne(LayerStore& store, const std::string& reference, bool force) {
  const StoreReference found = TRY(store.Find(reference));
  const Digest& digest = found.digest;
  const auto name = NormalizeLayerName(reference);
  bool by_name = false, has_others = false;
  for (const std::string& own : TRY(store.NamesOf(digest)))
    (name.ok() && own == *name ? by_name : has_others) = true;
  if (by_name && has_others && !force) {
    TRY(store.RemoveName(*name));
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
  std::printf("removed %s\n", digest.ToString().c_str());
  return Ok();
}

}  // namespace

int RunLayerRm(int argc, char** argv) {
  std::vector<std::string> references;
  bool force = false, keep = false;
  ArgumentParser parser(
      kLayerRm, "ufs layer rm [--force] LAYER...",
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
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (references.empty())
    return Complain(kLayerRm, "no layer given; see 'ufs layer rm --help'",
                    kExitUsage);

  const auto store = store_option.Open(LayerStore::Access::kWrite);
  if (!store.ok())
    return Complain(kLayerRm, ExplainWriting(store.error()), kExitFailure);
  int code = kExitOk;
  for (const std::string& reference : references)
    if (const auto done = RemoveOne(**store, reference, force); !done.ok())
      code = Complain(kLayerRm, ExplainWriting(done.error()), kExitFailure);
  if (!keep) {
    const auto swept = (*store)->Gc({});
    if (!swept.ok())
      return Complain(kLayerRm, ExplainWriting(swept.error()), kExitFailure);
    if (swept->freed_bytes > 0)
      std::printf("freed %s\n", FormatBytes(swept->freed_bytes).c_str());
  }
  return FinishOutput(kLayerRm) == kExitOk ? code : kExitFailure;
}

}  // namespace ufs
