#include "runtime/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {

static_assert(sizeof(struct termios) <= 64);

namespace {
// A pipe that can be written to takes as much at once without making us wait.
constexpr size_t kCopyBytes = PIPE_BUF;
}  // namespace

Result<Terminal> OpenTerminal(BorrowedFd root,
                              const std::optional<ConsoleSize>& size,
                              uid_t owner) {
  constexpr char kNeeds[] = "process.terminal needs a devpts mount at /dev/pts";
  const auto open = [&]() -> Result<UniqueFd> {
    const UniqueFd node =
        TRY(OpenInRoot(root, "/dev/pts/ptmx", O_PATH, Links::kRefused));
    // An image can carry anything under that name, but no devpts.
    if (TRY(kernel::FsTypeOf(node)) != uint64_t{DEVPTS_SUPER_MAGIC})
      return Error(EINVAL);
    return OpenInRoot(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY,
                      Links::kRefused);
  };
  Terminal terminal;
  terminal.master = TRY(open().With(kNeeds));
  if (TRY(kernel::FsTypeOf(terminal.master)) != uint64_t{DEVPTS_SUPER_MAGIC})
    return Error(EINVAL, kNeeds);
  int unlock = 0;
  TRY(sys::Ioctl(terminal.master, TIOCSPTLCK, &unlock));
  const int slave =
      ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  TRY(kernel::Check(slave).With("opening the terminal's other side"));
  terminal.slave.reset(slave);
  if (size) {
    winsize window{};
    window.ws_row = size->height;
    window.ws_col = size->width;
    TRY(sys::Ioctl(terminal.slave, TIOCSWINSZ, &window));
  }
  // So that the container's user can open it again by its name.
  const auto owned = sys::ChownAt({terminal.slave}, owner, -1);
  if (!owned.ok() && owned.code() != EPERM && owned.code() != EINVAL)
    return owned.error();
  return terminal;
}

Status TakeTerminal(BorrowedFd slave) {
  // It may lead a session already.
  const auto session = kernel::Check(setsid());
  if (!session.ok() && session.code() != EPERM) return session;
  TRY(kernel::Check(ioctl(slave.get(), TIOCSCTTY, 0))
          .With("taking the terminal"));
  for (int stream = 0; stream < 3; ++stream)
    TRY(kernel::DuplicateTo(slave, stream));
  return Ok();
}

void KeepLineEnds(BorrowedFd master) {
  struct termios settings;
  if (tcgetattr(master.get(), &settings) != 0) return;
  settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
  tcsetattr(master.get(), TCSANOW, &settings);
}

Status SendTerminal(const std::string& path, BorrowedFd master) {
  const UniqueFd socket = TRY(
      kernel::ConnectUnix(path, SOCK_STREAM).With("console socket " + path));
  char name[64] = "terminal";
  // By convention the data is the name of the slave.
  if (const char* slave = ptsname(master.get()); slave != nullptr)
    strncpy(name, slave, sizeof(name) - 1);
  return kernel::SendMessage(socket, name, master.get())
      .With("console socket " + path);
}

namespace {

// Its settings are another job's, and we would not be stopped as others are who
// change them.
bool IsAnothersTerminal() {
  const pid_t foreground = tcgetpgrp(STDIN_FILENO);
  if (foreground < 0 || foreground == getpgrp()) return false;
  sigset_t blocked;
  return sigprocmask(SIG_BLOCK, nullptr, &blocked) == 0 &&
         sigismember(&blocked, SIGTTOU) == 1;
}

}  // namespace

RawTerminal::RawTerminal() {
  struct termios settings;
  if (IsAnothersTerminal()) return;
  if (tcgetattr(STDIN_FILENO, &settings) != 0) return;
  std::memcpy(saved_, &settings, sizeof(settings));
  cfmakeraw(&settings);
  raw_ = tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0;
}

RawTerminal::~RawTerminal() {
  if (!raw_) return;
  struct termios saved;
  std::memcpy(&saved, saved_, sizeof(saved));
  tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

TerminalProxy::TerminalProxy(UniqueFd master) : master_(std::move(master)) {
  // Ours alone; the standard streams are shared with who knows whom.
  (void)kernel::SetNonBlocking(master_);
  Resize();
}

void TerminalProxy::Resize() {
  winsize window;
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0)
    ioctl(master_.get(), TIOCSWINSZ, &window);
}

void TerminalProxy::Prepare(pollfd* fds) const {
  const auto wanted = [](bool wants, int fd, int events) {
    return pollfd{wants ? fd : -1, static_cast<short>(events), 0};
  };
  const bool output = !to_output_.empty(), typed = !to_master_.empty();
  fds[0] = wanted(other_side_ && (!output || typed), master_.get(),
                  (output ? 0 : POLLIN) | (typed ? POLLOUT : 0));
  fds[1] = wanted(output, STDOUT_FILENO, POLLOUT);
  fds[2] = wanted(other_side_ && input_ && !typed, STDIN_FILENO, POLLIN);
}

void TerminalProxy::Handle(const pollfd* fds) {
  if ((fds[0].revents & ~POLLOUT) != 0 && to_output_.empty()) ReadMaster();
  if (fds[1].revents != 0) WriteOutput();
  if (fds[2].revents != 0) ReadInput((fds[2].revents & POLLHUP) != 0);
  if (!to_master_.empty()) WriteMaster();
}

void TerminalProxy::Drain() {
  while (!reader_gone_) {
    if (to_output_.empty() && other_side_) ReadMaster();
    if (to_output_.empty()) return;
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    if (poll(&output, 1, -1) > 0) WriteOutput();
  }
}

void TerminalProxy::ReadMaster() {
  char buffer[kCopyBytes];
  const auto got = kernel::Read(master_, buffer, sizeof(buffer));
  if (got.code() == EAGAIN) return;
  // EIO once every slave is closed.
  other_side_ = got.ok() && *got > 0;
  if (other_side_) to_output_.assign(buffer, *got);
}

void TerminalProxy::WriteMaster() {
  const auto wrote = sys::Write(master_, to_master_.data(), to_master_.size());
  if (wrote.code() == EAGAIN) return;
  // What nobody can read is lost.
  to_master_.erase(0, wrote.ok() ? *wrote : to_master_.npos);
}

void TerminalProxy::ReadInput(bool hung_up) {
  char buffer[kCopyBytes];
  const auto got = kernel::Read(STDIN_FILENO, buffer, sizeof(buffer));
  if (got.code() == EAGAIN) return;
  input_ = got.ok() && *got > 0;
  // In raw mode no key ends it: somebody has closed it. An error alone says
  // only that we are in the background, without being stopped for it.
  if (!input_ && raw_.is_raw() && (got.ok() || hung_up)) reader_gone_ = true;
  if (input_) to_master_.assign(buffer, *got);
}

void TerminalProxy::WriteOutput() {
  const auto wrote =
      sys::Write(STDOUT_FILENO, to_output_.data(), to_output_.size());
  if (wrote.code() == EAGAIN) return;
  reader_gone_ = !wrote.ok();
  to_output_.erase(0, wrote.ok() ? *wrote : to_output_.npos);
}

}  // namespace ufs::runtime
