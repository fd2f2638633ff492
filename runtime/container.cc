#include "runtime/container.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/json_reader.h"
#include "layerdb/base/syscall.h"
#include "runtime/cgroup_trial.h"
#include "runtime/channel.h"
#include "runtime/config.h"
#include "runtime/hooks.h"
#include "runtime/host_path.h"
#include "runtime/host_user.h"
#include "runtime/idmapped_mount.h"
#include "runtime/init.h"
#include "runtime/kernel.h"
#include "runtime/launcher.h"
#include "runtime/namespaces.h"
#include "runtime/privileges.h"
#include "runtime/security_label.h"
#include "runtime/terminal.h"

namespace ufs::runtime {
namespace {

using ufs::Status;

constexpr int kKillPatienceMs = 10'000;
constexpr int kThawAgainMs = 500;

std::string OwnerName() {
  const auto entry = FindHostUser(geteuid());
  return entry ? entry->name : std::to_string(geteuid());
}

// A user namespace of the container's makes no devices, but an image may carry
// nodes, and its mount is the host's. In one of our own the kernel opens none;
// and whoever wants no cgroup knows that nothing keeps a list.
bool SetsDevices(const CreateOptions& options) {
  return options.cgroups && InInitialUserNamespace();
}

void LimitSwap(Resources& resources) {
  const int64_t memory = resources.memory_limit_bytes.value_or(0);
  if (memory <= 0 || resources.memory_swap_bytes.value_or(0) != 0) return;
  resources.memory_swap_bytes = memory > INT64_MAX / 2 ? -1 : 2 * memory;
  resources.swap_if_counted = true;
}

}  // namespace

const char* NameOf(RunState state) {
  switch (state) {
    case RunState::kCreating:
      return "creating";
    case RunState::kCreated:
      return "created";
    case RunState::kRunning:
      return "running";
    case RunState::kPaused:
      return "paused";
    case RunState::kStopped:
      return "stopped";
  }
  return "stopped";
}

Status WritePidFile(const std::string& path, pid_t pid) {
  if (path.empty()) return Ok();
  const std::string draft = path + ".new";
  const auto write = [&]() -> Status {
    {
      const UniqueFd file =
          TRY(sys::Open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
      TRY(kernel::WriteAll(file, std::to_string(pid)));
    }
    return sys::RenameAt2({AT_FDCWD, draft.c_str()}, {AT_FDCWD, path.c_str()});
  };
  return write().With("pid file " + path);
}

Result<UniqueFd> ConnectPidfdSocket(const std::string& path) {
  if (path.empty()) return UniqueFd();
  return kernel::ConnectUnix(path, SOCK_STREAM).With("pidfd socket " + path);
}

Status SendPidfd(BorrowedFd socket, BorrowedFd pidfd, const char* what) {
  if (socket.get() < 0) return Ok();
  return kernel::SendMessage(socket, what, pidfd.get()).With("pidfd socket");
}

namespace {

// What it is to be asked about fails, as in a kernel that has no such call.
Seccomp WithoutListener(Seccomp seccomp) {
  const auto replace = [](std::string& action, std::optional<unsigned>& value) {
    if (action != "SCMP_ACT_NOTIFY") return;
    action = "SCMP_ACT_ERRNO";
    value = ENOSYS;
  };
  replace(seccomp.default_action, seccomp.default_errno_ret);
  for (SeccompRule& rule : seccomp.rules) replace(rule.action, rule.errno_ret);
  return seccomp;
}

}  // namespace

Result<Container> Container::Create(const std::string& state_root,
                                    const std::string& id,
                                    const std::string& config,
                                    const CreateOptions& options) {
  TRY(CheckId(id));
  ContainerSpec spec = TRY(ParseConfig(config).With("config.json"));
  WarnOfUnknownCapabilities(spec.process);
  if (options.preserve_fds < 0)
    return Error(EINVAL, "a negative number of descriptors to preserve");
  if (!options.pivot && spec.rootfs_propagation.ends_with("shared"))
    return Error(EINVAL,
                 "--no-pivot with a shared linux.rootfsPropagation would "
                 "unmount on the host");
  if (!options.console_socket.empty() && !spec.process.terminal)
    return Error(EINVAL, "a console socket needs process.terminal");
  TRY(CheckLabels(spec.process, spec.mount_label));
  StateEntry entry = TRY(StateEntry::Create(state_root, id));
  ContainerState state;
  state.id = id;
  state.bundle = options.bundle;
  state.rootfs = AbsolutePath(spec.root_path, options.bundle);
  state.created = NowRfc3339();
  state.owner = OwnerName();
  // As runc names it; another container of that id has another.
  if (options.new_keyring) state.keyring = "_ses." + id + "." + state.created;
  state.annotations = spec.annotations;
  Container container(state_root, std::move(entry), std::move(state));
  container.spec_ = spec;
  auto built = container.entry_.SaveConfig(config);
  if (built.ok()) built = container.AddToSpec(options, spec);
  if (built.ok()) built = container.Build(spec, options);
  if (built.ok()) built = container.entry_.Unlock();
  if (!built.ok()) {
    // The first failure is the one to tell.
    const bool killed = container.KillAndWait().ok();
    // A scope that may be another's by now waits for its deletion.
    if (killed || !container.state_.cgroup.in_scope())
      (void)container.RemoveAll();
    return std::move(built).error();
  }
  return container;
}

// What is the caller's, not the configuration's: programs that are executed
// later do not get it.
Status Container::AddToSpec(const CreateOptions& options,
                            ContainerSpec& spec) const {
  for (const std::string& entry : options.env) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(spec.process.env, [&](const std::string& other) {
      return other.starts_with(name);
    });
    spec.process.env.push_back(entry);
  }
  if (options.limit_swap) LimitSwap(spec.resources);
  if (!options.notify) return Ok();
  TRY(sys::MkDirAt(entry_.notify_directory(), 0755)
          .With(entry_.notify_directory_path()));
  AddNotifySocket(spec, entry_.notify_directory_path());
  return Ok();
}

Result<Container> Container::Open(const std::string& state_root,
                                  const std::string& id) {
  StateEntry entry = TRY(StateEntry::Look(state_root, id));
  auto state = entry.Load();
  if (state.code() == ENOENT)
    return Error(ENOENT, "container does not exist: " + id);
  if (!state.ok()) return std::move(state).error();
  return Container(state_root, std::move(entry), std::move(state).value());
}

Status Container::CheckLimits(Resources resources, const std::string& id,
                              bool limit_swap) {
  if (limit_swap) LimitSwap(resources);
  return TryLimits(resources, id);
}

// What Open has read may be out of date by now: the creation done, or another
// container in the place of the one that was meant (R11).
Result<StateEntry> Container::LockAndReload() {
  StateEntry lock = TRY(StateEntry::Lock(root_, id()));
  auto now = lock.Load();
  if (now.code() == ENOENT || (now.ok() && now->created != state_.created))
    return Error(ENOENT, "container does not exist: " + id());
  if (!now.ok()) return std::move(now).error();
  // The lock's own is given up with it.
  entry_ = TRY(StateEntry::Look(root_, id()));
  state_ = std::move(now).value();
  return lock;
}

Status Container::Build(const ContainerSpec& spec,
                        const CreateOptions& options) {
  SeccompProgram seccomp, without_listener;
  if (spec.seccomp) {
    seccomp = TRY(CompileSeccomp(*spec.seccomp));
    if (seccomp.notifies && !spec.hooks.start_container.empty())
      without_listener = TRY(CompileSeccomp(WithoutListener(*spec.seccomp)));
  }
  const SeccompProgram* const filter = spec.seccomp ? &seccomp : nullptr;
  const UniqueFd pidfd_socket = TRY(ConnectPidfdSocket(options.pidfd_socket));
  TRY(PlanCgroup(spec, options));
  const bool in_scope = state_.cgroup.in_scope();
  CgroupDoors doors;
  if (!in_scope) {
    TRY(state_.cgroup.Apply(spec.resources, SetsDevices(options)));
    doors = TRY(state_.cgroup.OpenDoors());
  }
  const UniqueFd listener =
      TRY(kernel::ListenUnix(entry_.start_socket(), SOCK_SEQPACKET)
              .With("making " + entry_.start_socket_path()));

  const InitInput input{spec,
                        state_.cgroup,
                        doors,
                        filter,
                        seccomp.notifies ? &without_listener : filter,
                        state_.bundle,
                        state_.keyring,
                        listener,
                        options.preserve_fds,
                        options.pivot};
  Launched launched = TRY(Launch(spec, doors, [&](UniqueFd channel) {
    RunInit(input, std::move(channel));
  }));
  state_.pid = launched.init.pid;
  // ESRCH: it has failed already, and says why below.
  if (const auto start = kernel::StartTimeOf(state_.pid); start.ok())
    state_.start_time = *start;
  if (in_scope) TRY(EnterScope(spec, options, launched.channel));
  RaiseHardLimits(spec.process, state_.pid);
  if (spec.process.oom_score_adj)
    TRY(SetOomScore(std::to_string(state_.pid), *spec.process.oom_score_adj));
  TRY(AwaitCreated(spec, options, launched.channel));
  TRY(entry_.Save(state_));
  TRY(WritePidFile(options.pid_file, state_.pid));
  TRY(SendPidfd(pidfd_socket, launched.init.pidfd, "standard"));
  return Say(launched.channel, Word::kGo);
}

Status Container::PlanCgroup(const ContainerSpec& spec,
                             const CreateOptions& options) {
  using enum CreateOptions::Systemd;
  if (!options.cgroups) return entry_.Save(state_);
  if (options.systemd != kNo) {
    state_.cgroup =
        TRY(Cgroup::PlanScope(spec.cgroups_path, state_.id, state_.created,
                              TRY(PropertiesIn(spec.annotations))));
    return entry_.Save(state_);
  }
  const auto layout = TRY(ReadCgroupLayout());
  state_.cgroup = TRY(Cgroup::Plan(layout, spec.cgroups_path, state_.id));
  // Known before it exists: whoever finds us dead can remove it.
  TRY(entry_.Save(state_));
  TRY(state_.cgroup.Make());
  return entry_.Save(state_);
}

Status Container::EnterScope(const ContainerSpec& spec,
                             const CreateOptions& options, BorrowedFd channel) {
  std::optional<Cgroup> otherwise;
  if (options.systemd == CreateOptions::Systemd::kIfItCan)
    otherwise = TRY(Cgroup::Plan(TRY(ReadCgroupLayout()), "", state_.id));
  TRY(state_.cgroup.MakeScope(state_.pid, spec.resources,
                              std::move(otherwise)));
  TRY(entry_.Save(state_));
  TRY(state_.cgroup.Apply(spec.resources, SetsDevices(options)));
  return Say(channel, Word::kGo, state_.cgroup.Save().dump());
}

Status Container::AwaitCreated(const ContainerSpec& spec,
                               const CreateOptions& options,
                               BorrowedFd channel) {
  while (true) {
    auto said = Listen(channel);
    if (said.code() == EPIPE) {
      // Killed before it could say anything: what else but memory?
      const bool oom = state_.cgroup.OomKills() > 0;
      return Error(ECHILD,
                   oom ? "container init was killed for want of memory: "
                         "linux.resources.memory.limit is too low to start"
                       : "container init ended without a word");
    }
    const Said word = TRY(std::move(said));
    switch (word.word) {
      case Word::kReady:
        return Ok();
      case Word::kMapMount:
        TRY(MapMount(spec, state_.pid, word.text, word.fd));
        TRY(Say(channel, Word::kGo));
        break;
      case Word::kOpen: {
        const auto opened =
            OpenHostPath(spec, state_.bundle, state_.pid, word.text);
        if (opened.ok()) {
          TRY(Say(channel, Word::kGo, "", opened->get()));
        } else {
          SayError(channel, opened.error());
        }
        break;
      }
      case Word::kTerminal:
        if (options.console_socket.empty()) {
          terminal_ = TRY(kernel::Duplicate(word.fd));
        } else {
          TRY(SendTerminal(options.console_socket, word.fd));
        }
        break;
      case Word::kMounted: {
        // Not created before they have ended, as the specification has it.
        const std::string state = StateJson(RunState::kCreating);
        TRY(RunHooks("prestart", spec.hooks.prestart, state, options.bundle));
        TRY(RunHooks("createRuntime", spec.hooks.create_runtime, state,
                     options.bundle));
        const UniqueFd file = TRY(MakeStateFile(state));
        TRY(Say(channel, Word::kGo, "", file.get()));
        break;
      }
      default:
        return Error(EPROTO, "container init said something unexpected");
    }
  }
}

bool Container::IsAlive() const {
  if (state_.pid <= 0) return false;
  const auto start = kernel::StartTimeOf(state_.pid);
  return start.ok() && *start == state_.start_time;
}

Result<RunState> Container::Status() const {
  if (state_.pid == 0) return RunState::kCreating;
  if (!IsAlive()) return RunState::kStopped;
  // One that was not started yet can be frozen, too.
  if (TRY(state_.cgroup.IsFrozen())) return RunState::kPaused;
  return entry_.HasStartSocket() ? RunState::kCreated : RunState::kRunning;
}

Result<ContainerSpec> Container::Spec() const {
  if (spec_) return *spec_;
  const std::string text = TRY(entry_.ReadConfig());
  return ParseConfig(text);
}

Status Container::HandNotifier(const Seccomp& seccomp, BorrowedFd channel,
                               pid_t pid, int number, RunState state) {
  const UniqueFd process = TRY(kernel::PidfdOpen(pid));
  const UniqueFd listener = TRY(
      kernel::PidfdGetFd(process, number).With("taking the seccomp listener"));
  const std::string message =
      "{\"ociVersion\":\"" + std::string(kOciVersion) +
      "\",\"fds\":[\"seccompFd\"],\"pid\":" + std::to_string(pid) +
      ",\"metadata\":" + QuoteJson(seccomp.listener_metadata) +
      ",\"state\":" + StateJson(state) + "}";
  const std::string what =
      "linux.seccomp.listenerPath " + seccomp.listener_path;
  const UniqueFd agent =
      TRY(kernel::ConnectUnix(seccomp.listener_path, SOCK_STREAM).With(what));
  TRY(kernel::SendMessage(agent, message, listener.get()).With(what));
  const char go = static_cast<char>(Word::kGo);
  return kernel::WriteOnce(channel, {&go, 1});
}

Status Container::Start() {
  const StateEntry lock = TRY(LockAndReload());
  switch (TRY(Status())) {
    case RunState::kCreated:
      break;
    case RunState::kStopped:
      return Error(EINVAL, "cannot start a container that has stopped");
    case RunState::kCreating:
      return Error(EINVAL, "cannot start a container that is being created");
    case RunState::kPaused:
      return Error(EINVAL, "cannot start a container that is paused");
    case RunState::kRunning:
      return Error(EINVAL, "cannot start an already running container");
  }
  const ContainerSpec spec = TRY(Spec());
  const UniqueFd starter =
      TRY(kernel::ConnectUnix(entry_.start_socket_path(), SOCK_SEQPACKET)
              .With("reaching container init"));
  TRY(sys::UnlinkAt(entry_.start_socket()));
  while (true) {
    auto said = Listen(starter);
    // Closed by execve, or by the death of init.
    if (said.code() == EPIPE) break;
    const Said word = TRY(std::move(said));
    if (word.word != Word::kNotify || !spec.seccomp)
      return Error(EPROTO, "container init said something unexpected");
    TRY(HandNotifier(*spec.seccomp, starter, state_.pid,
                     std::atoi(word.text.c_str()), RunState::kCreated));
  }
  const auto hooks = RunHooks("poststart", spec.hooks.poststart,
                              TRY(StateJson()), state_.bundle);
  // The specification's lifecycle goes on with its end.
  if (!hooks.ok()) (void)Destroy();
  return hooks;
}

Result<NotifySocket> Container::BindNotifySocket() const {
  const UniqueFd directory =
      TRY(sys::OpenAt(entry_.notify_directory(), O_RDONLY | O_DIRECTORY));
  return NotifySocket::Bind(directory);
}

Status Container::Kill(int signal, bool all) {
  bool with_init = false;
  if (signal == SIGKILL && !all) {
    const auto spec = Spec();
    if (spec.code() == ENOENT)  // deleted meanwhile
      return Error(ESRCH, "container not running");
    // Without a new pid namespace what it has started does not end with it.
    with_init = !TRY(spec).HasNew(NamespaceType::kPid);
  }
  all |= with_init;
  if (all) TRY(state_.cgroup.LeaveToOther());
  if (with_init && !IsAlive() && TRY(state_.cgroup.Pids()).empty())
    return Error(ESRCH, "container not running");
  if (all && !state_.cgroup.empty()) return state_.cgroup.KillAll(signal);
  const UniqueFd pidfd = [&] {
    auto fd = kernel::PidfdOpen(state_.pid);
    return fd.ok() ? std::move(fd).value() : UniqueFd();
  }();
  // Opened first, then checked: the number may be somebody else's by now.
  if (!pidfd.valid() || !IsAlive())
    return Error(ESRCH, "container not running");
  TRY(kernel::PidfdSignal(pidfd, signal).With("signalling the container"));
  // A frozen process would die only once thawed.
  return signal == SIGKILL ? state_.cgroup.ThawForKill() : Ok();
}

Status Container::Pause() {
  const RunState now = TRY(Status());
  if (now != RunState::kRunning && now != RunState::kCreated)
    return Error(EINVAL,
                 std::string("container not running, but ") + NameOf(now));
  return state_.cgroup.Freeze();
}

Status Container::Resume() {
  if (TRY(Status()) != RunState::kPaused)
    return Error(EINVAL, "container not paused");
  return state_.cgroup.Thaw();
}

Status Container::Update(Resources resources, bool limit_swap) {
  if (limit_swap) LimitSwap(resources);
  const StateEntry lock = TRY(LockAndReload());
  if (TRY(Status()) == RunState::kStopped)
    return Error(EINVAL, "container not running");
  return state_.cgroup.Update(resources);
}

Status Container::KillAndWait() {
  // Init is ours in any case.
  ufs::Status ours = state_.cgroup.LeaveToOther();
  if (ours.ok() && !state_.cgroup.empty()) (void)state_.cgroup.KillAll(SIGKILL);
  const auto pidfd = kernel::PidfdOpen(state_.pid > 0 ? state_.pid : -1);
  if (!pidfd.ok() || !IsAlive()) return ours;
  (void)kernel::PidfdSignal(*pidfd, SIGKILL);
  for (int waited_ms = 0; waited_ms < kKillPatienceMs;
       waited_ms += kThawAgainMs) {
    if (kernel::WaitForExit(*pidfd, kThawAgainMs)) return ours;
    // From inside it may have been frozen again before it died.
    if (ours.ok()) TRY(state_.cgroup.ThawForKill());
  }
  return Error(EBUSY, "container init does not end");
}

Status Container::RemoveAll() {
  // What was in the pid namespace is gone with init; what was not, is not.
  TRY(state_.cgroup.Remove());
  return entry_.Remove();
}

Status Container::Delete(bool force) {
  const StateEntry lock = TRY(LockAndReload());
  const RunState now = TRY(Status());
  if (now != RunState::kStopped && now != RunState::kCreating && !force)
    return Error(EBUSY, "cannot delete container " + id() +
                            " that is not stopped: " + NameOf(now));
  return Destroy();
}

Status Container::Destroy() {
  TRY(KillAndWait());
  const auto spec = Spec();
  const auto state = StateJson();
  TRY(RemoveAll());
  // The container is gone whatever they do.
  if (spec.ok() && state.ok())
    RunEveryHook("poststop", spec->hooks.poststop, *state, state_.bundle);
  return Ok();
}

Result<int> Container::Wait() const {
  return kernel::ExitCodeOf(TRY(kernel::WaitPid(state_.pid)));
}

Result<std::string> Container::StateJson() const {
  return StateJson(TRY(Status()));
}

std::string Container::StateJson(RunState now) const {
  return FormatState(state_, kOciVersion, NameOf(now),
                     now == RunState::kStopped ? 0 : state_.pid);
}

}  // namespace ufs::runtime
