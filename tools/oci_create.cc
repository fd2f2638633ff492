// ufs oci create, run, exec: the verbs that put a process into a container.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "layerdb/base/syscall.h"
#include "runtime/config.h"
#include "runtime/kernel.h"
#include "runtime/names.h"
#include "runtime/terminal.h"
#include "tools/cmd_oci.h"
#include "tools/oci_environment.h"

namespace ufs {
namespace {

using runtime::Container;
using Words = std::vector<std::string>;

// Of our caller: what is ours is close-on-exec.
bool IsCallers(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

Status CheckPreserved(int count) {
  for (int i = 0; i < count; ++i)
    if (!IsCallers(3 + i))
      return Error(EINVAL, "descriptor " + std::to_string(3 + i) +
                               ", which is to be preserved, is not open");
  return Ok();
}

// What create and run have in common.
struct CreateArguments {
  std::string bundle, preserve_fds = "0";
  runtime::CreateOptions options;
  std::string config;

  void Declare(OciArguments& arguments) {
    arguments.Value({"bundle", "b"}, bundle)
        .Value({"console-socket"}, options.console_socket)
        .Value({"pid-file"}, options.pid_file)
        .Value({"pidfd-socket"}, options.pidfd_socket)
        .Value({"preserve-fds"}, preserve_fds)
        .Flag({"no-pivot"}, no_pivot)
        .Flag({"no-new-keyring"}, no_new_keyring);
  }

  Status Read(const OciGlobals& globals) {
    std::error_code error;
    options.bundle =
        std::filesystem::absolute(bundle.empty() ? "." : bundle, error)
            .lexically_normal();
    if (options.bundle.size() > 1 && options.bundle.back() == '/')
      options.bundle.pop_back();
    options.preserve_fds = TRY(ParseNumber(preserve_fds, "--preserve-fds"));
    options.cgroups = globals.cgroups;
    if (globals.systemd)
      options.systemd = runtime::CreateOptions::Systemd::kYes;
    options.pivot = !no_pivot;
    options.new_keyring = !no_new_keyring;
    AddFromEnvironment(options);
    TRY(CheckPreserved(options.preserve_fds));
    config = TRY(runtime::ReadConfig(options.bundle));
    return Ok();
  }

 private:
  bool no_new_keyring = false, no_pivot = false;
};

constexpr int kForwarded[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,   SIGUSR1,
                              SIGUSR2, SIGCONT, SIGALRM, SIGWINCH, SIGCHLD,
                              SIGTSTP, SIGTTIN, SIGTTOU};

sigset_t ForwardedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kForwarded) sigaddset(&set, signal);
  return set;
}

// Passes on what has arrived; true once `pid` has ended.
bool HandleSignals(BorrowedFd signals, pid_t pid,
                   runtime::TerminalProxy* terminal, int& status) {
  signalfd_siginfo info;
  const auto got = runtime::kernel::Read(
      signals, reinterpret_cast<char*>(&info), sizeof(info));
  if (!got.ok() || *got != sizeof(info)) return false;
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGCHLD) {
    // Also what was ours to inherit, as its new parent.
    while (true) {
      int one = 0;
      const pid_t ended = waitpid(-1, &one, WNOHANG);
      if (ended <= 0) return false;
      if (ended == pid) {
        status = one;
        return true;
      }
    }
  }
  if (signal == SIGWINCH && terminal != nullptr) {
    terminal->Resize();
    return false;
  }
  kill(pid, signal);
  return false;
}

}  // namespace

void HoldSignals() {
  const sigset_t set = ForwardedSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

Result<int> Attend(pid_t pid, UniqueFd master) {
  HoldSignals();
  // Nobody reads us any more: the container's end is still to be waited for,
  // and our terminal to be put back. Whatever we start has the default again.
  signal(SIGPIPE, SIG_IGN);
  const sigset_t set = ForwardedSignals();
  const int raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  TRY(runtime::kernel::Check(raw));
  const UniqueFd signals(raw);

  std::optional<runtime::TerminalProxy> terminal;
  if (master.valid()) terminal.emplace(std::move(master));
  int status = 0;
  // It may have ended before we blocked SIGCHLD.
  bool ended = waitpid(pid, &status, WNOHANG) == pid;
  while (!ended) {
    pollfd fds[1 + runtime::TerminalProxy::kPolled] = {
        {signals.get(), POLLIN, 0}};
    nfds_t count = 1;
    if (terminal) {
      terminal->Prepare(fds + 1);
      count = std::size(fds);
    }
    if (poll(fds, count, -1) < 0) continue;
    if (terminal) terminal->Handle(fds + 1);
    // As a window that is closed: what waits for a reader in there would do so
    // for ever.
    if (terminal && terminal->reader_gone()) terminal.reset();
    if (fds[0].revents != 0)
      ended =
          HandleSignals(signals, pid, terminal ? &*terminal : nullptr, status);
  }
  if (terminal) terminal->Drain();
  return runtime::kernel::ExitCodeOf(status);
}

Result<int> OciCreate(const OciGlobals& globals, const Words& words) {
  CreateArguments create;
  OciArguments arguments;
  create.Declare(arguments);
  const std::string id = TRY(OnlyId(TRY(arguments.Parse(words))));
  TRY(create.Read(globals));
  const auto spec =
      TRY(runtime::ParseConfig(create.config).With("config.json"));
  if (spec.process.terminal && create.options.console_socket.empty())
    return Error(EINVAL, "process.terminal needs --console-socket");
  TRY(Container::Create(globals.root, id, create.config, create.options));
  return 0;
}

Result<int> OciRun(const OciGlobals& globals, const Words& words) {
  CreateArguments create;
  bool detach = false, keep = false, no_subreaper = false;
  OciArguments arguments;
  create.Declare(arguments);
  arguments.Flag({"detach", "d"}, detach)
      .Flag({"keep"}, keep)
      .Flag({"no-subreaper"}, no_subreaper);
  const std::string id = TRY(OnlyId(TRY(arguments.Parse(words))));
  TRY(create.Read(globals));
  if (detach) {
    const auto spec =
        TRY(runtime::ParseConfig(create.config).With("config.json"));
    if (spec.process.terminal && create.options.console_socket.empty())
      return Error(EINVAL,
                   "process.terminal with --detach needs --console-socket");
  }
  // From here on a signal waits for Attend: none may end us alone and leave the
  // container behind.
  if (!detach) HoldSignals();
  if (!detach && !no_subreaper) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  Container container =
      TRY(Container::Create(globals.root, id, create.config, create.options));
  UniqueFd terminal = container.TakeTerminal();
  if (terminal.valid() && isatty(STDOUT_FILENO) == 0)
    runtime::KeepLineEnds(terminal);
  if (auto started = detach ? StartAndNotify(container)
                            : StartAndNotifyMeanwhile(container);
      !started.ok()) {
    (void)container.Delete(/*force=*/true);
    return std::move(started).error();
  }
  if (detach) return 0;
  const auto code = Attend(container.state().pid, std::move(terminal));
  if (!keep || !code.ok()) TRY(container.Delete(/*force=*/true));
  return code;
}

namespace {

// The options of exec that change the process of config.json.
struct ExecArguments {
  std::string process_file, cwd, user, apparmor, process_label;
  Words env, groups, caps;
  bool tty = false, no_new_privs = false;

  Status Apply(runtime::Process& process) const {
    process.terminal = tty;
    if (!cwd.empty()) process.cwd = cwd;
    if (!process.cwd.starts_with('/'))
      return Error(EINVAL, "--cwd must be absolute");
    for (const std::string& entry : env) {
      if (entry.find('=') == entry.npos || entry[0] == '=')
        return Error(EINVAL, "--env: \"" + entry + "\" is not NAME=VALUE");
      const std::string name = entry.substr(0, entry.find('=') + 1);
      std::erase_if(process.env, [&](const std::string& other) {
        return other.starts_with(name);
      });
      process.env.push_back(entry);
    }
    if (!user.empty()) {
      // Numbers alone: names are the container's to give meaning to.
      const size_t colon = user.find(':');
      const auto uid = runtime::ParseId(user.substr(0, colon));
      const auto gid = colon == user.npos
                           ? std::optional<uint32_t>(0)
                           : runtime::ParseId(user.substr(colon + 1));
      if (!uid || !gid)
        return Error(EINVAL, "--user: \"" + user +
                                 "\" is not UID or UID:GID in numbers");
      process.user.uid = *uid;
      process.user.gid = *gid;
      process.user.additional_gids.clear();
    }
    for (const std::string& group : groups) {
      const auto gid = runtime::ParseId(group);
      if (!gid)
        return Error(EINVAL, "--additional-gids: \"" + group +
                                 "\" is no group's number");
      process.user.additional_gids.push_back(*gid);
    }
    for (const std::string& name : caps) {
      const auto number = runtime::ParseCapability(name);
      if (!number)
        return Error(EINVAL, "--cap: \"" + name + "\" is no capability");
      const uint64_t bit = uint64_t{1} << *number;
      runtime::Capabilities sets =
          process.capabilities.value_or(runtime::Capabilities());
      sets.bounding |= bit;
      sets.effective |= bit;
      sets.permitted |= bit;
      // For a process that is not root's, where that may have any.
      sets.ambient |= bit & sets.inheritable;
      process.capabilities = sets;
    }
    if (no_new_privs) process.no_new_privileges = true;
    if (!apparmor.empty()) process.apparmor_profile = apparmor;
    if (!process_label.empty()) process.selinux_label = process_label;
    return Ok();
  }
};

}  // namespace

Result<int> OciExec(const OciGlobals& globals, const Words& words) {
  ExecArguments exec;
  runtime::ExecOptions options;
  std::string preserve_fds = "0";
  bool detach = false;
  OciArguments arguments;
  arguments.Value({"process", "p"}, exec.process_file)
      .Value({"cwd"}, exec.cwd)
      .Value({"user", "u"}, exec.user)
      .List({"env", "e"}, exec.env)
      .List({"additional-gids", "g"}, exec.groups)
      .List({"cap", "c"}, exec.caps)
      .Flag({"tty", "t"}, exec.tty)
      .Flag({"no-new-privs"}, exec.no_new_privs)
      .Value({"apparmor"}, exec.apparmor)
      .Value({"process-label"}, exec.process_label)
      .Flag({"detach", "d"}, detach)
      .Flag({"ignore-paused"}, options.ignore_paused)
      .Value({"console-socket"}, options.console_socket)
      .Value({"pid-file"}, options.pid_file)
      .Value({"pidfd-socket"}, options.pidfd_socket)
      .List({"cgroup"}, options.cgroups)
      .Value({"preserve-fds"}, preserve_fds);
  Words plain = TRY(arguments.Parse(words, /*words_end_options=*/true));
  if (plain.empty()) return Error(EINVAL, "no container id given");
  options.preserve_fds = TRY(ParseNumber(preserve_fds, "--preserve-fds"));
  if (options.preserve_fds < 0)
    return Error(EINVAL, "a negative number of descriptors to preserve");
  TRY(CheckPreserved(options.preserve_fds));
  Container container = TRY(Container::Open(globals.root, plain[0]));
  runtime::Process process;
  if (!exec.process_file.empty()) {
    if (plain.size() > 1)
      return Error(EINVAL, "a command and --process: choose one");
    const UniqueFd file = TRY(
        sys::Open(exec.process_file.c_str(), O_RDONLY).With(exec.process_file));
    process = TRY(runtime::ParseProcess(TRY(runtime::kernel::ReadAll(
                                            file, runtime::kConfigBytesMax)))
                      .With(exec.process_file));
    exec.tty |= process.terminal;
  } else {
    process = TRY(container.Spec()).process;
    plain.erase(plain.begin());
    if (plain.empty()) return Error(EINVAL, "no command given");
    process.args = plain;
  }
  TRY(exec.Apply(process));
  if (detach && process.terminal && options.console_socket.empty())
    return Error(EINVAL, "a terminal with --detach needs --console-socket");
  if (!detach) HoldSignals();
  options.keep_line_ends = !detach && isatty(STDOUT_FILENO) == 0;
  UniqueFd terminal;
  const pid_t pid = TRY(container.Exec(process, options, terminal));
  if (detach) return 0;
  return Attend(pid, std::move(terminal));
}

}  // namespace ufs
