#include "runtime/security_label.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>

#include <cerrno>

#include "layerdb/base/selinux.h"
#include "layerdb/base/syscall.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

constexpr char kUnconfined[] = "unconfined";

// Below our own directory of `proc`, of which nothing may be covered.
Status WriteAttribute(BorrowedFd proc, const char* name,
                      const std::string& value) {
  const UniqueFd file = TRY(
      sys::OpenAt2(proc, (std::string("self/attr/") + name).c_str(), O_WRONLY,
                   RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV));
  return kernel::WriteOnce(file, value);
}

Error ProfileError(Error error, const std::string& profile) {
  const std::string what = "process.apparmorProfile \"" + profile + "\"";
  if (error.code() == ENOENT)
    return Error(ENOENT, what +
                             " is not loaded; load it with apparmor_parser(8) "
                             "first");
  return std::move(error).With(what + " cannot be applied");
}

}  // namespace

bool HasAppArmor() {
  const auto enabled =
      kernel::ReadFile("/sys/module/apparmor/parameters/enabled");
  return enabled.ok() && enabled->starts_with('Y');
}

Status CheckLabels(const Process& process, const std::string& mount_label) {
  const std::string& profile = process.apparmor_profile;
  if (!profile.empty() && profile != kUnconfined && !HasAppArmor())
    return Error(ENOTSUP, "process.apparmorProfile \"" + profile +
                              "\": AppArmor is not enabled in this kernel; "
                              "leave it out");
  const bool labels = !process.selinux_label.empty() || !mount_label.empty();
  if (labels && !HasSelinux())
    return Error(ENOTSUP,
                 (process.selinux_label.empty()
                      ? "linux.mountLabel \"" + mount_label
                      : "process.selinuxLabel \"" + process.selinux_label) +
                     "\": SELinux is not enabled in this kernel; leave it out");
  if (labels && !HasSelinuxPolicy()) return Ok();
  if (!process.selinux_label.empty())
    TRY(CheckSelinuxLabel(process.selinux_label).With("process.selinuxLabel"));
  if (!mount_label.empty())
    TRY(CheckSelinuxLabel(mount_label).With("linux.mountLabel"));
  return Ok();
}

Result<UniqueFd> OpenProcForLabels(const Process& process) {
  if (process.apparmor_profile.empty() && process.selinux_label.empty())
    return UniqueFd();
  auto proc = TRY(sys::Open("/proc", O_PATH | O_DIRECTORY));
  if (TRY(kernel::FsTypeOf(proc)) != uint64_t{PROC_SUPER_MAGIC})
    return Error(EPERM, "/proc is no procfs");
  return proc;
}

Status SetKeyLabel(BorrowedFd proc, const Process& process) {
  if (process.selinux_label.empty() || !HasSelinuxPolicy()) return Ok();
  return WriteAttribute(proc, "keycreate", process.selinux_label)
      .With("process.selinuxLabel \"" + process.selinux_label +
            "\" for its keyring");
}

Status SetExecLabels(BorrowedFd proc, const Process& process) {
  const std::string& profile = process.apparmor_profile;
  if (!profile.empty()) {
    auto set = WriteAttribute(proc, "apparmor/exec", "exec " + profile);
    // Without AppArmor, which CheckLabels has seen, nothing confines anyway.
    const bool none = profile == kUnconfined &&
                      (set.code() == ENOENT || set.code() == EINVAL);
    if (!set.ok() && !none)
      return ProfileError(std::move(set).error(), profile);
  }
  if (!process.selinux_label.empty())
    TRY(WriteAttribute(proc, "exec", process.selinux_label)
            .With("process.selinuxLabel \"" + process.selinux_label +
                  "\" cannot be applied"));
  return Ok();
}

}  // namespace ufs::runtime
