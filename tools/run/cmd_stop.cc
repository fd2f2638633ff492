// ufs stop, restart, kill, pause, unpause, rm: what is done to containers by
// name.
#include <signal.h>

#include <optional>

#include "runtime/names.h"
#include "tools/command.h"
#include "tools/run/commands.h"
#include "tools/run/for_each.h"

namespace ufs {
namespace {

struct Verb {
  ArgumentParser parser;
  std::vector<std::string> names;

  Verb(const char* who, const char* usage, const char* description)
      : parser(who, usage, description, "") {
    parser.add_option("containers", names);
  }
};

int NoSignal(const char* who, const std::string& name) {
  return Complain(who, "--signal '" + name + "': is no signal; see 'kill -l'",
                  kExitUsage);
}

// Ends containers in one way or another: RestartContainer, StopContainer.
int EndEach(const char* who, Verb& verb, int argc, char** argv,
            Status (*end)(const FoundContainer&, int seconds, int signal)) {
  std::optional<int> seconds;
  verb.parser
      .add_option("-t,--time,--timeout", seconds,
                  "Before it is killed (default: its --stop-timeout, 10)")
      ->type_name("SECONDS")
      ->range(0, kStopSecondsMax);
  std::string name;
  verb.parser
      .add_option("-s,--signal", name, "In the place of its --stop-signal")
      ->type_name("SIGNAL");
  if (auto done = verb.parser.Parse(argc, argv)) return *done;
  const auto signal = runtime::ParseSignal(name);
  if (!name.empty() && signal.value_or(0) == 0) return NoSignal(who, name);
  const auto act = [&](const FoundContainer& found) {
    return end(found, seconds.value_or(found.record.stop_timeout),
               signal.value_or(found.record.stop_signal));
  };
  return ForEachContainerAtOnce(who, verb.names, act);
}

}  // namespace

int RunStop(int argc, char** argv) {
  constexpr char kWho[] = "ufs stop";
  Verb verb(
      kWho, "ufs stop [--time SECONDS] [--signal SIGNAL] CONTAINER...",
      "Asks containers to end (TERM, or their --stop-signal), kills "
      "them after a\nwhile, and waits until they are cleaned up; several at "
      "once.");
  return EndEach(kWho, verb, argc, argv, StopContainer);
}

int RunRestart(int argc, char** argv) {
  constexpr char kWho[] = "ufs restart";
  Verb verb(
      kWho, "ufs restart [--time SECONDS] [--signal SIGNAL] CONTAINER...",
      "Ends containers that run as 'ufs stop' does, and starts them again over "
      "the same\nupper, whatever their --restart policy. One that has ended "
      "is not started again.");
  return EndEach(kWho, verb, argc, argv, RestartContainer);
}

int RunKill(int argc, char** argv) {
  constexpr char kWho[] = "ufs kill";
  Verb verb(kWho, "ufs kill [--signal SIGNAL] CONTAINER...",
            "Sends a signal to the first process of containers.");
  std::string name = "KILL";
  verb.parser.add_option("-s,--signal", name, "By name or number (KILL)")
      ->type_name("SIGNAL");
  if (auto done = verb.parser.Parse(argc, argv)) return *done;
  const auto signal = runtime::ParseSignal(name);
  if (!signal) return NoSignal(kWho, name);
  return ForEachContainer(kWho, verb.names, [&](const FoundContainer& found) {
    return SignalContainer(found, *signal);
  });
}

int RunPause(int argc, char** argv) {
  constexpr char kWho[] = "ufs pause";
  Verb verb(kWho, "ufs pause CONTAINER...",
            "Freezes all processes of containers.");
  if (auto done = verb.parser.Parse(argc, argv)) return *done;
  return ForEachContainer(kWho, verb.names,
                          [&](const FoundContainer& found) -> Status {
                            return TRY(found.Open()).Pause();
                          });
}

int RunUnpause(int argc, char** argv) {
  constexpr char kWho[] = "ufs unpause";
  Verb verb(kWho, "ufs unpause CONTAINER...",
            "Lets paused containers run again.");
  if (auto done = verb.parser.Parse(argc, argv)) return *done;
  return ForEachContainer(kWho, verb.names,
                          [&](const FoundContainer& found) -> Status {
                            return TRY(found.Open()).Resume();
                          });
}

int RunRm(int argc, char** argv) {
  constexpr char kWho[] = "ufs rm";
  Verb verb(kWho, "ufs rm [--force] [--volumes] CONTAINER...",
            "Removes containers that have ended, with their log and fresh "
            "upper. An upper\nthat was named stays.");
  bool force = false, volumes = false;
  verb.parser.add_flag("-f,--force", force, "Those too that run: kill them");
  verb.parser.add_flag("-v,--volumes", volumes,
                       "With the volumes that were made up for them");
  if (auto done = verb.parser.Parse(argc, argv)) return *done;
  return ForEachContainer(kWho, verb.names, [&](const FoundContainer& found) {
    return RemoveContainer(found, force, volumes);
  });
}

}  // namespace ufs
