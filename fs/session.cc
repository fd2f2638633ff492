#include "fs/session.h"

#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "fs/backing_device.h"
#include "fs/completer.h"
#include "fs/control.h"
#include "fs/fuse_adapter.h"
#include "fs/fuse_mount.h"
#include "fs/fuse_reader.h"
#include "fs/metrics.h"
#include "fs/notifier.h"
#include "fs/passthrough.h"
#include "fs/start_tracer.h"
#include "fs/status_report.h"
#include "fs/transport.h"
#include "fs/worker_pool.h"
#include "layerdb/base/log.h"

namespace ufs {
namespace {

// fsync and copying wait for the disk more than they compute.
constexpr size_t kWorkers = 8;
constexpr size_t kMaxQueuedTasks = 1024;

// After a lazy unmount, for those who still have files open.
constexpr int kBusyGraceMs = 2000;

// How long what came up in parts may be lost to a power cut, if nobody asked
// for more. As long as an ordinary file system's. And how long memory stays
// that is no longer needed.
constexpr int kHouseKeepingMs = 5000;

// Measured for files that the host has in memory: 1.1 GB/s with the kernel's
// 128 KiB, 1.6 to 1.8 with this, no more with 2 MiB.
constexpr unsigned kReadAheadKib = 1024;

// How long what is under way may keep others waiting before the mount stands
// still, and how long it does.
constexpr auto kDrainPatience = std::chrono::seconds(2);
constexpr auto kHoldLimit = std::chrono::seconds(30);
// What may have to come up while it does.
constexpr uint64_t kMostWhileHeldBytes = 64 << 20;

constexpr char kIoUring[] = "io_uring";
// Which libfuse's rings count, and wait for themselves if it is in the mount.
constexpr char kCpus[] = "/sys/devices/system/cpu";
constexpr char kDataPath[] = "page cache, opens without a message";
constexpr char kKeepsWrites[] = "; the kernel keeps writes for a while";
constexpr char kPassthrough[] =
    "passthrough for files of the upper, page cache for those of layers";
constexpr char kNotAskedFor[] =
    "passthrough costs a message for each open, and was not asked for";

// Blocks the signals that end a session, for this thread and all that it
// starts, and makes them readable. For good: a second one shall not end the
// process while it writes what it holds.
class EndSignals {
 public:
  static Result<EndSignals> Block() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
    if (const int code = pthread_sigmask(SIG_BLOCK, &set, nullptr))
      return Error(code, "blocking signals");
    UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.valid()) return Error(errno, "signalfd");
    return EndSignals(std::move(fd));
  }

  int fd() const { return fd_.get(); }
  void Take() {
    signalfd_siginfo info;
    while (read(fd_.get(), &info, sizeof(info)) > 0) {
    }
  }

 private:
  explicit EndSignals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

void PrepareProcess() {
  umask(0);  // the kernel sends the caller's umask with each request
  signal(SIGPIPE, SIG_IGN);
  // A descriptor for each file in use; as many as may be had.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
      log::Info("the limit on open files stays as it is");
  }
}

// malloc_trim leaves the end of each thread's heap alone: only a free that
// joins it gives it back, if it is long enough.
void KeepHeapsShort() {
  // malloc's default. Set, it stays: else the first large table that goes
  // raises it.
  constexpr int kTrimThresholdBytes = 128 << 10;
  mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
  // Small pieces would be kept on lists, and join too late.
  mallopt(M_MXFAST, 0);
}

// A start goes once through megabytes of the program that serving needs no
// more. They are the host's pages, and stay there for who does; only what a
// debugger wrote into them would go.
void LetGoOfProgram() {
  static const auto page_bytes = static_cast<ElfW(Addr)>(sysconf(_SC_PAGESIZE));
  dl_iterate_phdr(
      [](dl_phdr_info* program, size_t, void*) {
        for (size_t i = 0; i < program->dlpi_phnum; ++i) {
          const auto& part = program->dlpi_phdr[i];
          if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
          const auto start = program->dlpi_addr + part.p_vaddr;
          const auto page = start & ~(page_bytes - 1);
          madvise(reinterpret_cast<void*>(page), start + part.p_memsz - page,
                  MADV_DONTNEED);
        }
        return 1;  // the first is the program itself
      },
      nullptr);
}

// The kernel has either this or its keeping of writes.
bool MayPassThrough(const MountConfig& config) {
  return config.passthrough != Passthrough::kOff && !config.writeback &&
         !config.read_only;
}

bool Hides(const std::string& mountpoint, const std::string& file) {
  return mountpoint == "/" || file == mountpoint ||
         file.starts_with(mountpoint + "/");
}

// Of what the session and the log open before a mount answers.
bool HidesOurFiles(const std::string& mountpoint) {
  for (const std::string& file :
       {ControlSocketPath(0), std::string("/run"), std::string("/dev/log"),
        std::string("/proc/self"), std::string("/sys/module/fuse"),
        std::string(kCpus)})
    if (Hides(mountpoint, file)) return true;
  return false;
}

class Session {
 public:
  Session(const MountConfig& config, UnionFs& fs)
      : config_(config),
        fs_(fs),
        pool_(kWorkers, kMaxQueuedTasks),
        adapter_(fs, metrics_, pool_,
                 {.cache_timeout = config.cache_timeout,
                  .acl = config.acl,
                  .writeback = config.writeback && !config.read_only,
                  .passthrough = MayPassThrough(config),
                  .debug = config.debug}) {}
  ~Session() { End(); }

  // Whoever asks for something then waits for GoLive.
  Status Mount();
  void StartControl();
  // Whether who mounts has to wait until the mount answers: where a choice may
  // turn out to be an error, and where we would wait for ourselves.
  bool MustAnswerFirst() const {
    return config_.transport == Transport::kIoUring ||
           config_.passthrough == Passthrough::kOn ||
           HidesOurFiles(config_.mountpoint);
  }
  // An error if the transport that was asked for cannot be had.
  Status ChooseTransport();
  // Returns when the mount answers, or is gone; or with the reason why it never
  // will. The transport is chosen.
  Status GoLive();
  bool mounted() const { return mounted_; }
  // Returns when the mount is gone.
  void WaitForEnd(EndSignals& signals);
  // What is to be done once whoever mounts was told that it is done: each
  // thread takes longer to start than a request. Who needs one waits for it.
  Status AfterReady();
  // After WaitForEnd: nothing of this calls the union any more, or fails for
  // want of it. What is left, threads that wait for nothing and the memory of
  // rings, goes with the process, sooner than one thread can join another.
  // False where a request takes long: the session must end by itself.
  bool LeaveToExit();

 private:
  Status MakeSession();
  Status SettleTransport(bool rings_run);
  Status SettleDataPath();
  Status StartPassthrough();
  void TunePages();
  Status StartThreads();
  Status Hold();
  void KeepHouse();
  void Unmount();
  void EndHelpers();
  void End();

  // Waits for what the readers say or a signal. False: nothing in `timeout_ms`.
  bool WaitForReaders(int timeout_ms) { return readers_->Wait(timeout_ms); }

  const MountConfig& config_;
  UnionFs& fs_;
  Metrics metrics_;
  WorkerPool pool_;
  FuseAdapter adapter_;
  unsigned rings_ = 0;  // of io_uring, if that is the transport
  SessionFacts facts_;

  UniqueFd fuse_;  // the device, until the session has it
  fuse_session* session_ = nullptr;
  bool mounted_ = false;
  dev_t device_ = 0;
  std::unique_ptr<KernelBackingFiles> backing_files_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<Notifier> dropper_;
  std::unique_ptr<FuseReaders> readers_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<Completer> completer_;
  std::unique_ptr<StartTracer> tracer_;
  TraceRecorder recorder_;  // for who asks
};

Status Session::ChooseTransport() {
  facts_.transport = "classic";
  if (config_.transport == Transport::kClassic) {
    facts_.transport_reason = "the classic transport was asked for";
    return Ok();
  }
  const Result<unsigned> probe =
      Hides(config_.mountpoint, kCpus)
          ? Error(EOPNOTSUPP, std::string("the mount would hide ") + kCpus)
          : ProbeIoUring();
  if (probe.ok()) {
    rings_ = *probe;
    return Ok();
  }
  facts_.transport_reason = std::string(probe.error().context());
  if (config_.transport == Transport::kIoUring)
    return Error(probe.code(),
                 "transport=io_uring: " + facts_.transport_reason);
  return Ok();
}

Status Session::MakeSession() {
  std::string options =
      "io_uring,io_uring_q_depth=" + std::to_string(RingDepth(rings_));
  std::string words[] = {"ufs", "-o", options};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data()};
  fuse_args args = FUSE_ARGS_INIT(rings_ > 0 ? 3 : 1, argv);
  fuse_lowlevel_ops operations = FuseAdapter::Operations();
  if (!config_.xattrs) {  // libfuse answers ENOSYS, and the kernel asks no more
    operations.getxattr = nullptr;
    operations.setxattr = nullptr;
    operations.listxattr = nullptr;
    operations.removexattr = nullptr;
  }
  session_ =
      fuse_session_new(&args, &operations, sizeof(operations), &adapter_);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return Error(ENOMEM, "making a FUSE session");

  // libfuse takes the descriptor over by name, and closes it with the session.
  const std::string name = "/dev/fd/" + std::to_string(fuse_.get());
  if (fuse_session_mount(session_, name.c_str()) != 0)
    return Error(EIO, "handing the device to libfuse");
  fuse_.release();
  return Ok();
}

Status Session::Mount() {
  const FuseMountOptions options = TRY(ToFuseMountOptions(config_));
  TRY(CheckMountPoint(config_.mountpoint));
  // Its file may lie where nobody answers once this is mounted.
  if (!config_.start_trace.empty())
    tracer_ = std::make_unique<StartTracer>(fs_, config_.start_trace);

  Result<UniqueFd> device = MountDirectly(config_, options);
  if (device.code() == EPERM && geteuid() != 0)
    device = MountThroughHelper(config_, options);
  fuse_ = TRY(std::move(device));
  mounted_ = true;
  device_ = TRY(DeviceAt(config_.mountpoint));
  fs_.NoteMount(device_);

  facts_.start = std::chrono::steady_clock::now();
  facts_.mountpoint = config_.mountpoint;
  facts_.source = config_.source;
  facts_.connection = minor(device_);
  facts_.cache_timeout_s = adapter_.timeout_s();
  facts_.workers = kWorkers;
  return Ok();
}

Status Session::GoLive() {
  TRY(MakeSession());
  const auto forget_attrs = [this](NodeId node) {
    // ENOENT: the kernel does not know the node (any more).
    fuse_lowlevel_notify_inval_inode(session_, static_cast<fuse_ino_t>(node),
                                     /*off: no pages=*/-1, 0);
  };
  notifier_ = std::make_unique<Notifier>(forget_attrs);
  fs_.SetInvalidate([this](NodeId node) { notifier_->Add(node); });
  fs_.SetForgetAttrs(forget_attrs);
  adapter_.SetForgetAttrs(forget_attrs);
  dropper_ = std::make_unique<Notifier>([this](NodeId node) {
    fuse_lowlevel_notify_inval_inode(session_, static_cast<fuse_ino_t>(node),
                                     /*off=*/0, /*len: all=*/0);
  });
  // The kernel keeps no page locked while it asks for names, or for holes. But
  // it waits for pages that are being written, uninterruptibly: a thread that
  // answered over io_uring may be the one that it gives that very write to.
  adapter_.SetDropPages([this](NodeId node) { dropper_->SendAndWait(node); });
  adapter_.SetDropPagesSoon([this](NodeId node) { dropper_->Add(node); });

  const uint64_t threads = CountThreads();
  readers_ = TRY(FuseReaders::Start(session_, adapter_));
  if (!adapter_.initialized() || readers_->ended()) {
    const Result<dev_t> there = DeviceAt(config_.mountpoint);
    mounted_ = there.ok() && *there == device_;
    if (!mounted_) return Ok();  // unmounted before it was used
    return Error(EPROTO, "the kernel and libfuse could not agree on " +
                             config_.mountpoint +
                             ", or somebody aborted the connection");
  }
  TRY(SettleTransport(/*rings_run=*/CountThreads() > threads));
  return SettleDataPath();
}

Status Session::AfterReady() {
  TunePages();
  if (const Status started = StartThreads(); !started.ok()) {
    // Requests wait for them already, and the end would wait for those.
    notifier_->Stop();
    dropper_->Stop();
    return started;
  }
  if (tracer_ != nullptr) tracer_->ReadAhead();
  // May wait for the disk. Where there is no thread for it, it can be missed.
  WorkerPool::Task read = [this] { fs_.ReadNamesAhead(); };
  (void)pool_.Submit(read);
  LetGoOfProgram();
  return Ok();
}

Status Session::StartThreads() {
  (void)TRY(readers_->Grow(1));  // beside rings: what reads FORGETs
  try {
    notifier_->Start();
    dropper_->Start();
    if (control_ != nullptr) control_->Serve();
    if (facts_.transport == kIoUring && config_.rings_may_idle)
      adapter_.rings().Start();
    if (config_.complete_rate > 0)
      completer_ = std::make_unique<Completer>(
          config_.complete_rate, [this] { return fs_.CompleteSome(); });
  } catch (const std::system_error& error) {
    return Error(error.code().value(), "starting a thread; the mount at " +
                                           config_.mountpoint + " ends");
  }
  return Ok();
}

// Whether the rings came up shows only now.
Status Session::SettleTransport(bool rings_run) {
  if (rings_ > 0 && rings_run) {
    facts_.transport = kIoUring;
    facts_.readers = rings_;
    return Ok();
  }
  if (rings_ > 0) {
    facts_.transport_reason = adapter_.kernel_has_io_uring()
                                  ? "the rings could not be set up"
                                  : "this kernel has no FUSE over io_uring";
    if (config_.transport == Transport::kIoUring)
      return Error(EOPNOTSUPP,
                   "transport=io_uring: " + facts_.transport_reason);
  }
  facts_.readers = static_cast<unsigned>(TRY(readers_->Grow(config_.threads)));
  return Ok();
}

// Which of the two ways contents take. What was opened before this knows has
// its pages in the kernel.
Status Session::SettleDataPath() {
  facts_.data_path = kDataPath;
  if (adapter_.writeback()) facts_.data_path += kKeepsWrites;
  facts_.data_path_reason = kNotAskedFor;
  if (config_.passthrough == Passthrough::kOff) return Ok();

  const Status started = StartPassthrough();
  if (started.ok()) {
    facts_.data_path = kPassthrough;
    facts_.data_path_reason.clear();
    return Ok();
  }
  adapter_.StopHearingOpens();
  facts_.data_path_reason = std::string(started.error().context());
  // Of a union without an upper it asks for nothing.
  if (config_.passthrough == Passthrough::kOn && started.code() != EROFS)
    return Error(started.code(), "passthrough=1: " + facts_.data_path_reason);
  return Ok();
}

// The error's context says why not.
Status Session::StartPassthrough() {
  if (config_.read_only) return Error(EROFS, WhyNotPassthrough(EROFS));
  if (config_.writeback)
    return Error(EINVAL, "the kernel has either passthrough or writeback=1");
  if (!adapter_.kernel_has_passthrough())
    return Error(EOPNOTSUPP, "this kernel has no FUSE passthrough");
  backing_files_ =
      std::make_unique<KernelBackingFiles>(fuse_session_fd(session_));
  const Status used = fs_.UsePassthrough(*backing_files_);
  if (used.ok()) return Ok();
  return Error(used.code(), WhyNotPassthrough(used.code()));
}

// After INIT, in whose reply the kernel sets what it has by default.
void Session::TunePages() {
  if (const Status set = SetReadAhead(device_, kReadAheadKib); !set.ok())
    log::Info("the kernel's read-ahead stays: " + set.error().ToString());
  if (!adapter_.writeback()) return;
  if (const Status set = AllowDirtyPages(device_); !set.ok())
    log::Info("the kernel keeps few writes: " + set.error().ToString());
}

void Session::StartControl() {
  auto control = ControlServer::Listen(
      device_,
      [this] {
        SessionFacts facts = facts_;
        facts.rings_idle = adapter_.rings().idle() > 0;
        return StatusReport(facts, fs_.Info(), fs_.Stats(),
                            metrics_.Snapshot());
      },
      {[this] { return Hold(); }, [this] { adapter_.gate().Open(); },
       kHoldLimit, [this] { return fs_.Freeze(); }},
      {[this] {
         // What a read that was under way then has added since.
         recorder_.Take();
         return fs_.RecordReads(recorder_);
       },
       [this] {
         fs_.StopRecording(recorder_);
         return FormatTrace(recorder_.Take());
       }});
  if (control.ok())
    control_ = std::move(control).value();
  else  // the mount is worth having without
    log::Warn("ufs stat will not work here: " + control.error().ToString());
}

// What is answered is in the upper then, and nothing else comes to it.
Status Session::Hold() {
  // Most of what is missing, while requests go on.
  TRY(fs_.CompleteAll());
  if (!adapter_.gate().Close(kDrainPatience))
    return Error(EBUSY, "requests under way take too long");
  if (fs_.Stats().partial_bytes_missing > kMostWhileHeldBytes) {
    adapter_.gate().Open();
    return Error(EBUSY, "a large file was just written to; try again");
  }
  // Their writes pass the gate by.
  const Status complete =
      fs_.passed_writers() > 0
          ? Status(Error(EBUSY,
                         "files are open for writing that the kernel "
                         "writes by itself (passthrough)"))
          : fs_.CompleteAll();
  if (!complete.ok()) adapter_.gate().Open();
  return complete;
}

void Session::WaitForEnd(EndSignals& signals) {
  while (!readers_->ended()) {
    pollfd fds[] = {{readers_->event_fd(), POLLIN, 0},
                    {signals.fd(), POLLIN, 0}};
    const int ready = poll(fds, 2, kHouseKeepingMs);
    if (ready < 0) continue;  // EINTR
    if (ready == 0) KeepHouse();
    if (fds[1].revents != 0) {
      signals.Take();
      return Unmount();
    }
  }
  mounted_ = false;
}

// What this cannot sync now it tries again, and the end of the union says so.
void Session::KeepHouse() {
  fs_.TrimMemory();
  fs_.DropWritten(std::chrono::milliseconds(kHouseKeepingMs));
  if (tracer_ != nullptr) tracer_->KeepHouse();
  if (const Status settled = fs_.Settle(); !settled.ok())
    log::Warn("not all is on disk: " + settled.error().ToString());
}

// For a signal: whoever has files open keeps them for a moment.
void Session::Unmount() {
  fs_.StopCompleting();
  control_.reset();  // whoever holds the mount: what the kernel has must come
  const Status now = UnmountFuse(config_.mountpoint, device_, /*lazily=*/false);
  mounted_ = false;
  if (!now.ok()) {
    const Status later =
        UnmountFuse(config_.mountpoint, device_, /*lazily=*/true);
    if (!later.ok()) log::Warn(later.error().ToString());
  }
  for (int waited = 0;
       readers_ != nullptr && waited < kBusyGraceMs && !readers_->ended();
       waited += 100)
    readers_->Wait(100);
}

void Session::EndHelpers() {
  fs_.StopCompleting();
  completer_.reset();
  if (tracer_ != nullptr) tracer_->Stop();
  if (mounted_) Unmount();  // an error came between the mount and its first use
  control_.reset();
}

bool Session::LeaveToExit() {
#ifdef UFS_SANITIZED  // sanitizers look for what nobody ended
  return false;
#endif
  EndHelpers();
  // Whoever still has a file open of a mount that is gone waits until then.
  if (!adapter_.gate().Close(kDrainPatience)) return false;
  pool_.Close();
  return true;
}

void Session::End() {
  EndHelpers();
  adapter_.rings().Stop();
  readers_.reset();
  pool_.Close();
  // They send through the session. Requests may still add to them: those of
  // the ring threads.
  if (notifier_ != nullptr) notifier_->Stop();
  if (dropper_ != nullptr) dropper_->Stop();
  if (session_ != nullptr) {
    // It has exited: the loop ends at once. But it is the only way that libfuse
    // has to stop its ring threads.
    fuse_session_exit(session_);
    fuse_session_loop(session_);
    fuse_session_destroy(session_);
    session_ = nullptr;
  }
  fs_.SetInvalidate({});
  fs_.SetForgetAttrs({});
}

}  // namespace

Status Serve(const MountConfig& config, UnionFs& fs, const ReadyFn& ready) {
  PrepareProcess();
  KeepHeapsShort();
  EndSignals signals = TRY(EndSignals::Block());
  auto session = std::make_unique<Session>(config, fs);
  // The first request waits for INIT, and the rings it starts; whoever mounts
  // has a program to start until then.
  const bool ahead = session->MustAnswerFirst();
  if (ahead) TRY(session->ChooseTransport());
  TRY(session->Mount());
  if (ahead) TRY(session->GoLive());
  session->StartControl();
  ready();
  if (!ahead) {
    TRY(session->ChooseTransport());
    TRY(session->GoLive());
  }
  if (!session->mounted()) return Ok();
  TRY(session->AfterReady());
  session->WaitForEnd(signals);
  if (session->LeaveToExit()) (void)session.release();
  return Ok();
}

}  // namespace ufs
