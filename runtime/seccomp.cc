#include "runtime/seccomp.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <set>

#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"
#include "runtime/names.h"

namespace ufs::runtime {
namespace {

constexpr Named<uint32_t> kActions[] = {
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
};
constexpr Named<uint32_t> kOperators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};
constexpr Named<uint32_t> kArchitectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
    {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
};
// Since Linux 5.19; from the kernel's include/uapi/linux/seccomp.h.
constexpr uint32_t kWaitKillable = 1 << 5;
constexpr Named<uint32_t> kFlags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", kWaitKillable},
};

// The kernel looks at the flags first, then for the filter, which is not there.
bool HasWaitKillable() {
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                 SECCOMP_FILTER_FLAG_NEW_LISTENER | kWaitKillable,
                 nullptr) < 0 &&
         errno == EFAULT;
}

template <size_t N>
Result<uint32_t> Find(const Named<uint32_t> (&table)[N],
                      const std::string& name, const char* what) {
  if (const auto found = ValueOf(table, name)) return *found;
  return Error(EINVAL, "linux.seccomp: unknown " + std::string(what) + " \"" +
                           name + "\"");
}

template <size_t N>
std::vector<std::string> NamesOf(const Named<uint32_t> (&table)[N]) {
  std::vector<std::string> names;
  for (const Named<uint32_t>& entry : table) names.emplace_back(entry.name);
  return names;
}

// libseccomp returns negative errnos.
Status Library(int result, const std::string& what) {
  if (result >= 0) return Ok();
  return Error(-result, "linux.seccomp: " + what);
}

Result<uint32_t> ActionOf(const std::string& name,
                          std::optional<unsigned> errno_ret) {
  const uint32_t action = TRY(Find(kActions, name, "action"));
  const uint32_t code = errno_ret.value_or(EPERM);
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(code & 0xFFFF);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(code & 0xFFFF);
  if (errno_ret)
    return Error(EINVAL, "linux.seccomp: errnoRet does not go with " + name);
  return action;
}

bool Permits(uint32_t action) {
  return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG;
}

Result<std::vector<scmp_arg_cmp>> ArgumentsOf(const SeccompRule& rule) {
  std::vector<scmp_arg_cmp> arguments;
  for (const SeccompArg& arg : rule.args) {
    if (arg.index > 5)
      return Error(EINVAL, "linux.seccomp: a system call has arguments 0 to 5");
    const auto op =
        static_cast<scmp_compare>(TRY(Find(kOperators, arg.op, "operator")));
    scmp_arg_cmp compare{arg.index, op, arg.value, arg.value_two};
    arguments.push_back(compare);
  }
  return arguments;
}

// libseccomp takes an argument once in a rule; of several comparisons of one,
// as of runc, any may hold.
bool ComparesTwice(const std::vector<scmp_arg_cmp>& arguments) {
  unsigned seen = 0;
  for (const scmp_arg_cmp& compare : arguments) {
    if (seen >> compare.arg & 1) return true;
    seen |= 1U << compare.arg;
  }
  return false;
}

Status AddRule(scmp_filter_ctx filter, const SeccompRule& rule,
               uint32_t default_action, SeccompProgram& program) {
  const uint32_t action = TRY(ActionOf(rule.action, rule.errno_ret));
  const auto arguments = TRY(ArgumentsOf(rule));
  for (const std::string& name : rule.names) {
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) {
      // Newer than the library. Left out it gets the default action, which is
      // no looser than the rule, or else the rule would be lost unseen.
      if (Permits(action) || !Permits(default_action)) continue;
      return Error(EINVAL, "linux.seccomp: unknown system call \"" + name +
                               "\" would be allowed");
    }
    if (action == SCMP_ACT_NOTIFY) {
      // The way by which the listener's descriptor is handed over.
      if (name == "write")
        return Error(EINVAL,
                     "linux.seccomp: write cannot have the action "
                     "SCMP_ACT_NOTIFY");
      program.notifies = true;
    }
    if (action == default_action) continue;  // libseccomp would refuse it
    const std::string what = "rule for " + name;
    if (arguments.empty()) {
      TRY(Library(seccomp_rule_add_array(filter, action, number, 0, nullptr),
                  what));
    } else if (!ComparesTwice(arguments)) {
      TRY(Library(
          seccomp_rule_add_array(filter, action, number,
                                 static_cast<unsigned>(arguments.size()),
                                 arguments.data()),
          what));
    } else {
      for (const scmp_arg_cmp& compare : arguments)
        TRY(Library(seccomp_rule_add_array(filter, action, number, 1, &compare),
                    what));
    }
  }
  return Ok();
}

// The last system call of the profile under `arch`, or -1.
int LastCall(const Seccomp& seccomp, uint32_t arch) {
  int last = -1;
  for (const SeccompRule& rule : seccomp.rules)
    for (const std::string& name : rule.names)
      last =
          std::max(last, seccomp_syscall_resolve_name_arch(arch, name.c_str()));
  return last;
}

// What is newer than the profile is not there, as with runc: told that it is
// forbidden, a libc would not take an older call in its place.
void AddMissingCalls(const Seccomp& seccomp, uint32_t arch,
                     std::vector<sock_filter>& code) {
  const int last = LastCall(seccomp, arch);
  if (last < 0) return;
  // To the kernel x32 is x86_64 with other numbers, from here on.
  constexpr uint32_t kX32Calls = 0x40000000;
  const bool x32 = arch == SCMP_ARCH_X32;
  const uint32_t kernels = x32 ? uint32_t{SCMP_ARCH_X86_64} : arch;
  const uint32_t end = arch == SCMP_ARCH_X86_64 ? kX32Calls : UINT32_MAX;
  const sock_filter block[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kernels, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, end, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<uint32_t>(last), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  code.insert(code.begin(), std::begin(block), std::end(block));
}

Result<std::vector<sock_filter>> Export(scmp_filter_ctx filter) {
  const int raw = memfd_create("seccomp", MFD_CLOEXEC);
  TRY(kernel::Check(raw));
  const UniqueFd memory(raw);
  TRY(Library(seccomp_export_bpf(filter, memory.get()), "compilation"));
  TRY(sys::LSeek(memory, 0, SEEK_SET));
  const std::string bytes = TRY(kernel::ReadAll(memory, 1 << 20));
  std::vector<sock_filter> code(bytes.size() / sizeof(sock_filter));
  bytes.copy(reinterpret_cast<char*>(code.data()),
             code.size() * sizeof(sock_filter));
  if (code.empty() || code.size() > 0xFFFF)
    return Error(E2BIG, "linux.seccomp: the program is too long");
  return code;
}

}  // namespace

Result<SeccompProgram> CompileSeccomp(const Seccomp& seccomp) {
  SeccompProgram program;
  const uint32_t default_action =
      TRY(ActionOf(seccomp.default_action, seccomp.default_errno_ret));
  if (default_action == SCMP_ACT_NOTIFY)
    return Error(EINVAL,
                 "linux.seccomp: the default cannot be SCMP_ACT_NOTIFY");
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(
      seccomp_init(default_action), seccomp_release);
  if (filter == nullptr) return Error(ENOMEM, "linux.seccomp");
  std::set<uint32_t> architectures = {seccomp_arch_native()};
  for (const std::string& name : seccomp.architectures) {
    const uint32_t arch = TRY(Find(kArchitectures, name, "architecture"));
    architectures.insert(arch);
    const int added = seccomp_arch_add(filter.get(), arch);
    if (added != -EEXIST) TRY(Library(added, name));
  }
  TRY(Library(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2),
              "optimization"));
  for (const std::string& flag : seccomp.flags)
    program.flags |= TRY(Find(kFlags, flag, "flag"));
  if ((program.flags & kWaitKillable) != 0 && !HasWaitKillable())
    return Error(ENOTSUP,
                 "linux.seccomp: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs "
                 "Linux 5.19 or later");
  for (const SeccompRule& rule : seccomp.rules)
    TRY(AddRule(filter.get(), rule, default_action, program));
  if (program.notifies && seccomp.listener_path.empty())
    return Error(EINVAL, "linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
  if (program.notifies) {
    program.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // The kernel would not know which of two answers to return.
    program.flags &= ~static_cast<unsigned>(SECCOMP_FILTER_FLAG_TSYNC);
  } else {
    // Of who waits for an answer: of no effect here, and an error to the
    // kernel.
    program.flags &= ~kWaitKillable;
  }
  program.code = TRY(Export(filter.get()));
  const bool traced =
      (default_action & SECCOMP_RET_ACTION_FULL) == uint32_t{SECCOMP_RET_TRACE};
  if (!Permits(default_action) && !traced &&
      default_action != SCMP_ACT_ERRNO(ENOSYS))
    for (uint32_t arch : architectures)
      AddMissingCalls(seccomp, arch, program.code);
  return program;
}

Result<UniqueFd> LoadSeccomp(const SeccompProgram& program) {
  sock_fprog filter{static_cast<uint16_t>(program.code.size()),
                    const_cast<sock_filter*>(program.code.data())};
  const long result =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &filter);
  TRY(kernel::Check(result).With("linux.seccomp: loading the filter"));
  return UniqueFd(program.notifies ? static_cast<int>(result) : -1);
}

std::vector<std::string> SeccompActions() { return NamesOf(kActions); }
std::vector<std::string> SeccompOperators() { return NamesOf(kOperators); }
std::vector<std::string> SeccompArchitectures() {
  return NamesOf(kArchitectures);
}
std::vector<std::string> SeccompFlags() { return NamesOf(kFlags); }

std::vector<std::string> SupportedSeccompFlags() {
  std::vector<std::string> names;
  for (const Named<uint32_t>& flag : kFlags)
    if (flag.value != kWaitKillable || HasWaitKillable())
      names.emplace_back(flag.name);
  return names;
}

}  // namespace ufs::runtime
