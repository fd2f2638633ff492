// ufs exec: another program in a container that runs.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "tools/cmd_oci.h"
#include "tools/command.h"
#include "tools/own_program.h"
#include "tools/run/commands.h"
#include "tools/run/container_user.h"
#include "tools/run/exit_code.h"
#include "tools/run/find.h"
#include "tools/run/option_words.h"
#include "tools/run/options.h"

namespace ufs {
namespace {

constexpr char kUfsExec[] = "ufs exec";

struct ExecArguments {
  std::vector<std::string> words;  // container, program, arguments
  std::vector<std::string> env, env_files;
  std::string workdir, user;
  bool interactive = false, terminal = false, detach = false;
};

Result<runtime::Process> MakeProcess(const ExecArguments& arguments,
                                     const runtime::Container& container) {
  runtime::Process process = TRY(container.Spec()).process;
  process.args.assign(arguments.words.begin() + 1, arguments.words.end());
  for (const std::string& path : arguments.env_files)
    TRY(AddEnvironmentFile(path, process.env));
  for (const std::string& text : arguments.env)
    TRY(AddEnvironment(text, process.env).With("-e"));
  if (!arguments.workdir.empty()) process.cwd = arguments.workdir;
  if (!arguments.user.empty()) {
    // As for 'ufs run': root, with that group.
    const std::string user =
        (arguments.user.starts_with(':') ? "0" : "") + arguments.user;
    process.user = TRY(UserInContainer(container, user));
    process.user.umask = 0022;
  }
  process.terminal = arguments.terminal;
  process.console_size.reset();
  winsize window;
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0)
    process.console_size = {window.ws_row, window.ws_col};
  return process;
}

Result<int> Exec(const ExecArguments& arguments) {
  const FoundContainer found = TRY(FindContainer(arguments.words[0]));
  runtime::Container container = TRY(found.Open());
  const runtime::Process process = TRY(MakeProcess(arguments, container));
  UniqueFd own_errors;
  if (!arguments.interactive || arguments.detach) {
    const UniqueFd null = TRY(sys::Open("/dev/null", O_RDWR));
    // A terminal of ours is still needed for its size and signals.
    if (!arguments.terminal)
      TRY(runtime::kernel::DuplicateTo(null, STDIN_FILENO));
    if (arguments.detach) {
      // Ours is to say why it could not be started.
      own_errors = TRY(runtime::kernel::Duplicate(STDERR_FILENO));
      for (const int fd : {STDOUT_FILENO, STDERR_FILENO})
        TRY(runtime::kernel::DuplicateTo(null, fd));
    }
  }
  if (!arguments.detach) HoldSignals();
  UniqueFd terminal;
  const auto pid = container.Exec(process, {}, terminal);
  if (own_errors.valid())
    TRY(runtime::kernel::DuplicateTo(own_errors, STDERR_FILENO));
  if (!pid.ok()) return pid.error();
  if (arguments.detach) return kExitOk;
  return Attend(*pid, std::move(terminal));
}

}  // namespace

int RunExec(int argc, char** argv) {
  ExecArguments arguments;
  ArgumentParser parser(
      kUfsExec, "ufs exec [options] CONTAINER COMMAND [ARG...]",
      "Runs another COMMAND in a container that runs, with the environment, "
      "the limits\nand the rights of its first.",
      "Exit code: that of COMMAND; 125 when ufs failed, 126 when COMMAND "
      "cannot be\nrun, 127 when it is not there.\n\n"
      "Examples:\n"
      "  ufs exec -it web sh\n"
      "  ufs exec -u www -w /srv web ls -l\n");
  const auto list = [&](const char* name, std::vector<std::string>& target,
                        const char* type, const char* help) {
    parser.add_option(name, target, help)->type_name(type)->repeatable();
  };
  parser.add_flag("-i,--interactive", arguments.interactive,
                  "Give COMMAND our standard input");
  parser.add_flag("-t,--tty", arguments.terminal, "Give COMMAND a terminal");
  parser.add_flag("-d,--detach", arguments.detach, "Do not wait for it");
  list("-e,--env", arguments.env, "NAME[=VALUE]", "Environment variable");
  list("--env-file", arguments.env_files, "FILE", "The same, by lines");
  parser.add_option("-w,--workdir", arguments.workdir, "Where it starts")
      ->type_name("DIR");
  parser.add_option("-u,--user", arguments.user, "As whom, name or number")
      ->type_name("USER[:GROUP]");
  // What follows the container is the command's own.
  parser.prefix_command();
  if (auto done = parser.Parse(argc, argv))
    return *done == 0 ? 0 : kExitNotStarted;
  arguments.words = parser.remaining();
  const auto usage = [&](const std::string& message) {
    return Complain(kUfsExec, message + "; see 'ufs exec --help'",
                    kExitNotStarted);
  };
  auto& words = arguments.words;
  if (!words.empty() && words[0].starts_with('-'))
    return usage("unknown option '" + words[0] + "'");
  if (words.size() > 1 && words[1] == "--") words.erase(words.begin() + 1);
  if (words.size() < 2) return usage("no container or no command given");
  if (arguments.terminal && arguments.detach)
    return usage("-t with -d leaves nobody at the terminal");
  if (arguments.terminal && arguments.interactive && !isatty(STDIN_FILENO))
    return usage("-t: standard input is no terminal");
  std::vector<std::string> own = {"ufs"};
  own.insert(own.end(), argv, argv + argc);
  SealOwnProgram(own);
  const auto code = Exec(arguments);
  if (code.ok()) return *code;
  return Complain(kUfsExec, Explain(InOptionWords(code.error())),
                  ExitCodeFor(code.error()));
}

}  // namespace ufs
