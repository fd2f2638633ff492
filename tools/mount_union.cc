#include "tools/mount_union.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "fs/daemon.h"
#include "fs/path_checks.h"
#include "fs/session.h"
#include "fs/union_fs.h"
#include "fs/unmount_guard.h"
#include "layerdb/base/cleanup.h"
#include "layerdb/base/fault.h"
#include "layerdb/base/log.h"
#include "layerdb/base/remove_tree.h"
#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "tools/command.h"
#include "tools/layer_words.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

namespace stdfs = std::filesystem;

// What was made for a mount that has not come about yet; removed again unless
// kept.
class MadeDirectories {
 public:
  explicit MadeDirectories(const UnionConfig& config) : config_(config) {}
  MadeDirectories(const MadeDirectories&) = delete;
  MadeDirectories& operator=(const MadeDirectories&) = delete;
  ~MadeDirectories() {
    if (upper_ || work_) RemoveUnlessInUse();
    std::error_code ignored;
    if (!entry_.empty()) stdfs::remove(entry_, ignored);
  }

  // Notes that the upper, the work directory or what holds both is ours.
  void AddUpper() { upper_ = true; }
  void AddWork() { work_ = true; }
  void AddEntry(std::string path) { entry_ = std::move(path); }
  void Keep() {
    upper_ = work_ = false;
    entry_.clear();
  }

 private:
  // Somebody else may have mounted the upper between our making it and our
  // failing. Whoever has it mounted holds its lock.
  void RemoveUnlessInUse() {
    const auto upper =
        sys::Open(config_.upper->c_str(), O_RDONLY | O_DIRECTORY);
    if (!upper.ok() || !sys::FLock(*upper, LOCK_EX | LOCK_NB).ok()) return;
    if (work_) (void)RemoveTree({AT_FDCWD, config_.work->c_str()});
    std::error_code ignored;
    if (upper_) stdfs::remove(*config_.upper, ignored);  // only if empty
  }

  const UnionConfig& config_;
  bool upper_ = false;
  bool work_ = false;
  std::string entry_;
};

struct RootAttributes {
  mode_t mode = 0755;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Those of the topmost layer that has any.
Result<RootAttributes> FindRootAttributes(const UnionConfig& config) {
  for (size_t i = config.layers.size(); i-- > 0;) {
    const std::string& layer = config.layers[i];
    if (!IsSealedName(layer)) {
      const UniqueFd fd = TRY(sys::Open(layer.c_str(), O_PATH | O_DIRECTORY));
      const auto stat = TRY(sys::Statx({fd}));
      return RootAttributes{stat.stx_mode, stat.stx_uid, stat.stx_gid};
    }
    const Digest digest = TRY(Digest::Parse(layer));
    const SealedRun sealed = TRY(config.open_sealed({&digest, 1}));
    const TreeNodeView root = TRY(sealed.tree->Node(TreeFile::kRoot));
    if (!root.implied) return RootAttributes{root.mode, root.uid, root.gid};
  }
  return RootAttributes{};
}

// The union's root shows the upper's attributes, so a new upper takes over
// those of the layer that it covers. An ordinary user cannot give away the
// owner.
Status CopyRootAttributes(const UnionConfig& config) {
  const RootAttributes root = TRY(FindRootAttributes(config));
  const UniqueFd to =
      TRY(sys::Open(config.upper->c_str(), O_RDONLY | O_DIRECTORY));
  const auto owned = sys::ChownAt({to}, root.uid, root.gid);
  if (!owned.ok() && owned.code() != EPERM && owned.code() != EINVAL)
    return owned;
  // Without group and set-id bits that would now mean somebody else.
  const mode_t mode = owned.ok() ? root.mode & 07777 : root.mode & 01777;
  return sys::ChmodAt({to}, mode | S_IRWXU);
}

// Makes what CheckRequest found missing and may be made.
Status MakeDirectories(const UnionConfig& config, MadeDirectories& made) {
  const auto make = [](const std::string& path, mode_t mode) -> Result<bool> {
    const auto status = sys::MkDirAt({AT_FDCWD, path.c_str()}, mode);
    if (status.code() == EEXIST) return false;
    if (!status.ok()) return Error(status.code(), path + ": cannot be made");
    return true;
  };
  if (TRY(make(*config.upper, 0755))) {
    made.AddUpper();
    TRY(CopyRootAttributes(config).With(
        *config.upper + ": cannot be given the layer's attributes"));
  }
  if (TRY(make(*config.work, 0700))) made.AddWork();
  return Ok();
}

// Fills in what the checks have found; makes nothing.
Status CheckRequest(MountRequest& request) {
  UnionConfig& config = request.options.config;
  UnionPaths paths;
  // A sealed layer is in no place of the tree.
  std::vector<std::string*> directories;
  for (std::string& layer : config.layers)
    if (!IsSealedName(layer)) {
      directories.push_back(&layer);
      paths.layers.push_back(layer);
    }
  paths.upper = config.upper;
  paths.work = config.work;
  paths.mountpoint = request.options.mount.mountpoint;
  paths.make_upper = request.make_upper;
  paths.make_work = request.make_work;
  const UnionPaths resolved = TRY(CheckUnionPaths(paths));
  for (size_t i = 0; i < directories.size(); ++i)
    *directories[i] = resolved.layers[i];
  config.upper = resolved.upper;
  config.work = resolved.work;
  request.options.mount.mountpoint = resolved.mountpoint;
  return CheckFuseAccess();
}

// A new upper lies where the user did not look; check it as any other.
Status PlanFreshUpper(MountRequest& request, MadeDirectories& made) {
  std::string name =
      stdfs::path(request.options.mount.mountpoint).filename().string();
  if (name.empty()) name = "root";
  const std::string entry = TRY(MakeUppersEntry(name.substr(0, 100)));
  made.AddEntry(entry);
  request.options.config.upper = entry + "/upper";
  request.options.config.work = entry + "/work";
  request.make_upper = request.make_work = true;
  return CheckRequest(request);
}

void RaiseFileLimit() {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  // Best effort: with fewer descriptors the union keeps fewer open.
  setrlimit(RLIMIT_NOFILE, &limit);
}

// In the process that stays. Returns after the unmount.
Status Serve(const MountRequest& request, MadeDirectories& made,
             Daemon* daemon) {
  const UnionConfig& config = request.options.config;
  std::optional<UnmountGuard> guard;
  if (request.options.mount.auto_unmount)
    guard.emplace(TRY(UnmountGuard::Start()));
  if (config.upper) TRY(MakeDirectories(config, made));
  umask(0);  // the modes of new files come from their creators
  RaiseFileLimit();
  auto union_fs = TRY(UnionFs::Open(config));
  bool detached = false;
  const auto ready = [&] {
    made.Keep();
    if (guard) {
      const auto watched = guard->Watch(request.options.mount.mountpoint);
      if (!watched.ok()) log::Warn(watched.error().ToString());
    }
    if (request.fresh_upper) std::printf("upper: %s\n", config.upper->c_str());
    std::fflush(stdout);
    if (daemon != nullptr) daemon->Detach("ufs");
    if (request.ready) request.ready();
    detached = daemon != nullptr || request.ready;
  };
  const auto serve = [&]() -> Status {
    TRY(Serve(request.options.mount, *union_fs, ready));
    // As overlayfs at each unmount.
    if (config.durability == Durability::kStrict) TRY(union_fs->SyncFs());
    return Ok();
  };
  const Status served = serve();
  // Nobody reads what else is said of it.
  if (detached && !served.ok()) log::Error(served.error().ToString());
  return served;
}

Status ArmFaultFromEnvironment() {
  const char* const spec = getenv("UFS_FAULT");
  if (spec == nullptr) return Ok();
  return ArmFault(spec);
}

// As MountUnion, in the process that stays.
int MountHere(MountRequest& request, Daemon* daemon) {
  const auto fail = [&](std::string_view message) {
    return Complain(request.who, message, request.failure_code);
  };
  // All of these say themselves what to do.
  if (auto found = ResolveLayers(request.store, request.options.config);
      !found.ok())
    return fail(found.error().context());
  if (auto checked = CheckRequest(request); !checked.ok())
    return fail(checked.error().context());

  MadeDirectories made(request.options.config);
  if (request.fresh_upper) {
    if (auto planned = PlanFreshUpper(request, made); !planned.ok())
      return fail(planned.error().context());
  }
  const auto served = Serve(request, made, daemon);
  if (!served.ok()) return fail(served.error().ToString());
  return kExitOk;
}

}  // namespace

int MountUnion(MountRequest request) {
  const auto fail = [&](std::string_view message) {
    return Complain(request.who, message, request.failure_code);
  };
  for (const std::string& note : request.options.notes)
    Complain(request.who, note, 0);
  if (auto armed = ArmFaultFromEnvironment(); !armed.ok())
    return fail("UFS_FAULT: " + std::string(armed.error().context()) +
                "; see 'ufs mount --list-fault-points'");

  // As overlayfs: what cannot be written is mounted as such.
  if (!request.options.config.upper && !request.fresh_upper)
    request.options.mount.read_only = true;

  if (request.options.mount.debug) log::SetLevel(log::Level::kDebug);
  if (request.options.foreground) return MountHere(request, nullptr);
  const Status kept =
      Daemon::Run([&](Daemon& daemon) { return MountHere(request, &daemon); });
  return fail(kept.error().ToString());
}

Result<runtime::kernel::Child> StartUnion(MountRequest request) {
  namespace kernel = runtime::kernel;
  auto pair = TRY(kernel::MakeSocketPair());
  const pid_t parent = getpid();
  auto child = TRY(kernel::Clone(0));
  if (child.pid != 0) {
    pair.theirs.reset();
    const auto said = runtime::Expect(pair.ours, runtime::Word::kReady);
    if (said.ok()) return child;
    const int code = kernel::ExitCodeOf(TRY(kernel::WaitPid(child.pid)));
    if (code == request.failure_code) return Error(ECHILD);
    return Error(
        EIO, "the daemon of the union ended with code " + std::to_string(code));
  }
  // No signal of our terminal, no descriptor that somebody waits to see closed.
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(request.failure_code);
  const UniqueFd channel = [&] {
    auto kept = kernel::MoveAndCloseRest(std::move(pair.theirs));
    return kept.ok() ? std::move(kept).value() : UniqueFd();
  }();
  request.options.foreground = true;
  // What is worth a line in a log is none between the lines of a program.
  log::UseSyslog("ufs");
  request.ready = [&] {
    if (const auto null = sys::Open("/dev/null", O_RDWR); null.ok())
      for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        (void)kernel::DuplicateTo(*null, fd);
    (void)runtime::Say(channel, runtime::Word::kReady);
  };
  _exit(MountUnion(std::move(request)));
}

bool SaidByUnion(const Error& error) {
  return error.code() == ECHILD && error.context().empty();
}

}  // namespace ufs
