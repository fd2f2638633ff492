#include "runtime/init.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "layerdb/base/cleanup.h"
#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/container.h"
#include "runtime/exec.h"
#include "runtime/hooks.h"
#include "runtime/host_path.h"
#include "runtime/id_map.h"
#include "runtime/idmapped_mount.h"
#include "runtime/kernel.h"
#include "runtime/loopback.h"
#include "runtime/namespaces.h"
#include "runtime/privileges.h"
#include "runtime/rooted_path.h"
#include "runtime/rootfs.h"
#include "runtime/security_label.h"
#include "runtime/terminal.h"

namespace ufs::runtime {
namespace {

// Into `cgroup` comes the container's.
Status JoinCgroup(const InitInput& input, BorrowedFd channel, Cgroup& cgroup) {
  cgroup = input.cgroup;
  if (cgroup.in_scope()) {
    // There is none before us; the runtime has us moved, and says where to.
    const Said go = TRY(Expect(channel, Word::kGo));
    cgroup = TRY(
        Cgroup::Load(nlohmann::json::parse(go.text, nullptr, /*throw=*/false)));
  } else {
    TRY(cgroup.Join(input.doors));
  }
  // Only now: the namespace's root is where we are.
  if (input.spec.HasNew(NamespaceType::kCgroup))
    TRY(kernel::Unshare(CLONE_NEWCGROUP).With("creating a cgroup namespace"));
  return Ok();
}

// One that is "created" waits for long, and the runtime's and its caller's
// files are no business of its.
Status CloseOthers(const InitInput& input, BorrowedFd channel) {
  std::vector<int> kept = {input.listener.get(), channel.get()};
  for (int fd = 0; fd < 3 + input.preserve_fds; ++fd) kept.push_back(fd);
  return kernel::CloseAllBut(std::move(kept));
}

Status BecomeContainerRoot(const ContainerSpec& spec) {
  if (InInitialUserNamespace()) return Ok();
  if (spec.HasNew(NamespaceType::kUser) &&
      !(IsMapped(spec.uid_mappings, 0) && IsMapped(spec.gid_mappings, 0)))
    return Ok();
  return BecomeRoot(spec.process.user.keep_groups);
}

Status SetNames(const ContainerSpec& spec) {
  if (!spec.hostname.empty())
    TRY(kernel::Check(sethostname(spec.hostname.data(), spec.hostname.size()))
            .With("hostname"));
  if (!spec.domainname.empty())
    TRY(kernel::Check(
            setdomainname(spec.domainname.data(), spec.domainname.size()))
            .With("domainname"));
  return Ok();
}

// A procfs of our own, that nothing in the container can have been put over.
Result<UniqueFd> TrustedProc() {
  const auto own = [&]() -> Result<UniqueFd> {
    const UniqueFd fs = TRY(kernel::FsOpen("proc"));
    return kernel::FsMount(fs, 0);
  };
  auto mount = own();
  if (mount.ok()) return mount;
  // In a user namespace whose /proc is masked: the caller's then, if it is one.
  auto proc = TRY(sys::Open("/proc", O_PATH | O_DIRECTORY));
  if (TRY(kernel::FsTypeOf(proc)) != uint64_t{PROC_SUPER_MAGIC})
    return Error(EPERM, "/proc is no procfs");
  return proc;
}

Status SetSysctls(const ContainerSpec& spec, BorrowedFd proc) {
  for (const auto& sysctl : spec.sysctl) {
    const std::string& name = sysctl.first;
    std::string path = "sys/" + name;
    // A name with slashes has its dots for itself.
    if (name.find('/') == name.npos)
      for (char& c : path)
        if (c == '.') c = '/';
    const auto write = [&]() -> Status {
      const UniqueFd file =
          TRY(sys::OpenAt2(proc, path.c_str(), O_WRONLY,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                               RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV));
      return kernel::WriteOnce(file, sysctl.second);
    };
    TRY(write().With("linux.sysctl." + name));
  }
  return Ok();
}

Status MakeTerminal(const InitInput& input, Rootfs& rootfs, BorrowedFd channel,
                    UniqueFd& slave) {
  const Process& process = input.spec.process;
  if (!process.terminal) return Ok();
  Terminal terminal =
      TRY(OpenTerminal(rootfs.root(), process.console_size, process.user.uid));
  TRY(rootfs.AttachConsole(terminal.slave));
  TRY(Say(channel, Word::kTerminal, "", terminal.master.get()));
  slave = std::move(terminal.slave);
  return Ok();
}

bool HasHooksBeforeRoot(const Hooks& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty() ||
         !hooks.create_container.empty();
}

// Returns the state that hooks are given; empty where there are none.
Result<std::string> RunCreationHooks(const InitInput& input, BorrowedFd root,
                                     BorrowedFd channel) {
  const Hooks& hooks = input.spec.hooks;
  if (!HasHooksBeforeRoot(hooks) && hooks.start_container.empty())
    return std::string();
  TRY(Say(channel, Word::kMounted));
  const Said go = TRY(Expect(channel, Word::kGo));
  std::string state = TRY(kernel::ReadAll(go.fd, SIZE_MAX));
  // In the root, as with runc; crun's are in the bundle.
  TRY(RunHooks("createContainer", hooks.create_container, state,
               "/proc/self/fd/" + std::to_string(root.get())));
  // By the next ones it is no longer "creating".
  auto json = nlohmann::ordered_json::parse(state, nullptr, /*throw=*/false);
  if (!json.is_object()) return Error(EPROTO, "the state is no JSON object");
  json["status"] = NameOf(RunState::kCreated);
  return json.dump();
}

struct Built {
  std::string executable;
  std::string state;  // for hooks
};

// Everything until the container is "created".
Result<Built> Build(const InitInput& input, BorrowedFd channel) {
  const ContainerSpec& spec = input.spec;
  umask(kDefaultUmask);
  // An ordinary user's runtime may not write it any more once we are not
  // dumpable; lowering it is the runtime's to do, and to complain about.
  if (spec.process.oom_score_adj)
    (void)SetOomScore("self", *spec.process.oom_score_adj);
  TRY(MakeUndumpable());  // see README.md, attack 2
  Cgroup cgroup;
  TRY(JoinCgroup(input, channel, cgroup));
  UseEveryProcessor();
  TRY(CloseOthers(input, channel));
  const UniqueFd host_proc = TRY(OpenProcForLabels(spec.process));
  const auto map_ids = [&](size_t mount, BorrowedFd tree) {
    return RequestIdMap(channel, mount, tree);
  };
  const auto open = [&](const std::string& which) {
    return RequestHostPath(channel, which);
  };
  Rootfs rootfs =
      TRY(Rootfs::Open(spec, input.bundle, cgroup, {map_ids, open}));
  // With a namespace of our own everything goes when we do.
  Cleanup abandon([&] {
    if (!spec.HasNew(NamespaceType::kMount)) rootfs.Abandon();
  });
  TRY(BecomeContainerRoot(spec));
  TRY(MakeUndumpable());  // changing ids has undone it
  // By the user, and in the user namespace, of those that are to find it.
  if (!input.keyring.empty()) {
    TRY(SetKeyLabel(host_proc, spec.process));
    TRY(MakeSessionKeyring(input.keyring));
  }
  if (spec.HasNew(NamespaceType::kNetwork))
    TRY(BringUpLoopback().With("bringing up the loopback interface"));
  TRY(rootfs.Mount(/*at_its_path=*/input.pivot &&
                   HasHooksBeforeRoot(spec.hooks)));
  UniqueFd slave;
  TRY(MakeTerminal(input, rootfs, channel, slave));
  // It may well exist, or the root be read-only: then it shows at the chdir.
  (void)MakeInRoot(rootfs.root(), spec.process.cwd, /*directory=*/true);
  TRY(SetNames(spec));
  if (!spec.sysctl.empty()) TRY(SetSysctls(spec, TRY(TrustedProc())));
  Built built;
  built.state = TRY(RunCreationHooks(input, rootfs.root(), channel));
  TRY(rootfs.Seal());
  TRY(rootfs.Enter(input.pivot));
  abandon.Dismiss();
  if (slave.valid()) {
    TRY(TakeTerminal(slave));
  } else {
    (void)kernel::Check(setsid());  // fails for a leader, who has one
  }
  if (spec.personality) TRY(SetPersonality(*spec.personality));
  built.executable = TRY(FindExecutable(spec.process));
  TRY(SetExecLabels(host_proc, spec.process));
  return built;
}

// As the container's program, in all that it may do.
Status RunStartHooks(const InitInput& input, const std::string& state) {
  const Process& process = input.spec.process;
  std::vector<Hook> hooks = input.spec.hooks.start_container;
  for (Hook& hook : hooks)
    if (hook.env.empty()) hook.env = EnvironmentOf(process);
  return RunHooks("startContainer", hooks, state, process.cwd, [&] {
    return BecomeProcess(process, input.hook_seccomp, /*preserve_fds=*/0,
                         [](UniqueFd) { return Ok(); });
  });
}

// The first process of a pid namespace gets no signal that it has no handler
// for. Gone with execve.
void EndBySignals() {
  struct sigaction end = {};
  end.sa_handler = [](int signal) { _exit(128 + signal); };
  sigset_t others;  // that stop, go on, are ignored, or tell of ourselves
  sigemptyset(&others);
  for (const int signal :
       {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
        SIGKILL, SIGPIPE, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS})
    sigaddset(&others, signal);
  for (int signal = 1; signal < NSIG; ++signal)
    if (sigismember(&others, signal) != 1) sigaction(signal, &end, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

void RunInit(const InitInput& input, UniqueFd channel) {
  const auto built = Build(input, channel);
  if (!built.ok()) {
    SayError(channel, built.error());
    _exit(1);
  }
  EndBySignals();
  // If our maker dies before it has written down that we exist, we must not
  // outlive it.
  if (!Say(channel, Word::kReady).ok() || !Expect(channel, Word::kGo).ok())
    _exit(1);
  channel.reset();

  // "created". Whoever connects starts us, once.
  const auto starter = kernel::Accept(input.listener);
  if (!starter.ok()) _exit(1);
  const auto started = RunStartHooks(input, built->state);
  if (!started.ok()) {
    SayError(*starter, started.error());
    _exit(1);
  }
  SayError(*starter,
           ExecuteProcess(input.spec.process, input.seccomp, input.preserve_fds,
                          built->executable, [&](UniqueFd listener) {
                            return HandOverListener(*starter,
                                                    std::move(listener));
                          }));
  _exit(1);
}

}  // namespace ufs::runtime
