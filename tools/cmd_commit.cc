// ufs commit: what an upper changes becomes a layer of the store.
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/control.h"
#include "fs/frozen_upper.h"
#include "fs/layer_sealer.h"
#include "layerdb/base/mount_info.h"
#include "layerdb/base/syscall.h"
#include "tools/command.h"
#include "tools/complete_files.h"
#include "tools/layer_words.h"
#include "tools/mountpoint.h"
#include "tools/output.h"
#include "tools/print_json.h"
#include "tools/run/container_union.h"
#include "tools/seal_layer.h"
#include "tools/state_dir.h"
#include "tools/store_option.h"
#include "tools/unmounted_upper.h"

namespace ufs {
namespace {

constexpr char kUfsCommit[] = "ufs commit";
constexpr int kAttempts = 5;
constexpr auto kPause = std::chrono::milliseconds(200);

struct CommitArguments {
  std::string path;
  std::vector<std::string> layers;
  std::string work;
  std::string name;
  std::string store;         // takes the layer
  std::string layers_store;  // has those under an upper, if another
  bool user_xattr = false;
  bool keep_upper = false;
  bool as_json = false;
  Progress* progress = nullptr;
  std::set<std::string>* sockets = nullptr;  // that were left out
  std::set<std::string> places;              // see SealSource
  std::string source;                        // what they call it
};

std::string IndexOf(const std::string& work) {
  const std::string index = work + "/ufs/index";
  return sys::Open(index.c_str(), O_PATH | O_DIRECTORY).ok() ? index : "";
}

Result<std::unique_ptr<Ingest>> BeginIngest(LayerStore& store,
                                            const CommitArguments& arguments) {
  return store.BeginIngest("commit " + arguments.source);
}

// --- a mount -----------------------------------------------------------------

// How often each thing was asked that may change something.
std::map<std::string, uint64_t> Changes(const Json& report) {
  std::map<std::string, uint64_t> counts;
  for (const Json& kind : report["messages"]) {
    const std::string message = kind.value("message", "");
    const bool reads =
        message == "LOOKUP" || message == "FORGET" || message == "GETATTR" ||
        message == "READLINK" || message == "READ" || message == "STATFS" ||
        message == "FSYNC" || message == "GETXATTR" || message == "LISTXATTR" ||
        message == "OPENDIR" || message == "READDIR" ||
        message == "READDIRPLUS" || message == "RELEASEDIR" ||
        message == "FSYNCDIR" || message == "ACCESS" || message == "LSEEK" ||
        message == "INTERRUPT" || message == "SYNCFS" || message == "RELEASE" ||
        message == "FLUSH" || message == "INIT" || message == "BATCH_FORGET";
    if (!reads) counts[message] = kind.value("count", uint64_t{0});
  }
  return counts;
}

std::vector<std::string> LayersOf(const Json& report) {
  return report["union"].value("layers", std::vector<std::string>());
}

// By writes that are no messages.
bool IsChangedUnseen(const Json& report) {
  const auto stats = report.find("stats");
  return stats != report.end() && stats->value("passed_writers", 0) > 0;
}

Status SyncMount(const std::string& mountpoint) {
  const UniqueFd fd =
      TRY(sys::Open(mountpoint.c_str(), O_RDONLY | O_DIRECTORY));
  return sys::SyncFs(fd).With(mountpoint);
}

// A store in the mount would have to be written to while the mount stands
// still.
Status RefuseStoreIn(const std::string& mountpoint, const LayerStore& store) {
  const auto mount = TRY(sys::Statx({AT_FDCWD, mountpoint.c_str()}));
  const auto folder = TRY(sys::Statx({AT_FDCWD, store.path().c_str()}));
  if (mount.stx_dev_major == folder.stx_dev_major &&
      mount.stx_dev_minor == folder.stx_dev_minor)
    return Error(EDEADLK, "the store " + store.path() +
                              " is in the mount itself; name another with "
                              "--store");
  return Ok();
}

// The layer is made, and named; its mount goes on over an upper that is empty.
// Where that cannot be, over the one it has: nothing is lost by it.
void BeginAfresh(MountHold& hold, const std::string& mountpoint,
                 const Digest& layer) {
  const Status frozen = hold.Freeze();
  if (!frozen.ok()) {
    Complain(kUfsCommit,
             mountpoint +
                 ": the layer is made, but the mount keeps its upper: " +
                 frozen.error().ToString(),
             kExitFailure);
    return;
  }
  const auto note = [&]() -> Status {
    const std::vector<std::string> layers =
        LayersOf(TRY(AskDaemon(mountpoint)));
    if (layers.empty() || !IsFrozenName(layers.back())) return Error(ESTALE);
    return NoteLayerOf(layers.back(), layer.ToString());
  };
  // Without it the frozen one stays until somebody removes it.
  if (const Status noted = note(); !noted.ok())
    Complain(kUfsCommit,
             mountpoint + ": what was in the upper stays beside it: " +
                 noted.error().ToString(),
             kExitOk);
}

// Reads the upper while the mount stands still, and what is made of it is there
// before it goes on. EBUSY: it does not stand still, now.
Result<LayerInfo> SealHeld(LayerStore& store, const std::string& mountpoint,
                           const SealSource& source, Ingest& ingest,
                           const CommitArguments& arguments) {
  TRY(SyncMount(mountpoint));
  MountHold hold = TRY(MountHold::Begin(mountpoint));
  if (LayersOf(TRY(AskDaemon(mountpoint))) != source.layers)
    return Error(EAGAIN, mountpoint +
                             ": another commit was made meanwhile; do "
                             "it again");
  TRY(SealDirectory(source, ingest.tree(), ingest.objects()));
  TRY((arguments.keep_upper ? hold.End() : hold.Check()).With(mountpoint));
  TRY(ingest.objects().KeepOnly(source.contents->in_use()));
  LayerInfo info =
      TRY(SealIngest(store, ingest, arguments.name, *arguments.progress));
  if (!arguments.keep_upper) BeginAfresh(hold, mountpoint, info.diff_id);
  return info;
}

Result<LayerInfo> CommitBusyMount(LayerStore& store,
                                  const std::string& mountpoint,
                                  const SealSource& source, Ingest& ingest,
                                  const CommitArguments& arguments) {
  TRY(RefuseStoreIn(mountpoint, store));
  for (int attempt = 1;; ++attempt) {
    ingest.RestartTree();
    source.contents->Restart();
    auto sealed = SealHeld(store, mountpoint, source, ingest, arguments);
    if (sealed.ok() || sealed.code() != EBUSY || attempt == kAttempts)
      return sealed;
    std::this_thread::sleep_for(kPause);
  }
}

Result<LayerInfo> CommitMount(LayerStore& store, const std::string& mountpoint,
                              const CommitArguments& arguments) {
  const Json parts = TRY(AskDaemon(mountpoint))["union"];
  SealSource source;
  source.directory = parts.value("upper", "");
  if (source.directory.empty())
    return Error(EROFS, mountpoint + ": is read-only, there is no upper");
  // What the kernel holds back, and the rest of files that were written to,
  // has to be in the upper.
  TRY(SyncMount(mountpoint));
  TRY(CompleteUpper(mountpoint, source.directory));
  // A layer is on disk. Most of it now, while nobody waits.
  if (!arguments.keep_upper) TRY(SyncMount(source.directory));
  const Json before = TRY(AskDaemon(mountpoint));
  source.layers = LayersOf(before);
  source.index = IndexOf(parts.value("work", ""));
  source.trusted_marks =
      parts.value("xattr_prefix", "").starts_with("trusted.");
  const std::string store_path = parts.value("store", "");
  if (!store_path.empty())
    source.open_sealed =
        OpenFrom(TRY(LayerStore::Open(store_path, LayerStore::Access::kRead)),
                 /*verify=*/true, LayerStore::IndexCheck::kOnceABoot);
  // Nobody is stopped, if nothing is changed while the layer is made.
  SealedContents contents;
  source.contents = &contents;
  source.sockets = arguments.sockets;
  source.places = arguments.places;
  source.keep_going = true;
  const auto ingest = TRY(BeginIngest(store, arguments));
  const Status sealed =
      SealDirectory(source, ingest->tree(), ingest->objects());
  TRY(SyncMount(mountpoint));
  // Where it failed, something may be in parts that a hold brings up.
  const auto unchanged = [&]() -> Result<bool> {
    const Json now = TRY(AskDaemon(mountpoint));
    return Changes(before) == Changes(now) && !IsChangedUnseen(before) &&
           !IsChangedUnseen(now) && LayersOf(before) == LayersOf(now);
  };
  source.keep_going = false;
  if (!sealed.ok() || !TRY(unchanged()))
    return CommitBusyMount(store, mountpoint, source, *ingest, arguments);
  const Digest digest = TRY(PrepareIngest(store, *ingest, *arguments.progress));
  if (arguments.keep_upper)
    return FinishIngest(store, *ingest, digest, arguments.name);
  TRY(RefuseStoreIn(mountpoint, store));
  if (auto hold = MountHold::Begin(mountpoint); hold.ok() && TRY(unchanged())) {
    LayerInfo info = TRY(FinishIngest(store, *ingest, digest, arguments.name));
    BeginAfresh(*hold, mountpoint, digest);
    return info;
  }
  // Somebody wrote just now: from the beginning.
  contents = SealedContents();
  const auto again = TRY(BeginIngest(store, arguments));
  return CommitBusyMount(store, mountpoint, source, *again, arguments);
}

// --- an upper that is not mounted --------------------------------------------

Result<LayerInfo> CommitUpper(LayerStore& store,
                              const CommitArguments& arguments) {
  const UniqueFd upper =
      TRY(sys::Open(arguments.path.c_str(), O_RDONLY | O_DIRECTORY)
              .With(arguments.path));
  // Whoever has it mounted holds its lock.
  const Status locked = sys::FLock(upper, LOCK_EX | LOCK_NB);
  if (locked.code() == EWOULDBLOCK)
    return Error(EBUSY, arguments.path +
                            ": is the upper of a mount; commit the mount point "
                            "instead");
  TRY(locked);
  const UnmountedUpper unmounted{
      arguments.path, arguments.work, arguments.layers,
      arguments.layers_store.empty() ? arguments.store : arguments.layers_store,
      arguments.user_xattr};
  // Damage gets no digest of its own.
  const UnionConfig config = TRY(LayersUnder(unmounted, /*verify=*/true));
  SealSource source;
  source.directory = arguments.path;
  source.layers = config.layers;
  source.open_sealed = config.open_sealed;
  source.index = IndexOf(unmounted.WorkPath());
  source.trusted_marks = unmounted.HasTrustedMarks();
  source.sockets = arguments.sockets;
  source.places = arguments.places;
  const auto ingest = TRY(BeginIngest(store, arguments));
  TRY(SealDirectory(source, ingest->tree(), ingest->objects()));
  return SealIngest(store, *ingest, arguments.name, *arguments.progress);
}

Result<LayerInfo> Commit(CommitArguments& arguments) {
  // Said before there is a layer to be named.
  if (!arguments.name.empty()) TRY(NormalizeLayerName(arguments.name));
  const auto store =
      TRY(OpenStore(arguments.store, LayerStore::Access::kWrite));
  const std::string mountpoint = ResolveMountpoint(arguments.path);
  const auto mount = FindMountAt(mountpoint);
  if (mount && mount->type.starts_with("fuse") && arguments.layers.empty())
    return CommitMount(*store, mountpoint, arguments);
  while (arguments.path.size() > 1 && arguments.path.ends_with('/'))
    arguments.path.pop_back();
  return CommitUpper(*store, arguments);
}

Status CommitAndPrint(CommitArguments arguments) {
  std::set<std::string> sockets;
  arguments.sockets = &sockets;
  Progress progress("commit", 0, Progress::StyleOfStderr(arguments.as_json));
  arguments.progress = &progress;
  const auto layer = Commit(arguments);
  progress.Finish();
  TRY(layer);
  WarnOfSockets(kUfsCommit, sockets);
  PrintSealed(*layer, arguments.name, arguments.as_json);
  return FlushOutput();
}

Status CommitContainer(const FoundContainer& container,
                       const CommitArguments& given) {
  const UnmountedUpper upper{given.path, given.work, given.layers, given.store,
                             given.user_xattr};
  const std::string store =
      std::filesystem::absolute(TRY(StorePath(given.store)));
  // Made here, if need be: where the container's union is mounted, what was
  // mounted on the host since may be missing.
  TRY(LayerStore::Open(store, LayerStore::Access::kWrite));
  const auto seen = TRY(sys::Statx({AT_FDCWD, store.c_str()}));
  return InContainer(
      container, upper, [&](const UnmountedUpper& where) -> Status {
        const auto there = sys::Statx({AT_FDCWD, store.c_str()});
        if (!there.ok() || there->stx_ino != seen.stx_ino ||
            there->stx_dev_major != seen.stx_dev_major ||
            there->stx_dev_minor != seen.stx_dev_minor)
          return Error(EXDEV, store +
                                  ": was mounted after the container began, "
                                  "which does not see it; stop it first, or "
                                  "name another --store");
        CommitArguments arguments = given;
        arguments.path = where.path;
        arguments.layers = where.layers;
        arguments.work = where.work;
        arguments.store = store;
        arguments.places = {container.record.places.begin(),
                            container.record.places.end()};
        arguments.layers_store = where.store;
        return CommitAndPrint(std::move(arguments));
      });
}

}  // namespace

int RunCommit(int argc, char** argv) {
  CommitArguments arguments;
  ArgumentParser parser(
      kUfsCommit,
      "ufs commit [--name NAME] MOUNTPOINT|CONTAINER\n"
      "       ufs commit [--name NAME] [--layer LAYER]... UPPER",
      "Makes a layer of what a mount's upper, a container, or an UPPER that is "
      "not mounted,\n"
      "changes, and prints its digest. The mount goes on over an upper that is "
      "empty: the next\n"
      "commit has what was changed since. Programs that write to it meanwhile "
      "wait for\n"
      "a moment. The cost is that of the changes, whatever the size of the "
      "layers.",
      "Examples:\n"
      "  ufs commit /mnt --name app:2\n"
      "  ufs commit web --name site:2\n"
      "  ufs commit --layer debian:12 changes --name app:2\n"
      "\n"
      "See also: ufs squash, ufs diff, ufs mount\n");
  parser.add_option("path", arguments.path);
  parser
      .add_option("--layer", arguments.layers,
                  "A layer under UPPER; once for each, bottom to top")
      ->type_name("LAYER")
      ->repeatable();
  parser
      .add_option("--work", arguments.work,
                  "UPPER's work directory (default: UPPER.work)")
      ->type_name("DIR");
  parser.add_option("--name", arguments.name, "A name for the new layer")
      ->type_name("NAME[:TAG]");
  parser
      .add_option("--store", arguments.store,
                  "The store (default: $UFS_STORE, else the state directory)")
      ->type_name("DIR");
  parser.add_flag("--keep-upper", arguments.keep_upper,
                  "The mount goes on over the upper that it has");
  parser.add_flag("--json", arguments.as_json, "Print an object for programs");
  parser.add_flag("--userxattr", arguments.user_xattr,
                  "Read marks from user.overlay.*, though you are root");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (arguments.path.empty())
    return Complain(kUfsCommit,
                    "no mount point, container or upper given; see 'ufs commit "
                    "--help'",
                    kExitUsage);
  arguments.source = arguments.path;
  const auto done = [&]() -> Status {
    if (const auto container = TRY(ContainerNamed(arguments.path)))
      return CommitContainer(*container, arguments);
    return CommitAndPrint(arguments);
  }();
  if (!done.ok())
    return Complain(kUfsCommit, ExplainWriting(done.error()), kExitFailure);
  return kExitOk;
}

}  // namespace ufs
