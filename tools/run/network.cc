#include "tools/run/network.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/loopback.h"
#include "runtime/programs.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr int kPatienceMs = 20'000;

// In the child: `ready` is where the helper writes a byte once it serves.
[[noreturn]] void Execute(BorrowedFd network, BorrowedFd ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const std::string program = runtime::FindProgram("slirp4netns");
  std::vector<std::string> words = {
      program, "--configure", "--mtu=65520",
      // The machine's own loopback is not the container's to reach.
      "--disable-host-loopback", "--ready-fd=4", "--netns-type=path",
      "/proc/self/fd/3", "tap0"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path, nullptr};
  // First out of the way of 3 and 4, which may be either's number.
  const int high_network = fcntl(network.get(), F_DUPFD_CLOEXEC, 10);
  const int high_ready = fcntl(ready.get(), F_DUPFD_CLOEXEC, 10);
  const auto null = sys::Open("/dev/null", O_RDWR | O_CLOEXEC);
  bool ready_to_go = null.ok() && high_network >= 0 && high_ready >= 0 &&
                     kernel::CloseOnExecFrom(3).ok();
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ready_to_go = ready_to_go && kernel::DuplicateTo(*null, fd).ok();
  if (ready_to_go && kernel::DuplicateTo(high_network, 3).ok() &&
      kernel::DuplicateTo(high_ready, 4).ok())
    execve(program.c_str(), argv.data(), environment);
  _exit(127);
}

}  // namespace

Result<UniqueFd> MakeNetwork() {
  auto pair = TRY(kernel::MakeSocketPair());
  const auto child =
      TRY(kernel::Clone(CLONE_NEWNET).With("making a network namespace"));
  if (child.pid == 0) {
    // Its own, which nobody else may be allowed to look at.
    const auto give = [&]() -> Status {
      TRY(runtime::BringUpLoopback());
      const UniqueFd own = TRY(sys::Open("/proc/self/ns/net", O_RDONLY));
      return runtime::Say(pair.theirs, runtime::Word::kReady, "", own.get());
    };
    const auto given = give();
    if (!given.ok()) runtime::SayError(pair.theirs, given.error());
    _exit(0);
  }
  pair.theirs.reset();
  auto said = runtime::Expect(pair.ours, runtime::Word::kReady);
  TRY(kernel::WaitPid(child.pid));
  if (!said.ok())
    return std::move(said).error().With("making a network namespace");
  return std::move(said->fd);
}

Result<kernel::Child> ConnectNetwork(BorrowedFd network) {
  auto pipe = TRY(kernel::MakePipe());
  auto child = TRY(kernel::Clone(0));
  if (child.pid == 0) Execute(network, pipe.write);
  pipe.write.reset();
  pollfd ready{pipe.read.get(), POLLIN, 0};
  char byte = 0;
  const auto got = poll(&ready, 1, kPatienceMs) > 0
                       ? kernel::Read(pipe.read, &byte, 1)
                       : Result<size_t>(size_t{0});
  if (got.ok() && *got == 1) return child;
  (void)kernel::PidfdSignal(child.pidfd, SIGKILL);
  (void)kernel::WaitPid(child.pid);
  return Error(EIO,
               "--network: slirp4netns could not connect (is /dev/net/tun "
               "there, and open to this user?); use --network none or host");
}

}  // namespace ufs
