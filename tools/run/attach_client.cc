#include "tools/run/attach_client.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "runtime/kernel.h"
#include "runtime/terminal.h"
#include "tools/run/attach_protocol.h"
#include "tools/run/detach_keys.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

Status Say(BorrowedFd socket, AttachWord word, std::string_view text = "") {
  std::string message(1, static_cast<char>(word));
  message += text;
  return kernel::SendMessage(socket, message);
}

sigset_t PassedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2,
                           SIGCONT, SIGALRM, SIGWINCH})
    sigaddset(&set, number);
  return set;
}

sigset_t WindowSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  return set;
}

class Client {
 public:
  Client(BorrowedFd socket, const AttachOptions& options)
      : socket_(socket),
        options_(options),
        keys_(options.detach_keys),
        on_terminal_(options.terminal && isatty(STDIN_FILENO)) {}

  Result<Attached> Run() {
    signal(SIGPIPE, SIG_IGN);
    UniqueFd signals;
    if (options_.signals || options_.terminal)
      signals = TRY(TakeSignals(options_.signals));
    // Kept until we go, when the terminal becomes what it was.
    std::optional<runtime::RawTerminal> raw;
    if (options_.terminal) {
      raw.emplace();
      SendWindow();
    }
    // A supervisor that is gone has left its last words to be read.
    if (options_.output) (void)Say(socket_, AttachWord::kWatch);
    bool input = options_.input;
    while (true) {
      // Input is taken when it can be sent at once: the supervisor may be
      // waiting for us to read.
      pollfd writable{socket_.get(), POLLOUT, 0};
      const bool room = !input || poll(&writable, 1, 0) > 0;
      const short wanted = static_cast<short>(room ? POLLIN : POLLIN | POLLOUT);
      // A terminal is watched for its end even where it is not read.
      const bool read = input && room;
      pollfd fds[] = {{socket_.get(), wanted, 0},
                      {signals.valid() ? signals.get() : -1, POLLIN, 0},
                      {read || on_terminal_ ? STDIN_FILENO : -1,
                       static_cast<short>(read ? POLLIN : 0), 0}};
      if (poll(fds, 3, -1) < 0) continue;
      if (fds[1].revents != 0) PassSignals(signals);
      if (on_terminal_ && (fds[2].revents & (POLLHUP | POLLERR)) != 0)
        return HangUp();
      if (fds[2].revents != 0) input = CopyInput();
      if (keys_.detached()) return Attached{Attached::End::kDetached, 0, ""};
      if ((fds[0].revents & ~POLLOUT) != 0 && !TRY(Receive())) return attached_;
    }
  }

  // One message of the supervisor. False: it was the last.
  Result<bool> Receive() {
    const auto message = kernel::ReceiveMessage(socket_, kAttachBytesMax);
    // As good as its end.
    if (!message.ok() || message->eof || message->data.empty()) return false;
    const std::string_view text = std::string_view(message->data).substr(1);
    switch (static_cast<AttachWord>(message->data[0])) {
      case AttachWord::kOutput:
        Write(STDOUT_FILENO, AttachWord::kOutput, text);
        return true;
      case AttachWord::kErrors:
        Write(STDERR_FILENO, AttachWord::kErrors, text);
        return true;
      case AttachWord::kStarted:
        started_ = true;
        return true;
      case AttachWord::kFailed: {
        const size_t blank = text.find(' ');
        attached_ = {Attached::End::kFailed, std::atoi(text.data()),
                     std::string(text.substr(blank + 1))};
        return false;
      }
      case AttachWord::kEnded:
        attached_ = {Attached::End::kEnded, std::atoi(text.data()), ""};
        return false;
      default:
        return true;
    }
  }

  bool started() const { return started_; }
  const Attached& attached() const { return attached_; }

 private:
  // The size of the window is followed, whoever gets the others.
  static Result<UniqueFd> TakeSignals(bool all) {
    const sigset_t set = all ? PassedSignals() : WindowSignal();
    TRY(kernel::Check(sigprocmask(SIG_BLOCK, &set, nullptr)));
    const int raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    TRY(kernel::Check(raw));
    return UniqueFd(raw);
  }

  void PassSignals(BorrowedFd signals) {
    signalfd_siginfo info;
    while (kernel::Read(signals, reinterpret_cast<char*>(&info), sizeof(info))
               .ok()) {
      hung_up_ |= info.ssi_signo == SIGHUP;
      // A supervisor that is gone shows on the socket.
      if (info.ssi_signo != SIGWINCH)
        (void)Say(socket_, AttachWord::kSignal, std::to_string(info.ssi_signo));
      else if (options_.terminal)
        SendWindow();
    }
  }

  // Our terminal is closed: nobody sees or types anything any more. The
  // container hears of it as a program on that terminal would, and goes or
  // stays as it likes.
  Attached HangUp() {
    if (options_.signals && !hung_up_)
      (void)Say(socket_, AttachWord::kSignal, std::to_string(SIGHUP));
    return {Attached::End::kEnded, 128 + SIGHUP, ""};
  }

  void SendWindow() {
    winsize window;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0)
      (void)Say(
          socket_, AttachWord::kWindow,
          std::to_string(window.ws_row) + " " + std::to_string(window.ws_col));
  }

  // False once there is no more.
  bool CopyInput() {
    char buffer[kAttachBytesMax - 1];
    const auto got = kernel::Read(STDIN_FILENO, buffer, sizeof(buffer));
    if (got.code() == EAGAIN) return true;
    if (!got.ok() || *got == 0) {
      (void)Say(socket_, AttachWord::kNoInput);
      return false;
    }
    std::string text(buffer, *got);
    if (options_.terminal) text = keys_.Filter(text);
    if (!text.empty()) (void)Say(socket_, AttachWord::kInput, text);
    return true;
  }

  void Write(int fd, AttachWord stream, std::string_view text) {
    const char name = static_cast<char>(stream);
    if (kernel::WriteAll(fd, text).code() == EPIPE && options_.owner)
      (void)Say(socket_, AttachWord::kNoOutput, {&name, 1});
  }

  const BorrowedFd socket_;
  const AttachOptions& options_;
  DetachKeys keys_;
  const bool on_terminal_;
  bool hung_up_ = false;  // and the container was told
  bool started_ = false;
  Attached attached_;
};

}  // namespace

Result<Attached> AwaitStart(BorrowedFd socket) {
  const AttachOptions none;
  Client client(socket, none);
  while (!client.started())
    if (!TRY(client.Receive())) return client.attached();
  return Attached{Attached::End::kEnded, 0, ""};
}

Result<Attached> Attach(BorrowedFd socket, const AttachOptions& options) {
  return Client(socket, options).Run();
}

Result<UniqueFd> ConnectSupervisor(const std::string& directory) {
  return kernel::ConnectUnix(directory + "/attach", SOCK_SEQPACKET);
}

}  // namespace ufs
