// ufs attach and ufs wait: what is learned from a container's supervisor.
#include <cstdio>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/run/attach_client.h"
#include "tools/run/commands.h"
#include "tools/run/detach_keys.h"
#include "tools/run/exit_code.h"
#include "tools/run/find.h"

namespace ufs {
namespace {

constexpr char kAttach[] = "ufs attach";

// Its exit code, after the supervisor said it or wrote it down.
Result<int> WatchToTheEnd(const FoundContainer& found,
                          const AttachOptions& options, bool& detached) {
  if (!found.record.ended) {
    const auto socket = ConnectSupervisor(found.directory());
    if (socket.ok()) {
      const Attached attached = TRY(Attach(*socket, options));
      detached = attached.end == Attached::End::kDetached;
      if (attached.end == Attached::End::kFailed && options.output)
        return Complain(kAttach, attached.message, attached.code);
      if (attached.end != Attached::End::kLost) return attached.code;
    }
  }
  // It has ended meanwhile, or its supervisor has.
  const FoundContainer now = TRY(FindContainer(found.record.name));
  if (now.record.ended) return now.record.exit_code;
  return Error(EAGAIN, found.record.name + " is being started; try again");
}

}  // namespace

int RunAttach(int argc, char** argv) {
  std::string name, keys = "ctrl-p,ctrl-q";
  bool no_input = false, no_signals = false, signals = true;
  ArgumentParser parser(
      kAttach, "ufs attach [options] CONTAINER",
      "Connects our standard streams to those of a container that runs, from "
      "now on\n(see ufs logs for what it has written before). Exit code: the "
      "container's.",
      "");
  parser.add_option("container", name);
  parser.add_option("--detach-keys", keys, "What leaves it running")
      ->type_name("KEYS");
  parser.add_flag("--no-stdin", no_input, "Only look");
  parser.add_flag("--no-sig-proxy", no_signals, "Keep signals to ourselves");
  parser.add_flag("--sig-proxy", signals, "--sig-proxy=false: the same");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (name.empty())
    return Complain(kAttach, "no container given; see 'ufs attach --help'",
                    kExitUsage);
  const auto attach = [&]() -> Result<int> {
    const FoundContainer found = TRY(FindContainer(name));
    if (found.record.ended) return Error(ESRCH, name + " is not running");
    AttachOptions options;
    options.detach_keys = TRY(ParseDetachKeys(keys));
    options.input = !no_input;
    options.terminal = found.record.terminal && !no_input;
    options.signals = signals && !no_signals;
    bool detached = false;
    const int code = TRY(WatchToTheEnd(found, options, detached));
    return detached ? 0 : code;
  };
  const auto code = attach();
  if (!code.ok())
    return Complain(kAttach, Explain(code.error()), kExitNotStarted);
  return *code;
}

int RunWait(int argc, char** argv) {
  constexpr char kWho[] = "ufs wait";
  std::vector<std::string> names;
  ArgumentParser parser(kWho, "ufs wait CONTAINER...",
                        "Waits until containers have ended; prints their exit "
                        "codes.",
                        "");
  parser.add_option("containers", names);
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (names.empty())
    return Complain(kWho, "no container given; see 'ufs wait --help'",
                    kExitUsage);
  int result = kExitOk;
  for (const std::string& name : names) {
    const auto wait = [&]() -> Result<int> {
      AttachOptions options;
      options.output = options.signals = false;
      bool detached = false;
      return WatchToTheEnd(TRY(FindContainer(name)), options, detached);
    };
    const auto code = wait();
    if (code.ok())
      std::printf("%d\n", *code);
    else
      result = Complain(kWho, Explain(code.error()), kExitFailure);
  }
  const int finished = FinishOutput(kWho);
  return result == kExitOk ? finished : result;
}

}  // namespace ufs
