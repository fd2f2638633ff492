#include "tools/run/health_monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "layerdb/base/syscall.h"
#include "runtime/container.h"
#include "runtime/state.h"
#include "tools/command.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;
using Clock = HealthMonitor::Clock;
using Milliseconds = std::chrono::milliseconds;

constexpr size_t kOutputBytesMax = 4096;  // as docker keeps
// For entering a container whose file system does not answer, beside the time
// the check itself may take.
constexpr Milliseconds kEntryPatience(10'000);
constexpr int kCouldNotRun = -1;

int MsUntil(Clock::time_point then) {
  const auto left = std::chrono::ceil<Milliseconds>(then - Clock::now());
  return static_cast<int>(
      std::clamp<int64_t>(left.count(), 0, int64_t{1} << 30));
}

// The first of what is said, and that there was more. All of it is taken, so
// that nobody waits for us.
struct Output {
  std::string text;
  bool more = false;

  // False at its end; true too when there is nothing now.
  bool Take(BorrowedFd pipe) {
    char buffer[4096];
    const auto got = kernel::Read(pipe, buffer, sizeof(buffer));
    if (got.code() == EAGAIN) return true;
    if (!got.ok() || *got == 0) return false;
    const size_t room = kOutputBytesMax - text.size();
    text.append(buffer, std::min(*got, room));
    more |= *got > room;
    return true;
  }
};

struct Answer {
  int exit_code = kCouldNotRun;
  std::string output;
};

// Until the process ends or its time is over.
Answer Watch(pid_t pid, BorrowedFd process, BorrowedFd pipe,
             Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  Output output;
  bool open = true;
  while (true) {
    pollfd fds[] = {{process.get(), POLLIN, 0},
                    {open ? pipe.get() : -1, POLLIN, 0}};
    const int found = poll(fds, 2, MsUntil(end));
    if (found == 0) {
      // What it has started is in its session, and so in its group.
      (void)kernel::Check(kill(-pid, SIGKILL));
      (void)kernel::PidfdSignal(process, SIGKILL);
      (void)kernel::WaitPid(pid);
      return {kCouldNotRun, "Health check exceeded timeout (" +
                                std::to_string(timeout.count()) + " ms)" +
                                (output.text.empty() ? "" : ": ") +
                                output.text};
    }
    if (fds[1].revents != 0) open = output.Take(pipe);
    if (fds[0].revents == 0) continue;
    // What its children say later counts no more.
    for (int i = 0; open && i < 1024; ++i) {
      pollfd left = {pipe.get(), POLLIN, 0};
      if (poll(&left, 1, 0) <= 0) break;
      open = output.Take(pipe);
    }
    const auto status = kernel::WaitPid(pid);
    if (!status.ok()) return {kCouldNotRun, Explain(status.error())};
    if (output.more) output.text += "...";
    return {kernel::ExitCodeOf(*status), output.text};
  }
}

Result<Answer> RunInside(const std::string& state_root, const std::string& name,
                         const HealthCheck& check) {
  auto container = TRY(runtime::Container::Open(state_root, name));
  runtime::Process process = TRY(container.Spec()).process;
  process.args = check.command;
  process.terminal = false;
  process.console_size.reset();
  auto pipe = TRY(kernel::MakePipe());
  TRY(kernel::SetNonBlocking(pipe.read));
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO})
    TRY(kernel::DuplicateTo(pipe.write, fd));
  pipe.write.reset();
  UniqueFd terminal;
  const pid_t pid = TRY(container.Exec(process, {}, terminal));
  const UniqueFd null = TRY(sys::Open("/dev/null", O_RDWR));
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO})
    TRY(kernel::DuplicateTo(null, fd));
  const UniqueFd pidfd = TRY(kernel::PidfdOpen(pid));
  return Watch(pid, pidfd, pipe.read, check.timeout);
}

// In a child of the supervisor, of which it keeps nothing open: an end of a
// pipe that stays open here would never be seen closed elsewhere.
void AskInChild(UniqueFd channel, const std::string& state_root,
                const std::string& name, const HealthCheck& check) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto kept = kernel::MoveAndCloseRest(std::move(channel));
  if (!kept.ok()) return;
  auto answer = RunInside(state_root, name, check);
  if (!answer.ok()) answer = Answer{kCouldNotRun, Explain(answer.error())};
  (void)kernel::SendMessage(
      *kept, std::to_string(answer->exit_code) + "\n" + answer->output);
}

Answer ParseAnswer(const std::string& text) {
  Answer answer;
  const char* const end = text.data() + text.size();
  const auto [rest, error] =
      std::from_chars(text.data(), end, answer.exit_code);
  if (error != std::errc() || rest == end || *rest != '\n')
    return {kCouldNotRun, "the process that asked was killed"};
  answer.output.assign(rest + 1, end);
  return answer;
}

}  // namespace

void HealthMonitor::Begin() {
  running_ = check_.wanted();
  began_ = Clock::now();
  Rest(Health());
}

void HealthMonitor::End() {
  Dismiss();
  running_ = false;
}

int HealthMonitor::PatienceMs() const {
  if (!running_) return -1;
  return MsUntil(asker_ ? asker_->latest : due_);
}

bool HealthMonitor::Act(const std::function<bool()>& is_paused,
                        Health& health) {
  if (!running_) return false;
  if (asker_) return Hear(is_paused, health);
  if (Clock::now() < due_) return false;
  if (is_paused()) {
    Rest(health);
    return false;
  }
  const auto asked = Ask();
  if (asked.ok()) return false;
  const std::string now = runtime::NowRfc3339();
  health.Add({now, now, kCouldNotRun, Explain(asked.error())}, IsYoung(),
             check_.retries);
  Rest(health);
  return true;
}

void HealthMonitor::Rest(const Health& health) {
  const bool starting = health.status() == Health().status() && IsYoung();
  due_ = Clock::now() + (starting
                             ? std::min(check_.start_interval, check_.interval)
                             : check_.interval);
}

Status HealthMonitor::Ask() {
  auto pair = TRY(kernel::MakeSocketPair());
  Asker asker;
  asker.child = TRY(kernel::Clone(0));
  if (asker.child.pid == 0) {
    AskInChild(std::move(pair.theirs), state_root_, name_, check_);
    _exit(0);
  }
  asker.answer = std::move(pair.ours);
  asker.since = runtime::NowRfc3339();
  asker.latest = Clock::now() + check_.timeout + kEntryPatience;
  asker_ = std::move(asker);
  return Ok();
}

bool HealthMonitor::Hear(const std::function<bool()>& is_paused,
                         Health& health) {
  pollfd answer = {asker_->answer.get(), POLLIN, 0};
  const bool late = Clock::now() >= asker_->latest;
  if (poll(&answer, 1, 0) <= 0 && !late) return false;
  HealthProbe probe;
  probe.start = asker_->since;
  probe.end = runtime::NowRfc3339();
  const auto said = answer.revents != 0
                        ? kernel::ReceiveMessage(asker_->answer, 64 << 10)
                        : Result<kernel::Message>(Error(ETIMEDOUT));
  const Answer found =
      said.ok() ? ParseAnswer(said->data)
                : Answer{kCouldNotRun, "the container cannot be entered"};
  Dismiss();
  // Who is frozen cannot answer.
  if (found.exit_code != 0 && is_paused()) {
    Rest(health);
    return false;
  }
  probe.exit_code = found.exit_code;
  probe.output = found.output;
  health.Add(std::move(probe), IsYoung(), check_.retries);
  Rest(health);
  return true;
}

// The supervisor reaps it with its other children.
void HealthMonitor::Dismiss() {
  if (!asker_) return;
  (void)kernel::PidfdSignal(asker_->child.pidfd, SIGKILL);
  asker_.reset();
}

}  // namespace ufs
