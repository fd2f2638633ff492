#include "tools/run/for_each.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "runtime/kernel.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/run/attach_client.h"
#include "tools/run/attach_protocol.h"
#include "tools/run/volume_store.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;

// For what must come to its end once it was killed.
constexpr int kKillPatienceMs = 150'000;
constexpr int kKillAgainMs = 1'000;

constexpr size_t kComplaintBytesMax = 64 << 10;

// A process that does a part of the work: the end of its pipe that has why it
// failed, "" if it has not.
struct Part {
  kernel::Child child;
  UniqueFd complaint;
};

Result<Part> StartPart(const std::function<Status()>& act) {
  auto pipe = TRY(kernel::MakePipe());
  Part part;
  part.child = TRY(kernel::Clone(0));
  if (part.child.pid == 0) {
    // Who interrupts us means all of it.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    const Status done = act();
    const bool told =
        done.ok() || kernel::WriteAll(pipe.write, Explain(done.error())).ok();
    _exit(done.ok() && told ? kExitOk : kExitFailure);
  }
  part.complaint = std::move(pipe.read);
  return part;
}

// Its complaint, "" if there is none.
Result<std::string> AwaitPart(const Part& part) {
  std::string complaint =
      TRY(kernel::ReadAll(part.complaint, kComplaintBytesMax));
  const int status = TRY(kernel::WaitPid(part.child.pid));
  if (status != 0 && complaint.empty())
    complaint = "what looked after it has died";
  return complaint;
}

// To its first process; by its supervisor where that must know before it sees
// it end.
Status SendSignal(const FoundContainer& found, AttachWord word, int signal) {
  const bool restarts = found.record.restart.restarts();
  const auto directly = [&]() -> Status {
    return TRY(found.Open()).Kill(signal, /*all=*/false);
  };
  if (found.record.ended || (!restarts && word == AttachWord::kSignal))
    return directly();
  const auto supervisor = ConnectSupervisor(found.directory());
  if (!supervisor.ok() && !restarts && word == AttachWord::kStop)
    return directly();
  if (!supervisor.ok())
    return Error(EAGAIN, found.record.name + " is being started; try again");
  return kernel::SendMessage(*supervisor,
                             static_cast<char>(word) + std::to_string(signal));
}

// So that it hears of a signal. It may have ended of it by now.
Status ResumeIfPaused(runtime::Container& container) {
  const auto is_paused = [&] {
    const auto status = container.Status();
    return status.ok() && *status == runtime::RunState::kPaused;
  };
  if (!is_paused()) return Ok();
  const Status resumed = container.Resume();
  return resumed.ok() || !is_paused() ? Ok() : resumed;
}

}  // namespace

int ForEach(const char* who, const char* what,
            const std::vector<std::string>& names,
            const std::function<Status(const std::string&)>& act) {
  if (names.empty())
    return Complain(
        who, std::string("no ") + what + " given; see '" + who + " --help'",
        kExitUsage);
  int code = kExitOk;
  for (const std::string& name : names)
    if (const Status done = act(name); !done.ok())
      code = Complain(who, Explain(done.error()), kExitFailure);
  return code;
}

int FinishWith(const char* who, int code) {
  const int finished = FinishOutput(who);
  return code == kExitOk ? finished : code;
}

int ForEachContainer(const char* who, const std::vector<std::string>& names,
                     const std::function<Status(const FoundContainer&)>& act) {
  const auto one = [&](const std::string& name) -> Status {
    TRY(act(TRY(FindContainer(name))));
    std::printf("%s\n", name.c_str());
    return Ok();
  };
  return FinishWith(who, ForEach(who, "container", names, one));
}

int ForEachContainerAtOnce(
    const char* who, const std::vector<std::string>& names,
    const std::function<Status(const FoundContainer&)>& act) {
  if (names.size() < 2) return ForEachContainer(who, names, act);
  std::vector<Result<Part>> parts;
  for (const std::string& name : names)
    parts.push_back(
        StartPart([&]() -> Status { return act(TRY(FindContainer(name))); }));
  int code = kExitOk;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto end = [&]() -> Result<std::string> {
      return AwaitPart(TRY(std::move(parts[i])));
    };
    const auto complaint = end().With(names[i]);
    if (!complaint.ok())
      code = Complain(who, Explain(complaint.error()), kExitFailure);
    else if (!complaint->empty())
      code = Complain(who, *complaint, kExitFailure);
    else
      std::printf("%s\n", names[i].c_str());
  }
  return FinishWith(who, code);
}

Status SignalContainer(const FoundContainer& found, int signal) {
  return SendSignal(found, AttachWord::kSignal, signal);
}

Status AwaitEnd(const FoundContainer& found, int timeout_ms) {
  const RunRecord& record = found.record;
  const auto supervisor = kernel::PidfdOpen(record.supervisor);
  // Opened first, then checked: the number may be somebody else's by now.
  if (!supervisor.ok() || !HasSupervisor(record)) return Ok();
  constexpr int kStepMs = 200;
  for (int left_ms = timeout_ms;; left_ms -= kStepMs) {
    if (kernel::WaitForExit(*supervisor, std::clamp(left_ms, 0, kStepMs)))
      return Ok();
    // Cleaned up; it may stay until a slow reader has got all.
    const auto now = LoadRecord(found.root, record.name);
    if (now.ok() ? now->ended : now.code() == ENOENT) return Ok();
    if (left_ms <= kStepMs) break;
  }
  return Error(ETIMEDOUT, record.name + " does not end");
}

Status StopContainer(const FoundContainer& found, int seconds, int signal) {
  // First of all, lest it be restarted.
  const auto asked = SendSignal(found, AttachWord::kStop, signal);
  if (!asked.ok() && asked.code() != ESRCH) return asked;
  auto container = found.Open();
  if (container.code() == ESRCH) return AwaitEnd(found, kKillPatienceMs);
  runtime::Container running = TRY(std::move(container));
  TRY(ResumeIfPaused(running));
  if (AwaitEnd(found, seconds * 1000).ok()) return Ok();
  // More than once: it may freeze itself before it has died.
  Status ended;
  for (int waited_ms = 0; waited_ms < kKillPatienceMs;
       waited_ms += kKillAgainMs) {
    const auto killed = running.Kill(SIGKILL, /*all=*/false);
    if (!killed.ok() && killed.code() != ESRCH) return killed;
    ended = AwaitEnd(found, kKillAgainMs);
    if (ended.ok()) break;
  }
  return ended;
}

Status RestartContainer(const FoundContainer& found, int seconds, int signal) {
  const RunRecord& record = found.record;
  if (record.ended)
    return Error(ESRCH, record.name +
                            " has ended, and is not started again; make "
                            "another: ufs run --replace --name " +
                            record.name);
  TRY(SendSignal(found, AttachWord::kRestart, signal));
  if (auto container = found.Open(); container.ok())
    TRY(ResumeIfPaused(*container));
  constexpr int kStepMs = 50;
  int until_kill_ms = seconds * 1000;
  for (int left_ms = until_kill_ms + kKillPatienceMs; left_ms > 0;
       left_ms -= kStepMs, until_kill_ms -= kStepMs) {
    const RunRecord now = TRY(LoadRecord(found.root, record.name));
    if (now.ended)
      return Error(ECHILD, record.name + " has ended" +
                               (now.error.empty() ? "" : ": " + now.error));
    if (!now.restarting && now.started != record.started) return Ok();
    // More than once, as for a stop.
    if (!now.restarting && until_kill_ms <= 0) {
      TRY(SendSignal(found, AttachWord::kRestart, SIGKILL));
      until_kill_ms = kKillAgainMs;
    }
    usleep(kStepMs * 1000);
  }
  return Error(ETIMEDOUT, record.name + " does not end");
}

Status RemoveContainer(const FoundContainer& found, bool force, bool volumes) {
  if (!found.record.ended) {
    if (!force)
      return Error(EBUSY, found.record.name +
                              " is running; stop it first, or use --force");
    TRY(StopContainer(found, 0, found.record.stop_signal));
  }
  // With --rm it is gone by itself.
  const auto left = LoadRecord(found.root, found.record.name);
  if (left.code() == ENOENT) return Ok();
  if (!left.ok()) return left.error();
  if (volumes)
    TRY(RemoveAnonymousVolumes(TRY(VolumesDirectory()), found.root, *left));
  return RemoveRecord(found.root, *left);
}

}  // namespace ufs
