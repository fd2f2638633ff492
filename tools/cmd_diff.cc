// ufs diff: what an upper changes, of a mounted union or of a bare directory.
#include <fcntl.h>

#include <cstdio>
#include <string>
#include <vector>

#include "fs/upper_diff.h"
#include "layerdb/base/mount_info.h"
#include "layerdb/base/syscall.h"
#include "tools/change_text.h"
#include "tools/command.h"
#include "tools/layer_words.h"
#include "tools/mountpoint.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/container_union.h"
#include "tools/unmounted_upper.h"

namespace ufs {
namespace {

constexpr char kUfsDiff[] = "ufs diff";

// What the daemon of a mount says its parts are.
Result<UpperDiffOptions> OptionsOfMount(const std::string& mountpoint) {
  const Json report = TRY(AskDaemon(mountpoint));
  const Json& parts = report["union"];
  UpperDiffOptions options;
  options.upper = parts.value("upper", "");
  if (options.upper.empty())
    return Error(EROFS, mountpoint + ": is read-only, there is no upper");
  options.layers = parts.value("layers", std::vector<std::string>());
  const std::string store = parts.value("store", "");
  if (!store.empty())
    options.open_sealed =
        OpenFrom(TRY(LayerStore::Open(store, LayerStore::Access::kRead)),
                 /*verify=*/false, LayerStore::IndexCheck::kOnceABoot);
  options.trusted_marks =
      parts.value("xattr_prefix", "").starts_with("trusted.");
  // What the kernel still holds back has to be in the upper.
  const UniqueFd fd =
      TRY(sys::Open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY));
  TRY(sys::SyncFs(fd).With(mountpoint));
  return options;
}

Result<std::vector<Change>> Diff(const UnmountedUpper& upper) {
  const std::string mountpoint = ResolveMountpoint(upper.path);
  const auto mount = FindMountAt(mountpoint);
  if (mount && mount->type.starts_with("fuse") && upper.layers.empty())
    return DiffUpper(TRY(OptionsOfMount(mountpoint)));
  const UnionConfig config = TRY(LayersUnder(upper, /*verify=*/false));
  UpperDiffOptions options;
  options.upper = upper.path;
  // What was committed tells nothing of the layers below it.
  if (!upper.layers.empty()) options.layers = config.layers;
  options.open_sealed = config.open_sealed;
  options.trusted_marks = upper.HasTrustedMarks();
  return DiffUpper(options);
}

Status DiffAndPrint(const UnmountedUpper& upper, bool as_json) {
  const auto changes = TRY(Diff(upper));
  const std::string text =
      as_json ? ChangesJson(changes) : ChangesText(changes);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return FlushOutput();
}

}  // namespace

int RunDiff(int argc, char** argv) {
  UnmountedUpper upper;
  bool as_json = false;
  ArgumentParser parser(
      kUfsDiff,
      "ufs diff [--json] MOUNTPOINT|CONTAINER\n"
      "       ufs diff [--json] [--layer LAYER]... UPPER",
      "Lists what an upper directory changes, one path a line:\n"
      "  A PATH         added\n"
      "  C PATH         changed: contents, type or link target\n"
      "  D PATH         deleted, with all below it\n"
      "  M PATH         only owner, mode, times or extended attributes "
      "changed\n"
      "  R OLD -> NEW   renamed\n"
      "Control characters and backslashes in names are written as \\ooo and "
      "\\\\.",
      "Without --layer, an UPPER that is not mounted is read by its marks "
      "alone: a file\nwithout an origin mark counts as added.\n"
      "After 'ufs commit', what was changed since is listed.\n"
      "Of a file of a layer that has several names, those that were used are "
      "listed.\n"
      "\n"
      "Examples:\n"
      "  ufs diff /mnt\n"
      "  ufs diff web\n"
      "  ufs diff --layer base --layer app changes\n"
      "  ufs diff --json /mnt | jq -r '.[] | select(.kind == "
      "\"added\").path'\n");
  parser.add_option("path", upper.path);
  parser
      .add_option("--layer,--layers", upper.layers,
                  "A layer under UPPER; once for each, bottom to top")
      ->type_name("LAYER")
      ->repeatable();
  parser
      .add_option("--work", upper.work,
                  "UPPER's work directory (default: UPPER.work)")
      ->type_name("DIR");
  parser
      .add_option("--store", upper.store,
                  "The store (default: $UFS_STORE, else the state directory)")
      ->type_name("DIR");
  parser.add_flag("--json", as_json,
                  "A list of objects with kind, path, from and type");
  parser.add_flag("--userxattr", upper.user_xattr,
                  "Read marks from user.overlay.*, though you are root");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (upper.path.empty())
    return Complain(kUfsDiff,
                    "no mount point, container or upper given; see 'ufs diff "
                    "--help'",
                    kExitUsage);
  const auto print = [&](const UnmountedUpper& where) {
    return DiffAndPrint(where, as_json);
  };
  const auto done = [&]() -> Status {
    if (const auto container = TRY(ContainerNamed(upper.path)))
      return InContainer(*container, upper, print);
    return print(upper);
  }();
  if (!done.ok())
    return Complain(kUfsDiff, Explain(done.error()), kExitFailure);
  return kExitOk;
}

}  // namespace ufs
