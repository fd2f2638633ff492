#include "runtime/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "layerdb/base/log.h"
#include "runtime/kernel.h"
#include "runtime/names.h"

namespace ufs::runtime {
namespace {

using kernel::Check;

Status CapSet(const Capabilities& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; ++half) {
    const auto part = [&](uint64_t set) {
      return static_cast<uint32_t>(set >> (32 * half));
    };
    data[half].effective = part(sets.effective);
    data[half].permitted = part(sets.permitted);
    data[half].inheritable = part(sets.inheritable);
  }
  return Check(syscall(SYS_capset, &header, data));
}

Result<Capabilities> CapGet() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  TRY(Check(syscall(SYS_capget, &header, data)));
  const auto join = [](uint32_t low, uint32_t high) {
    return uint64_t{high} << 32 | low;
  };
  Capabilities sets;
  sets.effective = join(data[0].effective, data[1].effective);
  sets.permitted = join(data[0].permitted, data[1].permitted);
  sets.inheritable = join(data[0].inheritable, data[1].inheritable);
  return sets;
}

// Down to what is asked for; what the kernel does not know ends the walk.
Status DropBounding(uint64_t keep) {
  for (int number = 0; number < 64; ++number) {
    const int has = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (has < 0) return Ok();
    if (has == 1 && (keep >> number & 1) == 0)
      TRY(Check(prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
              .With("dropping a capability from the bounding set"));
  }
  return Ok();
}

Status SetGroups(const std::vector<gid_t>& groups) {
  const auto set = Check(setgroups(groups.size(), groups.data()));
  if (set.ok() || set.code() != EPERM) return set.ok() ? Ok() : set;
  // An ordinary user's namespace with one id may not change them.
  if (groups.empty()) return Ok();
  return Error(EPERM,
               "process.user.additionalGids cannot be set: this user "
               "namespace may not call setgroups; give the user a range in "
               "/etc/subgid");
}

Status SetScheduler(const Scheduler& scheduler) {
  // struct sched_attr of the kernel's include/uapi/linux/sched/types.h.
  struct {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attr{sizeof(attr),          scheduler.policy,   scheduler.flags,
         scheduler.nice,        scheduler.priority, scheduler.runtime_ns,
         scheduler.deadline_ns, scheduler.period_ns};
  return Check(syscall(SYS_sched_setattr, 0, &attr, 0U))
      .With("process.scheduler cannot be set");
}

// ENOSYS is of a kernel without keys, EPERM of a filter above us: what is
// executed later is below it too, and gets at no keys either.
template <typename Argument>
Status KeyCtl(int operation, Argument argument, unsigned long more) {
  auto done = Check(syscall(SYS_keyctl, operation, argument, more));
  return done.code() == ENOSYS || done.code() == EPERM ? Ok() : done;
}

}  // namespace

void RaiseHardLimits(const Process& process, pid_t pid) {
  for (const Rlimit& limit : process.rlimits) {
    const auto resource = static_cast<__rlimit_resource>(limit.resource);
    struct rlimit value;
    if (prlimit(pid, resource, nullptr, &value) != 0 ||
        value.rlim_max >= limit.hard)
      continue;
    value.rlim_max = limit.hard;
    (void)prlimit(pid, resource, &value, nullptr);
  }
}

Status SetOomScore(const std::string& process, int score) {
  const std::string path = "/proc/" + process + "/oom_score_adj";
  const std::string wanted = std::to_string(score);
  auto written = kernel::WriteFile({AT_FDCWD, path.c_str()}, wanted);
  if (written.ok()) return written;
  // A process of ours that has done it itself and is not dumpable by now.
  const auto now = kernel::ReadFile(path);
  if (now.ok() && *now == wanted + "\n") return Ok();
  return std::move(written).With("process.oomScoreAdj cannot be set to " +
                                 wanted +
                                 "; lowering it needs CAP_SYS_RESOURCE on the "
                                 "host");
}

Status SetLimits(const Process& process) {
  for (const Rlimit& limit : process.rlimits) {
    const struct rlimit value { limit.soft, limit.hard };
    const auto set = Check(
        setrlimit(static_cast<__rlimit_resource>(limit.resource), &value));
    if (set.ok()) continue;
    std::string hint;
    if (set.code() == EPERM)
      hint =
          "; raising a hard limit needs CAP_SYS_RESOURCE on the host, ask for "
          "no more than the caller has";
    return Error(set.code(), "process.rlimits: " + RlimitName(limit.resource) +
                                 " cannot be set to " +
                                 std::to_string(limit.hard) + hint);
  }
  if (process.scheduler) TRY(SetScheduler(*process.scheduler));
  if (process.io_priority) {
    constexpr int kClassShift = 13;
    constexpr int kWhoProcess = 1;
    TRY(Check(syscall(SYS_ioprio_set, kWhoProcess, 0,
                      process.io_priority->io_class << kClassShift |
                          process.io_priority->priority))
            .With("process.ioPriority cannot be set"));
  }
  return Ok();
}

void WarnOfUnknownCapabilities(const Process& process) {
  if (!process.capabilities) return;
  for (const std::string& name : process.capabilities->unknown)
    log::Warn("process.capabilities: \"" + name +
              "\" is no capability; left out");
}

void UseEveryProcessor() {
  // Longer than any machine's: what is not there is not looked at.
  unsigned char all[1024];
  std::memset(all, 0xff, sizeof(all));
  // Where it is refused one is bound as one's caller is.
  (void)sched_setaffinity(0, sizeof(all), reinterpret_cast<cpu_set_t*>(all));
}

Status UseProcessors(const Processors& processors) {
  const auto* mask = reinterpret_cast<const cpu_set_t*>(processors.data());
  return Check(sched_setaffinity(
      0, processors.size() * sizeof(Processors::value_type), mask));
}

Status SetPersonality(unsigned long value) {
  return Check(personality(value)).With("linux.personality cannot be set");
}

Status MakeSessionKeyring(const std::string& name) {
  TRY(JoinSessionKeyring(name));
  // What the kernel gives it, and the owner's right to search, without which
  // nobody finds it by its name: KEY_POS_ALL, KEY_USR_VIEW, _READ, _SEARCH and
  // _LINK of the kernel's include/linux/key.h.
  constexpr unsigned long kPermissions = 0x3f1b0000;
  return KeyCtl(KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, kPermissions)
      .With("letting others find the session keyring");
}

Status JoinSessionKeyring(const std::string& name) {
  auto joined = KeyCtl(KEYCTL_JOIN_SESSION_KEYRING, name.c_str(), 0UL);
  std::string hint;
  if (joined.code() == EDQUOT)
    hint =
        "; the user has too many keys: raise kernel.keys.maxkeys, or keep the "
        "caller's keyring by --no-new-keyring";
  return std::move(joined).With("joining the session keyring " + name + hint);
}

Status BecomeRoot(bool keep_groups) {
  if (!keep_groups) TRY(SetGroups({}));
  TRY(Check(setresgid(0, 0, 0)).With("becoming group 0 of the container"));
  return Check(setresuid(0, 0, 0)).With("becoming user 0 of the container");
}

Status DropPrivileges(const Process& process) {
  const Capabilities wanted = process.capabilities.value_or(Capabilities());
  Capabilities sets = wanted;
  TRY(DropBounding(sets.bounding));
  // Through the change of ids; the sets that follow have the last word.
  TRY(Check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)));
  if (!process.user.keep_groups) TRY(SetGroups(process.user.additional_gids));
  const auto named = [&](const char* what, uint32_t id) {
    return std::string("process.user.") + what + " " + std::to_string(id) +
           " cannot be had; is it mapped into the user namespace?";
  };
  const gid_t gid = process.user.gid;
  TRY(Check(setresgid(gid, gid, gid)).With(named("gid", gid)));
  const uid_t uid = process.user.uid;
  TRY(Check(setresuid(uid, uid, uid)).With(named("uid", uid)));
  // A set-uid to another user has cleared the effective set.
  const Capabilities have = TRY(CapGet());
  // What we do not have ourselves, nobody can give; runc and crun go on, too.
  sets.permitted &= have.permitted;
  sets.effective &= sets.permitted;
  // The inheritable set must not outgrow what is left to us.
  sets.inheritable &= have.permitted | have.inheritable;
  TRY(CapSet(sets).With("setting capabilities"));
  TRY(Check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)));
  const uint64_t ambient = wanted.ambient & sets.permitted & sets.inheritable;
  for (int number = 0; number < 64; ++number)
    if (ambient >> number & 1)
      TRY(Check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0))
              .With("raising an ambient capability"));
  umask(process.user.umask.value_or(kDefaultUmask));
  return Check(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

Status SetNoNewPrivileges() {
  return Check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

Status MakeUndumpable() { return Check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)); }

}  // namespace ufs::runtime
