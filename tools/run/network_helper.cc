#include "tools/run/network_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "layerdb/base/syscall.h"
#include "runtime/programs.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

constexpr int kPatienceMs = 20'000;
constexpr size_t kErrorBytesMax = 64 << 10;
constexpr int kFirstFd = 3;
// Out of the way of those that the helper gets.
constexpr int kHighFd = 20;

// In the child.
Status PutInPlace(const std::string& directory, const std::vector<int>& fds,
                  BorrowedFd errors) {
  const UniqueFd where =
      TRY(sys::Open(directory.c_str(), O_PATH | O_DIRECTORY));
  TRY(kernel::ChangeDirectory(where));
  std::vector<int> high;
  for (const int fd : fds) {
    high.push_back(fcntl(fd, F_DUPFD_CLOEXEC, kHighFd));
    TRY(kernel::Check(high.back()));
  }
  const UniqueFd null = TRY(sys::Open("/dev/null", O_RDWR));
  TRY(kernel::CloseOnExecFrom(kFirstFd));
  TRY(kernel::DuplicateTo(null, STDIN_FILENO));
  TRY(kernel::DuplicateTo(errors, STDOUT_FILENO));
  TRY(kernel::DuplicateTo(errors, STDERR_FILENO));
  for (size_t i = 0; i < high.size(); ++i)
    TRY(kernel::DuplicateTo(high[i], kFirstFd + static_cast<int>(i)));
  return Ok();
}

[[noreturn]] void Execute(const std::string& path,
                          std::vector<std::string> words,
                          const std::string& directory,
                          const std::vector<int>& fds, BorrowedFd errors) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Both outlive execve; pasta refuses to start where SIGPIPE is ignored.
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  words.insert(words.begin(), path);
  const auto argv = kernel::PointersTo(words);
  char own_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {own_path, nullptr};
  if (PutInPlace(directory, fds, errors).ok())
    execve(path.c_str(), argv.data(), environment);
  _exit(127);
}

// The last that it said, but for its complaints of having no log.
std::string LastLine(BorrowedFd errors) {
  if (!sys::LSeek(errors, 0, SEEK_SET).ok()) return "";
  const auto text = kernel::ReadAll(errors, kErrorBytesMax);
  if (!text.ok()) return "";
  std::istringstream lines(*text);
  std::string line, last;
  while (std::getline(lines, line))
    if (!line.empty() && line.find(" to syslog") == line.npos) last = line;
  return last;
}

}  // namespace

Result<NetworkHelper> NetworkHelper::Start(const std::string& program,
                                           std::vector<std::string> words,
                                           const std::string& directory,
                                           const std::vector<int>& fds) {
  NetworkHelper helper;
  helper.program_ = program;
  helper.errors_ = TRY(sys::MemFd("errors"));
  const std::string path = runtime::FindProgram(program.c_str());
  helper.child_ = TRY(kernel::Clone(0));
  if (helper.child_.pid == 0)
    Execute(path, std::move(words), directory, fds, helper.errors_);
  return helper;
}

NetworkHelper::~NetworkHelper() {
  if (!child_.pidfd.valid()) return;
  (void)kernel::PidfdSignal(child_.pidfd, SIGKILL);
  (void)kernel::WaitPid(child_.pid);
}

Status NetworkHelper::Await(BorrowedFd ready) {
  pollfd fds[] = {{ready.get(), POLLIN, 0}, {child_.pidfd.get(), POLLIN, 0}};
  char byte = 0;
  if (poll(fds, 2, kPatienceMs) > 0 && (fds[0].revents & POLLIN) != 0) {
    const auto got = kernel::Read(ready, &byte, 1);
    if (got.ok() && *got == 1) return Ok();
  }
  const std::string said = LastLine(errors_);
  return Error(EIO, "--network: " + program_ + " could not connect" +
                        (said.empty() ? "" : " (" + said + ")") +
                        "; is /dev/net/tun there, and open to this user? Else "
                        "use --network none or host");
}

kernel::Child NetworkHelper::Release() { return std::move(child_); }

}  // namespace ufs
