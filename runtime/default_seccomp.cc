#include "runtime/default_seccomp.h"

#include <asm/ioctls.h>
#include <linux/capability.h>
#include <sched.h>

#include <cerrno>
#include <initializer_list>
#include <nlohmann/json.hpp>

namespace ufs::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kNobody = -1;  // no capability gives the right

struct Denied {
  int capability;
  std::initializer_list<const char*> names;
};

const Denied kDenied[] = {
    {kNobody,
     {"add_key", "keyctl", "request_key", "get_kernel_syms", "query_module",
      "create_module", "nfsservctl", "sysfs", "_sysctl", "uselib", "ustat",
      "userfaultfd", "vm86", "vm86old", "io_uring_setup", "io_uring_enter",
      "io_uring_register"}},
    {CAP_SYS_ADMIN,
     {"bpf",           "fanotify_init", "fsconfig",       "fsmount",
      "fsopen",        "fspick",        "lookup_dcookie", "mount",
      "mount_setattr", "move_mount",    "open_tree",      "perf_event_open",
      "pivot_root",    "quotactl",      "quotactl_fd",    "setns",
      "swapoff",       "swapon",        "umount",         "umount2",
      "unshare"}},
    {CAP_SYS_BOOT, {"kexec_file_load", "kexec_load", "reboot"}},
    {CAP_SYS_MODULE, {"delete_module", "finit_module", "init_module"}},
    {CAP_SYS_NICE, {"get_mempolicy", "mbind", "set_mempolicy"}},
    {CAP_SYS_PACCT, {"acct"}},
    {CAP_SYS_PTRACE,
     {"kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv",
      "process_vm_writev"}},
    {CAP_SYS_RAWIO, {"ioperm", "iopl"}},
    {CAP_SYS_TIME, {"clock_adjtime", "clock_settime", "settimeofday", "stime"}},
    {CAP_SYS_TTY_CONFIG, {"vhangup"}},
    {CAP_SYSLOG, {"syslog"}},
    {CAP_DAC_READ_SEARCH, {"open_by_handle_at"}},
};

Json Deny(Json names, int code) {
  return {{"names", std::move(names)},
          {"action", "SCMP_ACT_ERRNO"},
          {"errnoRet", code}};
}

// Where the bits of `mask` in an argument are those of `value`.
Json DenyWhere(const char* name, unsigned index, uint64_t mask,
               uint64_t value) {
  Json rule = Deny(Json::array({name}), EPERM);
  rule["args"] = Json::array({{{"index", index},
                               {"value", mask},
                               {"valueTwo", value},
                               {"op", "SCMP_CMP_MASKED_EQ"}}});
  return rule;
}

}  // namespace

Json DefaultSeccomp(uint64_t capabilities) {
  const auto has = [&](int number) {
    return number != kNobody && (capabilities >> number & 1) != 0;
  };
  Json seccomp;
  seccomp["defaultAction"] = "SCMP_ACT_ALLOW";
#if defined(__x86_64__)
  // A program of another word size would get round a filter for one.
  seccomp["architectures"] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
                              "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  seccomp["architectures"] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  Json& rules = seccomp["syscalls"] = Json::array();
  for (const Denied& denied : kDenied) {
    if (has(denied.capability)) continue;
    Json names = Json::array();
    for (const char* name : denied.names) names.push_back(name);
    rules.push_back(Deny(std::move(names), EPERM));
  }
  if (!has(CAP_SYS_ADMIN)) {
    for (const int flag :
         {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
          CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET})
      rules.push_back(DenyWhere("clone", 0, static_cast<unsigned>(flag),
                                static_cast<unsigned>(flag)));
    // Its flags are in memory, out of a filter's sight. Callers fall back.
    rules.push_back(Deny(Json::array({"clone3"}), ENOSYS));
  }
  for (const unsigned request : {TIOCSTI, TIOCLINUX})
    rules.push_back(DenyWhere("ioctl", 1, 0xFFFFFFFF, request));
  return seccomp;
}

}  // namespace ufs::runtime
