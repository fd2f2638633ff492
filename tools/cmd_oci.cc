// ufs oci, and the same as ufs-oci: global flags, the table of verbs, and how
// failures are told to the tools that call an OCI runtime.
#include "tools/cmd_oci.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "layerdb/base/json_reader.h"
#include "layerdb/base/log.h"
#include "layerdb/base/syscall.h"
#include "runtime/config.h"
#include "runtime/kernel.h"
#include "runtime/state.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/own_program.h"

namespace ufs {
namespace {

struct Verb {
  const char* name;
  const char* arguments;
  const char* summary;
  OciVerb run;
  bool enters_container;
  bool has_state = true;  // false: it asks for no state directory
  int failure = kExitFailure;
};

// As runc's: others may be the program's own.
constexpr int kExitNotExecuted = 255;

constexpr Verb kVerbs[] = {
    {"create",
     "[--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] "
     "[--pidfd-socket SOCKET] [--preserve-fds N] [--no-new-keyring] ID",
     "Make a container from a bundle, up to where it can be started", OciCreate,
     true},
    {"start", "ID", "Run the program of a created container", OciStart, false},
    {"run", "[options of create] [--detach] [--keep] ID",
     "Create, start, wait, delete", OciRun, true},
    {"exec",
     "[--process FILE] [--cwd DIR] [--user UID[:GID]] [--env NAME=VALUE]... "
     "[--additional-gids GID]... [--cap CAPABILITY]... [--no-new-privs] "
     "[--apparmor PROFILE] [--process-label LABEL] [--tty] [--detach] "
     "[--ignore-paused] [--cgroup [CONTROLLER[,...]:]PATH]... "
     "[--console-socket SOCKET] [--pid-file FILE] [--pidfd-socket SOCKET] "
     "[--preserve-fds N] ID COMMAND [ARG...]",
     "Run another process in a container", OciExec, true, true,
     kExitNotExecuted},
    {"state", "ID", "Print the state as JSON", OciState, false},
    {"kill", "[--all] ID [SIGNAL]", "Send a signal (default: TERM)", OciKill,
     false},
    {"delete", "[--force] ID", "Remove a stopped container", OciDelete, false},
    {"list", "[--quiet] [--format table|json]", "List containers", OciList,
     false},
    {"ps", "[--format table|json] ID [PS-OPTION...]",
     "List the processes of a container", OciPs, false},
    {"pause", "ID", "Freeze all processes", OciPause, false},
    {"resume", "ID", "Thaw them", OciResume, false},
    {"update", "[--resources FILE|-] [limits] ID", "Change the limits",
     OciUpdate, false},
    {"events", "[--stats] [--interval TIME] ID",
     "Print what a container uses, and when memory runs out", OciEvents, false},
    {"spec", "[--rootless] [--bundle DIR]", "Write a config.json to begin with",
     OciSpec, false, false},
    {"features", "", "Print what is supported as JSON", OciFeatures, false,
     false},
};

void PrintHelp(FILE* out) {
  std::fputs(
      "Usage: ufs oci [global options] VERB [options] [ID]\n"
      "       ufs-oci [global options] VERB [options] [ID]\n"
      "\n"
      "An OCI runtime (runtime-spec 1.2), with the command line of runc.\n"
      "\n"
      "Global options:\n"
      "  --root DIR             where state is kept (default: /run/ufs-oci, "
      "or\n"
      "                         $XDG_RUNTIME_DIR/ufs-oci)\n"
      "  --log FILE             failures and warnings are written there too\n"
      "  --log-format text|json\n"
      "  --debug                say more\n"
      "  --rootless true|false|auto    accepted; it is found out\n"
      "  --systemd-cgroup       containers are in scopes that systemd makes\n"
      "  --cgroup-manager cgroupfs|systemd|disabled\n"
      "\n"
      "Verbs:\n",
      out);
  for (const Verb& verb : kVerbs)
    std::fprintf(out, "  %-10s%s\n", verb.name, verb.summary);
  std::fputs("\n`ufs oci VERB --help` shows a verb's arguments.\n", out);
}

void PrintVersion() {
  // go-runc looks for "runc version " at the beginning only of runc.
  std::printf("ufs-oci version %s\nspec: %s\n", UFS_VERSION,
              runtime::kOciVersion);
}

// As logrus has them, which runc writes by.
const char* NameOf(log::Level level) {
  switch (level) {
    case log::Level::kDebug:
      return "debug";
    case log::Level::kInfo:
      return "info";
    case log::Level::kWarn:
      return "warning";
    case log::Level::kError:
      return "error";
  }
  return "error";
}

Result<UniqueFd> OpenLog(const OciGlobals& globals) {
  return sys::Open(globals.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644)
      .With("--log " + globals.log);
}

// In the form its reader expects: podman parses the whole file as one JSON
// object, which it is when there is nothing but a failure to tell.
void WriteToLog(const OciGlobals& globals, log::Level level,
                std::string_view message) {
  const std::string quoted = QuoteJson(message);
  const std::string time = runtime::NowRfc3339();
  const std::string name = NameOf(level);
  const std::string text =
      globals.log_json
          ? "{\"level\":\"" + name + "\",\"msg\":" + quoted + ",\"time\":\"" +
                time + "\"}"
          : "time=\"" + time + "\" level=" + name + " msg=" + quoted;
  const auto file = OpenLog(globals);
  if (file.ok()) (void)runtime::kernel::WriteAll(*file, text + "\n");
}

// To stderr for people, and to the log.
void Tell(const OciGlobals& globals, const std::string& message) {
  Complain("ufs-oci", message, 0);
  if (!globals.log.empty()) WriteToLog(globals, log::Level::kError, message);
}

struct CommandLine {
  OciGlobals globals;
  std::vector<std::string> verb;  // with its arguments
  bool help = false, version = false;
};

Status ParseCommandLine(int argc, char** argv, CommandLine& line) {
  std::vector<std::string> words(argv, argv + argc);
  std::string format = "text", rootless, manager = "cgroupfs";
  bool systemd = false;
  OciArguments arguments;
  arguments.Value({"root"}, line.globals.root)
      .Value({"log"}, line.globals.log)
      .Value({"log-format"}, format)
      .Flag({"debug"}, line.globals.debug)
      .Value({"rootless"}, rootless)
      .Value({"cgroup-manager"}, manager)
      .Flag({"systemd-cgroup"}, systemd)
      .Flag({"help", "h"}, line.help)
      .Flag({"version", "v"}, line.version);
  line.verb = TRY(arguments.Parse(words, /*words_end_options=*/true));
  if (format != "text" && format != "json")
    return Error(EINVAL, "--log-format: text or json, not " + format);
  line.globals.log_json = format == "json";
  if (!rootless.empty() && rootless != "true" && rootless != "false" &&
      rootless != "auto")
    return Error(EINVAL, "--rootless: true, false or auto, not " + rootless);
  if (manager != "cgroupfs" && manager != "systemd" && manager != "disabled")
    return Error(
        EINVAL,
        "--cgroup-manager: cgroupfs, systemd or disabled, not " + manager);
  line.globals.cgroups = manager != "disabled";
  line.globals.systemd = systemd || manager == "systemd";
  if (!line.globals.root.empty()) {
    line.globals.root =
        std::filesystem::absolute(line.globals.root).lexically_normal();
    if (line.globals.root.size() > 1 && line.globals.root.back() == '/')
      line.globals.root.pop_back();
  }
  return Ok();
}

const Verb* FindVerb(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kVerbs), std::end(kVerbs),
                   [&](const Verb& verb) { return verb.name == name; });
  return found == std::end(kVerbs) ? nullptr : found;
}

bool WantsHelp(const std::vector<std::string>& words) {
  return words.size() > 1 && (words[1] == "--help" || words[1] == "-h");
}

}  // namespace

int RunOci(int argc, char** argv) {
  CommandLine line;
  const auto fail = [&](const Error& error) {
    Tell(line.globals, Explain(error));
    return kExitFailure;
  };
  const auto parsed = ParseCommandLine(argc, argv, line);
  if (line.version) {
    PrintVersion();
    return FinishOutput("ufs-oci");
  }
  if (line.help || (line.verb.size() == 1 && line.verb[0] == "help")) {
    PrintHelp(stdout);
    return FinishOutput("ufs-oci");
  }
  if (!parsed.ok()) return fail(parsed.error());
  if (line.verb.empty()) {
    PrintHelp(stderr);
    return kExitUsage;
  }
  const Verb* const verb = FindVerb(line.verb[0]);
  if (line.verb[0] == "checkpoint" || line.verb[0] == "restore")
    return fail(Error(ENOTSUP, line.verb[0] +
                                   " is not supported: ufs does not save "
                                   "running processes"));
  if (verb == nullptr)
    return fail(Error(
        EINVAL, "unknown verb \"" + line.verb[0] + "\"; see 'ufs oci --help'"));
  if (WantsHelp(line.verb)) {
    std::printf("Usage: ufs oci %s %s\n\n%s.\n", verb->name, verb->arguments,
                verb->summary);
    return FinishOutput("ufs-oci");
  }
  if (line.globals.root.empty() && verb->has_state) {
    auto root = runtime::DefaultStateRoot();
    if (!root.ok()) return fail(root.error());
    line.globals.root = std::move(root).value();
  }
  if (line.globals.debug) log::SetLevel(log::Level::kDebug);
  if (!line.globals.log.empty()) {
    const auto log = OpenLog(line.globals);
    if (!log.ok()) {
      Complain("ufs-oci", Explain(log.error()), 0);
      return kExitFailure;
    }
    log::CopyTo(
        [globals = line.globals](log::Level level, std::string_view message) {
          WriteToLog(globals, level, message);
        });
  }
  if (verb->enters_container) {
    // By the name that leads here again, also from `ufs oci`.
    std::vector<std::string> words = {"ufs-oci"};
    words.insert(words.end(), argv + 1, argv + argc);
    SealOwnProgram(words);
  }
  const auto done = verb->run(line.globals, line.verb);
  if (done.ok()) return *done;
  fail(done.error());
  return verb->failure;
}

}  // namespace ufs
