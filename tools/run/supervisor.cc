#include "tools/run/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>

#include "layerdb/base/syscall.h"
#include "runtime/container.h"
#include "runtime/names.h"
#include "runtime/namespaces.h"
#include "runtime/privileges.h"
#include "runtime/rooted_path.h"
#include "runtime/systemd_scope.h"
#include "tools/command.h"
#include "tools/mount_union.h"
#include "tools/run/exit_code.h"
#include "tools/run/health_monitor.h"
#include "tools/run/host_gateway.h"
#include "tools/run/limit_options.h"
#include "tools/run/network.h"
#include "tools/run/network_files.h"
#include "tools/run/option_words.h"
#include "tools/run/record.h"
#include "tools/run/saved_config.h"
#include "tools/run/streams.h"
#include "tools/run/udp_forwarder.h"
#include "tools/run/volume_store.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;
namespace stdfs = std::filesystem;

// How long the daemon may take to end by itself. It takes longer where somebody
// else is in the container's mount namespace (nsenter(1), a profiler), who has
// the union mounted for as long as he likes; then it is asked to.
constexpr int kDaemonEndMs = 1'000;
// How long it may write what it holds then.
constexpr int kDaemonPatienceMs = 60'000;

constexpr char kUnionLost[] = "the daemon of its file system was killed";

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP})
    sigaddset(&set, number);
  return set;
}

class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;

  Supervisor(const SupervisorInput& input, UniqueFd channel)
      : input_(input),
        options_(input.options),
        directory_(RecordPath(input.containers, input.options.name)),
        channel_(std::move(channel)),
        health_(input.options.health_check, directory_ + "/oci",
                input.options.name),
        clock_(input.options.restart) {}

  // Until the container has ended, or could not be started, and is cleaned up.
  void Run() {
    const auto started = Start();
    if (started.ok()) {
      Tell(AttachWord::kStarted, options_.name);
      Attend();
      CleanUp();
      TellEnd();
    } else {
      const Error& error = started.error();
      const std::string message =
          std::to_string(ExitCodeFor(error)) + " " +
          (SaidByUnion(error) ? "" : Explain(InOptionWords(error)));
      record_.remove = true;
      CleanUp();
      Tell(AttachWord::kFailed, message);
    }
    if (streams_) streams_->Flush();
  }

 private:
  // --- the steps up to a container that runs ---------------------------------

  Status Start() {
    TRY(PrepareProcess());
    TRY(MakeRecord());
    TRY(MountTheUnion());
    TRY(NotePlaces());
    TRY(PrepareVolumes());
    TRY(RelabelMounts());
    TRY(ConnectPrivateNetwork());
    streams_.emplace(TRY(ContainerLog::Create(directory_)));
    if (options_.detach) streams_->KeepInput();
    streams_->OnSignal(
        [this](AttachWord word, int number) { Obey(word, number); });
    TRY(CreateContainer());
    streams_->AddClient(std::move(channel_), /*watches=*/!options_.detach);
    TRY(Listen());
    return StartContainer();
  }

  Status StartContainer() {
    record_.started = runtime::NowRfc3339();
    if (record_.health_check.wanted()) record_.health = Health();
    TRY(SaveRecord(input_.containers, record_));
    started_ = Clock::now();
    TRY(container_->Start());
    health_.Begin();
    return Ok();
  }

  Status PrepareProcess() {
    if (!input_.maps.uids.empty()) TRY(runtime::BecomeRoot());
    setsid();
    signal(SIGPIPE, SIG_IGN);
    const sigset_t set = WatchedSignals();
    TRY(kernel::Check(sigprocmask(SIG_BLOCK, &set, nullptr)));
    const int raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    TRY(kernel::Check(raw));
    signals_.reset(raw);
    // Mounts of the host come in, none of ours goes out.
    return kernel::SetPropagation("/", MS_SLAVE, /*recursive=*/true)
        .With("making the mounts private");
  }

  Status MakeRecord() {
    record_.name = options_.name;
    record_.layers = options_.layers;
    record_.parts = input_.parts;
    record_.store = input_.store;
    record_.command = TRY(CommandOf(options_, input_.image));
    record_.labels = options_.labels;
    // Those that were given count.
    record_.labels.insert(input_.image.labels.begin(),
                          input_.image.labels.end());
    record_.created = runtime::NowRfc3339();
    record_.upper = options_.upper.empty()
                        ? directory_ + "/upper"
                        : stdfs::absolute(options_.upper).string();
    for (const RequestedMount& requested : options_.mounts) {
      const std::string& name = requested.volume;
      if (name.empty() ||
          std::find(record_.volumes.begin(), record_.volumes.end(), name) !=
              record_.volumes.end())
        continue;
      record_.volumes.push_back(name);
      if (requested.anonymous) record_.anonymous_volumes.push_back(name);
    }
    record_.network = NameOf(options_.network);
    for (const PublishedPort& port : options_.ports)
      record_.ports.push_back(port.ToString());
    record_.remove = options_.remove || (!options_.keep && !options_.detach);
    record_.terminal = options_.terminal;
    record_.stop_signal = StopSignal();
    record_.stop_timeout = options_.stop_timeout;
    record_.restart = options_.restart;
    record_.health_check = options_.health_check;
    record_.supervisor = getpid();
    record_.supervisor_start = TRY(kernel::StartTimeOf(getpid()));
    record_.uids = input_.maps.uids;
    record_.gids = input_.maps.gids;
    TRY(CreateRecord(input_.containers, record_));
    has_record_ = true;
    return Ok();
  }

  int StopSignal() const {
    if (options_.stop_signal != 0) return options_.stop_signal;
    return runtime::ParseSignal(input_.image.stop_signal).value_or(SIGTERM);
  }

  Status MountTheUnion() {
    MountRequest request;
    request.who = "ufs run";
    request.failure_code = kExitNotStarted;
    request.store = input_.store;
    request.options.config.layers = input_.parts;
    request.options.config.upper = record_.upper;
    if (options_.upper.empty())
      request.options.config.work = directory_ + "/work";
    request.make_upper = request.make_work = true;
    // With one id there is one owner; files of others could not be changed.
    if (!input_.maps.fallback_reason.empty())
      request.options.config.squash_uid = request.options.config.squash_gid = 0;
    request.options.mount.mountpoint = Root();
    // In a user namespace it has that which the policy has for FUSE.
    if (!options_.selinux.mount.empty() && runtime::InInitialUserNamespace())
      request.options.mount.mount_options.push_back(
          "context=\"" + options_.selinux.mount + "\"");
    daemon_ = TRY(StartUnion(std::move(request)));
    return Ok();
  }

  // What the container's changes are not: 'ufs commit' leaves out those that
  // the layers do not have, and that are as the runtime makes them. What is
  // there already may be the layers', or what another container left in the
  // upper.
  Status NotePlaces() {
    const UniqueFd root =
        TRY(sys::Open(Root().c_str(), O_PATH | O_DIRECTORY).With(Root()));
    std::vector<std::string> wanted = {"/dev", "/proc", "/sys"};
    for (const std::string& name : NetworkFiles(options_))
      wanted.push_back("/etc/" + name);
    std::vector<std::string>& places = record_.places;
    for (const std::string& path : wanted)
      for (std::string& step : runtime::StepsInRoot(root, path))
        if (std::find(places.begin(), places.end(), step) == places.end())
          places.push_back(std::move(step));
    return Ok();
  }

  Status PrepareVolumes() {
    if (record_.volumes.empty()) return Ok();
    const UniqueFd tree =
        TRY(sys::Open(Root().c_str(), O_PATH | O_DIRECTORY).With(Root()));
    for (const RequestedMount& requested : options_.mounts)
      if (!requested.volume.empty())
        TRY(UseVolume(input_.volumes, requested, tree, options_.selinux.mount));
    return Ok();
  }

  Status RelabelMounts() {
    using enum RequestedMount::Relabel;
    for (const RequestedMount& requested : options_.mounts)
      if (requested.relabel != kNo)
        TRY(Relabel(requested.mount.source, options_.selinux.mount,
                    /*shared=*/requested.relabel == kShared));
    return Ok();
  }

  Status ConnectPrivateNetwork() {
    if (!IsPrivate(options_.network)) return Ok();
    if (!network_.valid()) network_ = TRY(MakeNetwork());
    if (network_helper_.pid <= 0)
      network_helper_ =
          TRY(ConnectNetwork(options_.network, network_, options_.ports,
                             directory_, WantsHostGateway(options_)));
    const auto is_udp = [](const PublishedPort& port) { return port.udp; };
    if (udp_forwarder_.pid <= 0 &&
        std::any_of(options_.ports.begin(), options_.ports.end(), is_udp))
      udp_forwarder_ = TRY(ForwardUdp(network_, options_.ports));
    return Ok();
  }

  Status CreateContainer() {
    const std::string network =
        network_.valid() ? "/proc/self/fd/" + std::to_string(network_.get())
                         : "";
    RunOptions options = options_;
    TRY(AddUpdates(directory_, options.resources));
    const std::string config =
        TRY(MakeRunConfig(options, input_.image, directory_, Root(), network));
    TRY(SaveConfig(directory_, config));
    UniqueFd input, output, errors;
    TRY(TakeStreams(input, output, errors));
    runtime::CreateOptions create;
    create.bundle = directory_;
    create.limit_swap = true;
    // What a user's session is in gives no limits, its manager does.
    if (runtime::HasUserManager())
      create.systemd = runtime::CreateOptions::Systemd::kIfItCan;
    container_ = TRY(runtime::Container::Create(directory_ + "/oci",
                                                options_.name, config, create));
    TRY(CloseStreams());
    if (options_.terminal) {
      output = container_->TakeTerminal();
      input = TRY(kernel::Duplicate(output));
    }
    return streams_->Connect(std::move(input), std::move(output),
                             std::move(errors), options_.terminal);
  }

  // Makes our standard streams those of the container; our ends of them.
  Status TakeStreams(UniqueFd& input, UniqueFd& output, UniqueFd& errors) {
    TRY(CloseStreams());
    if (options_.terminal) return Ok();
    if (options_.interactive) {
      auto pipe = TRY(kernel::MakePipe());
      TRY(kernel::DuplicateTo(pipe.read, STDIN_FILENO));
      input = std::move(pipe.write);
    }
    auto out = TRY(kernel::MakePipe());
    auto err = TRY(kernel::MakePipe());
    TRY(kernel::DuplicateTo(out.write, STDOUT_FILENO));
    TRY(kernel::DuplicateTo(err.write, STDERR_FILENO));
    output = std::move(out.read);
    errors = std::move(err.read);
    return Ok();
  }

  Status CloseStreams() {
    const UniqueFd null = TRY(sys::Open("/dev/null", O_RDWR));
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      TRY(kernel::DuplicateTo(null, fd));
    return Ok();
  }

  Status Listen() {
    const UniqueFd dir =
        TRY(sys::Open(directory_.c_str(), O_PATH | O_DIRECTORY));
    listener_ = TRY(kernel::ListenUnix({dir, "attach"}, SOCK_SEQPACKET)
                        .With(directory_ + "/attach"));
    return kernel::SetNonBlocking(listener_);
  }

  // --- while it runs

  // Until it has ended for good.
  void Attend() {
    while (true) {
      while (!ended_) Watch(/*timeout_ms=*/-1);
      const auto delay = NextDelay();
      if (is_last_ || !delay) return;
      auto again = EndOnce();
      if (again.ok() && !Rest(*delay)) return;
      again_ = false;
      if (again.ok()) again = StartAgain();
      if (again.ok()) continue;
      record_.error = "restarting it: " + Explain(InOptionWords(again.error()));
      record_.exit_code = ExitCodeFor(again.error());
      return;
    }
  }

  // Nullopt when it is not to be started again.
  std::optional<RestartClock::Duration> NextDelay() {
    if (again_) return RestartClock::Duration::zero();
    return clock_.Next(record_.exit_code,
                       std::chrono::duration_cast<RestartClock::Duration>(
                           Clock::now() - started_));
  }

  // One round of what there is to do; false when there was nothing in time.
  bool Watch(int timeout_ms) {
    std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0},
                               {listener_.get(), POLLIN, 0},
                               {health_.fd(), POLLIN, 0}};
    streams_->Prepare(fds);
    const int patience_ms = health_.PatienceMs();
    const bool for_health =
        patience_ms >= 0 && (timeout_ms < 0 || patience_ms < timeout_ms);
    const int found =
        poll(fds.data(), fds.size(), for_health ? patience_ms : timeout_ms);
    if (found > 0) {
      streams_->Handle(fds.data() + 3);
      if (fds[1].revents != 0) Welcome();
      if (fds[0].revents != 0) HandleSignals();
    }
    if (!ended_) AskForHealth();
    return found != 0 || for_health;
  }

  void AskForHealth() {
    const auto is_paused = [this] {
      const auto now = container_->Status();
      return now.ok() && *now == runtime::RunState::kPaused;
    };
    // What cannot be written, on a full disk, is heard of the next time.
    if (container_ && record_.health && health_.Act(is_paused, *record_.health))
      (void)SaveRecord(input_.containers, record_);
  }

  // What one run of several leaves.
  Status EndOnce() {
    health_.End();
    streams_->Drain();
    record_.out_of_memory = container_->cgroup().OomKills() > 0;
    TRY(container_->Delete(/*force=*/true));
    container_.reset();
    record_.restarting = true;
    record_.finished = runtime::NowRfc3339();
    return SaveRecord(input_.containers, record_);
  }

  // Waits before the next run; false when there shall be none. What was said to
  // us before the end of the last is heard, however late it is.
  bool Rest(RestartClock::Duration delay) {
    const auto end = Clock::now() + delay;
    while (!is_last_) {
      if (again_) return true;
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      const int timeout_ms =
          static_cast<int>(std::max<int64_t>(left.count(), 0));
      if (!Watch(timeout_ms) && timeout_ms == 0) return true;
    }
    return false;
  }

  // Over the same upper, in the same network.
  Status StartAgain() {
    if (daemon_.pid <= 0) TRY(MountTheUnion().With("mounting the union"));
    TRY(ConnectPrivateNetwork());
    ended_ = false;
    TRY(CreateContainer());
    record_.restarts = clock_.restarts();
    record_.restarting = record_.out_of_memory = false;
    record_.exit_code = 0;
    record_.finished.clear();
    record_.error.clear();
    return StartContainer();
  }

  void Welcome() {
    while (true) {
      auto client = kernel::Accept(listener_);
      if (!client.ok()) return;
      streams_->AddClient(std::move(client).value(), /*watches=*/false);
    }
  }

  void HandleSignals() {
    signalfd_siginfo info;
    while (kernel::Read(signals_, reinterpret_cast<char*>(&info), sizeof(info))
               .ok())
      if (info.ssi_signo != SIGCHLD) (void)Signal(SIGTERM);
    while (true) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      if (container_ && pid == container_->state().pid) {
        // Without its root it was to end in no way of its own.
        record_.exit_code =
            daemon_.pid > 0 ? kernel::ExitCodeOf(status) : kExitNotStarted;
        ended_ = true;
      } else if (pid == daemon_.pid) {
        LoseUnion();
      } else if (pid == network_helper_.pid) {
        network_helper_ = kernel::Child();
      } else if (pid == udp_forwarder_.pid) {
        udp_forwarder_ = kernel::Child();
      }
    }
  }

  void Obey(AttachWord word, int number) {
    if (word == AttachWord::kStop) {
      is_stopped_ = is_last_ = true;
      again_ = false;
    } else if (word == AttachWord::kRestart) {
      // Who stops it waits for its end.
      if (is_stopped_) return;
      is_last_ = false;
      again_ = true;
      if (container_) (void)container_->Kill(number, /*all=*/false);
      return;
    }
    (void)Signal(number);
  }

  Status Signal(int number) {
    for (const int end : {SIGTERM, SIGINT, SIGQUIT, SIGKILL})
      is_last_ |= number == end || number == record_.stop_signal;
    if (!container_) return Ok();
    return container_->Kill(number, /*all=*/false);
  }

  // A container without its root can do nothing but hang.
  void LoseUnion() {
    daemon_ = kernel::Child();
    record_.error = kUnionLost;
    record_.exit_code = kExitNotStarted;
    // Whoever waits for an answer gets an error, and can be ended.
    (void)kernel::Unmount(Root().c_str(), MNT_FORCE | MNT_DETACH);
    if (container_) (void)container_->Kill(SIGKILL, /*all=*/false);
  }

  // --- the end

  void CleanUp() {
    health_.End();
    if (streams_) streams_->Drain();
    // Its daemon ends while the rest is cleaned up.
    if (daemon_.pid > 0) (void)kernel::Unmount(Root().c_str(), MNT_DETACH);
    if (container_) {
      record_.out_of_memory = container_->cgroup().OomKills() > 0;
      // What is left is found by the next command.
      (void)container_->Delete(/*force=*/true);
    }
    for (const kernel::Child* helper : {&network_helper_, &udp_forwarder_}) {
      if (helper->pid <= 0) continue;
      (void)kernel::PidfdSignal(helper->pidfd, SIGKILL);
      (void)kernel::WaitPid(helper->pid);
    }
    EndUnion();
    if (!has_record_) return;
    record_.ended = true;
    record_.restarting = false;
    record_.finished = runtime::NowRfc3339();
    if (!record_.remove || !Remove().ok())
      (void)SaveRecord(input_.containers, record_);
    // Who finds nobody to talk to finds in the record that it has ended.
    if (!listener_.valid()) return;
    Welcome();
    listener_.reset();
    (void)sys::UnlinkAt({AT_FDCWD, (directory_ + "/attach").c_str()});
  }

  Status Remove() {
    TRY(RemoveAnonymousVolumes(input_.volumes, input_.containers, record_));
    return RemoveRecord(input_.containers, Unmapped());
  }

  // As seen from inside the user namespace, where we are already.
  RunRecord Unmapped() const {
    RunRecord record = record_;
    record.uids.clear();
    record.gids.clear();
    return record;
  }

  // It is unmounted.
  void EndUnion() {
    if (daemon_.pid <= 0) return;
    const bool by_itself = kernel::WaitForExit(daemon_.pidfd, kDaemonEndMs);
    if (!by_itself) {
      (void)kernel::PidfdSignal(daemon_.pidfd, SIGTERM);
      if (!kernel::WaitForExit(daemon_.pidfd, kDaemonPatienceMs))
        (void)kernel::PidfdSignal(daemon_.pidfd, SIGKILL);
    }
    const auto status = kernel::WaitPid(daemon_.pid);
    // The container may have failed by what was lost, and ended, before the
    // daemon was all gone.
    if (by_itself && status.ok() && *status != 0) {
      record_.error = kUnionLost;
      record_.exit_code = kExitNotStarted;
    }
    daemon_ = kernel::Child();
  }

  void TellEnd() {
    const std::string code = std::to_string(record_.exit_code);
    if (record_.error.empty()) return Tell(AttachWord::kEnded, code);
    Tell(AttachWord::kFailed,
         code + " " + options_.name + ": " + record_.error);
  }

  void Tell(AttachWord word, std::string_view text) {
    if (streams_ && !channel_.valid()) return streams_->Tell(word, text);
    std::string message(1, static_cast<char>(word));
    message += text;
    (void)kernel::SendMessage(channel_, message);
  }

  std::string Root() const { return directory_ + "/root"; }

  const SupervisorInput& input_;
  const RunOptions& options_;
  const std::string directory_;
  UniqueFd channel_;  // until it is one of the clients
  UniqueFd signals_, listener_;
  RunRecord record_;
  bool has_record_ = false;
  UniqueFd network_;  // a namespace
  kernel::Child daemon_, network_helper_, udp_forwarder_;
  std::optional<runtime::Container> container_;
  std::optional<Streams> streams_;
  HealthMonitor health_;
  bool ended_ = false;       // this run of it
  bool is_last_ = false;     // there shall be no other
  bool is_stopped_ = false;  // as somebody has said, who waits for its end
  bool again_ = false;       // there shall be another at once
  RestartClock clock_;
  Clock::time_point started_;
};

}  // namespace

Result<runtime::Launched> LaunchApart(
    const runtime::IdMaps& maps, const std::function<void(UniqueFd)>& body) {
  runtime::ContainerSpec spec;
  spec.namespaces = {{runtime::NamespaceType::kMount, ""}};
  if (!maps.uids.empty()) {
    spec.namespaces.push_back({runtime::NamespaceType::kUser, ""});
    spec.uid_mappings = maps.uids;
    spec.gid_mappings = maps.gids;
  }
  runtime::CgroupDoors none;  // it stays in its maker's
  return runtime::Launch(spec, none, body);
}

Result<runtime::Launched> StartSupervisor(const SupervisorInput& input) {
  return LaunchApart(input.maps, [&](UniqueFd channel) {
    Supervisor(input, std::move(channel)).Run();
    _exit(0);
  });
}

}  // namespace ufs
