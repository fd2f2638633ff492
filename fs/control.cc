#include "fs/control.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fs/dead_mount.h"
#include "layerdb/base/own_directory.h"
#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kRootDirectory[] = "/run/ufs";
constexpr auto kQueryPatience = std::chrono::seconds(5);
constexpr size_t kMaxAnswerBytes = 16 << 20;
constexpr size_t kMaxCommandBytes = 64;
constexpr size_t kMaxLineBytes = 4096;
// For copying up what is missing, and for requests under way.
constexpr auto kHoldPatience = std::chrono::seconds(60);
// Who says nothing, and not that he will say nothing, is waited for: on a busy
// machine a holder's word comes late. No client of ours is silent.
constexpr int kSilenceMs = 500;

constexpr std::string_view kHold = "hold\n";
constexpr std::string_view kHeld = "held\n";
constexpr char kTooLong[] =
    "the mount cannot stand still for so long; do it again when less is being "
    "changed";
constexpr std::string_view kFreeze = "freeze\n";
constexpr std::string_view kFrozen = "frozen\n";
constexpr std::string_view kRelease = "release\n";
constexpr std::string_view kReleased = "released\n";
constexpr std::string_view kExpired = "expired\n";
constexpr std::string_view kTrace = "trace\n";
constexpr std::string_view kTracing = "tracing\n";
constexpr std::string_view kEnd = "end\n";

// Where sockets may be, the preferred place first.
std::vector<std::string> Directories() {
  std::vector<std::string> directories;
  // In a user namespace uid 0 is root over nothing, /run least of all.
  if (geteuid() == 0 && access("/run", W_OK) == 0)
    directories.push_back(kRootDirectory);
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/')
    directories.push_back(std::string(runtime) + "/ufs");
  directories.push_back("/tmp/ufs-" + std::to_string(geteuid()));
  return directories;
}

std::string SocketName(dev_t device) {
  return std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

// A directory that nobody else can put a socket into. /tmp is open to all, so
// what is found there is checked.
Status MakePrivateDirectory(const std::string& path) {
  if (TRY(EnsureOwnDirectory(path, S_IRWXG | S_IRWXO))) return Ok();
  return Error(EPERM, path + " is not a directory only this user can enter");
}

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return Error(ENAMETOOLONG, "control socket " + path);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

void SetTimeouts(int fd, std::chrono::seconds seconds) {
  const timeval timeout{seconds.count(), 0};
  // A socket that refuses is one that may make us wait; it is closed after.
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

// Holds off everybody else who makes or removes sockets in a directory. A mount
// that has gone leaves its number, and so the name of its socket, to the next
// one, while its own daemon still ends.
Result<UniqueFd> LockDirectoryOf(const std::string& path) {
  UniqueFd directory = TRY(sys::Open(path.substr(0, path.rfind('/')).c_str(),
                                     O_RDONLY | O_DIRECTORY));
  TRY(sys::FLock(directory, LOCK_EX));
  return directory;
}

// A socket that listens, and which file it is.
struct Listener {
  UniqueFd fd;
  dev_t device = 0;
  ino_t ino = 0;

  bool IsAt(const std::string& path) const {
    struct stat st {};
    return lstat(path.c_str(), &st) == 0 && st.st_dev == device &&
           st.st_ino == ino;
  }
};

class ControlServerImpl final : public ControlServer {
 public:
  ControlServerImpl(Listener listener, UniqueFd stop, std::string path,
                    std::function<std::string()> answer, Holding holding,
                    Tracing tracing)
      : listener_(std::move(listener)),
        stop_(std::move(stop)),
        path_(std::move(path)),
        answer_(std::move(answer)),
        holding_(std::move(holding)),
        tracing_(std::move(tracing)) {}

  ~ControlServerImpl() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written =
        write(stop_.get(), &one, sizeof(one));  // cannot fail: it counts to one
    if (thread_.joinable()) thread_.join();
    // While the socket is open no other file has its number.
    if (const auto lock = LockDirectoryOf(path_);
        lock.ok() && listener_.IsAt(path_))
      unlink(path_.c_str());
    // The directory goes with the last socket in it.
    rmdir(path_.substr(0, path_.rfind('/')).c_str());
  }

  void Serve() override {
    thread_ = std::thread([this] { Run(); });
  }

 private:
  void Run() {
    pthread_setname_np(pthread_self(), "ufs-control");
    while (true) {
      // poll passes over a descriptor below zero: nobody holds the mount.
      pollfd fds[] = {{listener_.fd.get(), POLLIN, 0},
                      {stop_.get(), POLLIN, 0},
                      {holder_.get(), POLLIN, 0},
                      {tracer_.get(), POLLIN, 0}};
      const int ready = poll(fds, std::size(fds), MsUntilRelease());
      if (ready < 0 && errno != EINTR) break;
      if (release_at_ && Clock::now() >= *release_at_) Release();
      if (ready <= 0) continue;
      if (fds[1].revents != 0) break;
      if (fds[2].revents != 0) HearHolder();
      if (fds[3].revents != 0) EndTrace();
      if (fds[0].revents == 0) continue;
      UniqueFd client(
          accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (client.valid()) AnswerTo(std::move(client));
    }
    Release();
    if (tracer_.valid()) tracing_.end();
  }

  void AnswerTo(UniqueFd client) {
    SetTimeouts(client.get(), std::chrono::seconds(1));
    pollfd said{client.get(), POLLIN, 0};
    const bool spoke = poll(&said, 1, kSilenceMs) > 0;
    // Gone, as who only asked whose process this is, and now unmounts.
    if ((said.revents & POLLHUP) != 0) return;
    const std::string command = spoke ? ReadCommand(client) : std::string();
    if (command == kHold)
      Hold(std::move(client));
    else if (command == kTrace)
      Trace(std::move(client));
    else
      Send(client, answer_());
  }

  static std::string ReadCommand(const UniqueFd& client) {
    std::string line(kMaxCommandBytes, '\0');
    const ssize_t n = recv(client.get(), line.data(), line.size(), 0);
    line.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return line;
  }

  static void Send(const UniqueFd& client, std::string_view text) {
    const auto deadline = Clock::now() + std::chrono::seconds(1);
    while (!text.empty()) {
      const ssize_t n =
          send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0 || Clock::now() > deadline) return;  // gone, or too slow
      text.remove_prefix(static_cast<size_t>(n));
    }
  }

  // --- holding the mount -----------------------------------------------------

  void Hold(UniqueFd client) {
    Status held = Error(ENOTSUP, "this mount cannot be held");
    if (holder_.valid())
      held = Error(EBUSY, "another process holds the mount");
    else if (holding_.hold)
      held = holding_.hold();
    if (!held.ok()) return SendError(client, held.error());
    holder_ = std::move(client);
    release_at_ = Clock::now() + holding_.limit;
    Send(holder_, kHeld);
  }

  static void SendError(const UniqueFd& client, const Error& error) {
    Send(client, "error " + std::to_string(error.code()) + " " +
                     std::string(error.context()) + "\n");
  }

  // The holder said something, or is gone.
  void HearHolder() {
    const std::string command = ReadCommand(holder_);
    const bool in_time = release_at_.has_value();
    if (command == kHold || command == kFreeze) {
      const Status done = in_time ? Do(command) : Error(ETIMEDOUT, kTooLong);
      if (!done.ok()) return SendError(holder_, done.error());
      return Send(holder_, command == kHold ? kHeld : kFrozen);
    }
    Release();
    if (command == kRelease) Send(holder_, in_time ? kReleased : kExpired);
    holder_.reset();
  }

  Status Do(const std::string& command) {
    if (command == kHold) return Ok();
    if (holding_.freeze) return holding_.freeze();
    return Error(ENOTSUP, "this mount's upper cannot begin afresh");
  }

  void Release() {
    if (!release_at_) return;
    release_at_.reset();
    holding_.release();
  }

  int MsUntilRelease() const {
    if (!release_at_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        *release_at_ - Clock::now());
    return static_cast<int>(std::max<int64_t>(0, left.count()));
  }

  // --- noting what is read ---------------------------------------------------

  void Trace(UniqueFd client) {
    Status begun = Error(ENOTSUP, "this mount cannot be traced");
    if (tracer_.valid())
      begun = Error(EBUSY, "another process traces the mount");
    else if (tracing_.begin)
      begun = tracing_.begin();
    if (!begun.ok()) return SendError(client, begun.error());
    tracer_ = std::move(client);
    Send(tracer_, kTracing);
  }

  // It has enough, or is gone: whom nobody hears, nothing is told.
  void EndTrace() {
    const bool wants_it = ReadCommand(tracer_) == kEnd;
    const std::string trace = tracing_.end();
    if (wants_it) {
      Send(tracer_, trace);
      Send(tracer_, kEnd);
    }
    tracer_.reset();
  }

  const Listener listener_;
  const UniqueFd stop_;
  const std::string path_;
  const std::function<std::string()> answer_;
  const Holding holding_;
  const Tracing tracing_;
  // Of the thread.
  UniqueFd tracer_;
  UniqueFd holder_;  // stays, to be told, when its time is over
  std::optional<Clock::time_point> release_at_;  // while the mount is held
  std::thread thread_;
};

Result<Listener> ListenAt(const std::string& path) {
  const sockaddr_un address = TRY(AddressOf(path));
  const UniqueFd lock = TRY(LockDirectoryOf(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Error(errno, "control socket");
  // A mount with this number is ours now; a socket of that name was left by a
  // daemon that was killed.
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0)
    return Error(errno, "control socket " + path);
  if (chmod(path.c_str(), 0600) != 0 || listen(fd.get(), 16) != 0) {
    const int code = errno;
    unlink(path.c_str());
    return Error(code, "control socket " + path);
  }
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0)
    return Error(errno, "control socket " + path);
  return Listener{std::move(fd), st.st_dev, st.st_ino};
}

Result<UniqueFd> Connect(const std::string& path) {
  const sockaddr_un address = TRY(AddressOf(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Error(errno, "control socket");
  SetTimeouts(fd.get(), kQueryPatience);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0)
    return Error(errno, path);
  return fd;
}

// One line, without its end.
Result<std::string> ReadAnswerLine(const UniqueFd& fd) {
  std::string line;
  char c = 0;
  while (true) {
    const ssize_t n = recv(fd.get(), &c, 1, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return Error(errno == EAGAIN ? ETIMEDOUT : errno,
                   "waiting for the daemon's answer");
    if (n == 0 || c == '\n' || line.size() == kMaxLineBytes) return line;
    line.push_back(c);
  }
}

Status Say(const UniqueFd& fd, std::string_view words) {
  if (send(fd.get(), words.data(), words.size(), MSG_NOSIGNAL) < 0)
    return Error(errno, "asking the daemon");
  return Ok();
}

Result<std::string> ReadAll(const UniqueFd& fd, std::chrono::seconds patience) {
  const auto deadline = Clock::now() + patience;
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t n = recv(fd.get(), buffer, sizeof(buffer), 0);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      return Error(errno == EAGAIN ? ETIMEDOUT : errno,
                   "waiting for the daemon's answer");
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxAnswerBytes)
      return Error(EMSGSIZE, "the daemon's answer");
    if (Clock::now() > deadline)
      return Error(ETIMEDOUT, "waiting for the daemon's answer");
  }
}

// The daemon's answer to a command: `wanted`, or an error that it tells.
Status Expect(const UniqueFd& fd, std::string_view wanted) {
  const std::string answer = TRY(ReadAnswerLine(fd)) + "\n";
  if (answer == wanted) return Ok();
  constexpr std::string_view kError = "error ";
  if (!answer.starts_with(kError))
    return Error(EPROTO,
                 "its daemon is of an older ufs, which knows no such thing; "
                 "mount it again");
  char* text = nullptr;
  const long code = strtol(answer.c_str() + kError.size(), &text, 10);
  std::string context(*text == ' ' ? text + 1 : text);
  context.pop_back();
  return Error(code > 0 ? static_cast<int>(code) : EPROTO, context);
}

// The device number of the mount, from what the kernel knows: a daemon that is
// dead or hangs is not asked.
Result<dev_t> DeviceOf(const std::string& mountpoint) {
  struct statx stx {};
  if (statx(AT_FDCWD, mountpoint.c_str(), AT_STATX_DONT_SYNC, 0, &stx) != 0) {
    if (IsOfDeadDaemon(errno))
      return Error(ENOTCONN, mountpoint +
                                 ": its daemon is gone; unmount it with "
                                 "`ufs umount " +
                                 mountpoint + "`");
    return Error(errno, mountpoint);
  }
  return makedev(stx.stx_dev_major, stx.stx_dev_minor);
}

Result<UniqueFd> ConnectToDaemon(const std::string& mountpoint) {
  const dev_t device = TRY(DeviceOf(mountpoint));
  for (const std::string& directory : Directories()) {
    Result<UniqueFd> fd = Connect(directory + "/" + SocketName(device));
    if (fd.ok() || (fd.code() != ENOENT && fd.code() != ECONNREFUSED))
      return fd;
  }
  return Error(ENOTCONN, mountpoint +
                             ": no ufs daemon of this user answers for it; is "
                             "it a mount of ufs?");
}

}  // namespace

std::string ControlSocketPath(dev_t device) {
  return Directories().front() + "/" + SocketName(device);
}

bool RemoveDeadControlSocket(dev_t device) {
  for (const std::string& directory : Directories()) {
    const std::string path = directory + "/" + SocketName(device);
    const auto lock = LockDirectoryOf(path);
    if (!lock.ok()) continue;
    const Result<UniqueFd> fd = Connect(path);
    if (fd.ok()) return false;
    if (fd.code() != ECONNREFUSED) continue;
    unlink(path.c_str());
    rmdir(directory.c_str());  // goes with the last socket in it
  }
  return true;
}

Result<std::string> QueryControl(const std::string& mountpoint) {
  const UniqueFd fd = TRY(ConnectToDaemon(mountpoint));
  shutdown(fd.get(), SHUT_WR);  // nothing will be said
  return ReadAll(fd, kQueryPatience);
}

Result<MountHold> MountHold::Begin(const std::string& mountpoint) {
  UniqueFd fd = TRY(ConnectToDaemon(mountpoint));
  SetTimeouts(fd.get(), kHoldPatience);
  TRY(Say(fd, kHold));
  TRY(Expect(fd, kHeld).With(mountpoint));
  return MountHold(std::move(fd));
}

Status MountHold::Check() {
  TRY(Say(fd_, kHold));
  return Expect(fd_, kHeld);
}

Status MountHold::Freeze() {
  TRY(Say(fd_, kFreeze));
  return Expect(fd_, kFrozen);
}

Status MountHold::End() {
  TRY(Say(fd_, kRelease));
  const std::string answer = TRY(ReadAnswerLine(fd_)) + "\n";
  fd_.reset();
  if (answer == kReleased) return Ok();
  return Error(ETIMEDOUT, kTooLong);
}

Result<MountTrace> MountTrace::Begin(const std::string& mountpoint) {
  UniqueFd fd = TRY(ConnectToDaemon(mountpoint));
  SetTimeouts(fd.get(), kHoldPatience);  // one may begin, and end, in between
  TRY(Say(fd, kTrace));
  TRY(Expect(fd, kTracing).With(mountpoint));
  return MountTrace(std::move(fd));
}

Result<std::string> MountTrace::End() {
  const Status said = Say(fd_, kEnd);
  std::string trace =
      said.ok() ? TRY(ReadAll(fd_, kHoldPatience)) : std::string();
  fd_.reset();
  if (!trace.ends_with(kEnd))
    return Error(EIO, "the mount went away while it was traced");
  trace.resize(trace.size() - kEnd.size());
  return trace;
}

Result<pid_t> DaemonOf(const std::string& mountpoint) {
  const UniqueFd fd = TRY(ConnectToDaemon(mountpoint));
  ucred listener{};
  socklen_t size = sizeof(listener);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
    return Error(errno, mountpoint + ": SO_PEERCRED");
  if (listener.pid <= 0)
    return Error(ESRCH,
                 mountpoint + ": its daemon is in another pid namespace");
  return listener.pid;
}

Result<std::unique_ptr<ControlServer>> ControlServer::Listen(
    dev_t device, std::function<std::string()> answer, Holding holding,
    Tracing tracing) {
  const std::string path = ControlSocketPath(device);
  TRY(MakePrivateDirectory(path.substr(0, path.rfind('/'))));
  Result<Listener> listening = ListenAt(path);
  if (listening.code() == ENOENT) {
    // Another daemon ended in between and took the directory with it.
    TRY(MakePrivateDirectory(path.substr(0, path.rfind('/'))));
    listening = ListenAt(path);
  }
  Listener listener = TRY(std::move(listening));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return Error(errno, "eventfd");
  return std::unique_ptr<ControlServer>(new ControlServerImpl(
      std::move(listener), std::move(stop), path, std::move(answer),
      std::move(holding), std::move(tracing)));
}

}  // namespace ufs
