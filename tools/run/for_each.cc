#include "tools/run/for_each.h"

#include <signal.h>

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

Status SignalContainer(const FoundContainer& found, int signal) {
  if (found.record.ended || !found.record.restart.restarts())
    return TRY(found.Open()).Kill(signal, /*all=*/false);
  // Its supervisor must know before it sees it end.
  const auto supervisor = ConnectSupervisor(found.directory());
  if (!supervisor.ok())
    return Error(EAGAIN, found.record.name + " is being started; try again");
  return kernel::SendMessage(
      *supervisor,
      static_cast<char>(AttachWord::kSignal) + std::to_string(signal));
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

Status StopContainer(const FoundContainer& found, int seconds) {
  // First of all, lest it be restarted.
  const auto asked = SignalContainer(found, found.record.stop_signal);
  if (!asked.ok() && asked.code() != ESRCH) return asked;
  auto container = found.Open();
  if (container.code() == ESRCH) return AwaitEnd(found, kKillPatienceMs);
  runtime::Container running = TRY(std::move(container));
  const auto status = running.Status();
  if (status.ok() && *status == runtime::RunState::kPaused)
    TRY(running.Resume());
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

Status RemoveContainer(const FoundContainer& found, bool force, bool volumes) {
  if (!found.record.ended) {
    if (!force)
      return Error(EBUSY, found.record.name +
                              " is running; stop it first, or use --force");
    TRY(StopContainer(found, 0));
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
