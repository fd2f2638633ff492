#include "tools/host_checks.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "fs/fuse_mount.h"
#include "fs/transport.h"
#include "layerdb/base/syscall.h"
#include "runtime/cgroup_layout.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"
#include "runtime/programs.h"
#include "runtime/systemd_scope.h"
#include "tools/state_dir.h"

namespace ufs {
namespace {

namespace kernel = runtime::kernel;
using State = HostCheck::State;

// The first line of a file of /proc or /sys; empty without it.
std::string LineOf(const char* path) {
  auto text = kernel::ReadFile(path);
  if (!text.ok()) return "";
  return text->substr(0, text->find('\n'));
}

bool KernelIsAtLeast(unsigned wanted_major, unsigned wanted_minor) {
  utsname names{};
  unsigned major = 0, minor = 0;
  return uname(&names) == 0 &&
         std::sscanf(names.release, "%u.%u", &major, &minor) == 2 &&
         std::pair(major, minor) >= std::pair(wanted_major, wanted_minor);
}

HostCheck CheckKernel() {
  HostCheck check{"kernel", State::kOk, "", ""};
  utsname names{};
  if (uname(&names) == 0) check.found = std::string("Linux ") + names.release;
  if (KernelIsAtLeast(5, 12)) return check;
  check.state = State::kMissing;
  check.remedy = "containers need Linux 5.12 or later";
  return check;
}

HostCheck CheckFuse() {
  HostCheck check{"FUSE", State::kOk, "/dev/fuse can be opened", ""};
  const auto device = OpenFuseDevice();
  if (device.ok()) return check;
  check.state = State::kMissing;
  constexpr std::string_view kInContainer =
      "in a container it must be given the device: --device /dev/fuse";
  // What is in the way, and what the user can do about it.
  const std::string_view says = device.error().context();
  const size_t end = says.find("; ");
  if (end == says.npos) {
    check.found = device.error().ToString();
    check.remedy = kInContainer;
  } else {
    check.found = says.substr(0, end);
    check.remedy =
        std::string(says.substr(end + 2)) + "; " + std::string(kInContainer);
  }
  return check;
}

HostCheck CheckFusermount() {
  HostCheck check{"fusermount3", State::kOk, "installed", ""};
  if (!runtime::FindProgram("fusermount3").empty()) return check;
  check.found = "not installed";
  if (geteuid() == 0) return check;
  check.state = State::kLess;
  check.remedy = "for 'ufs mount' outside of a user namespace: install fuse3";
  return check;
}

HostCheck CheckIoUring() {
  HostCheck check{"FUSE over io_uring", State::kOk, "available", ""};
  const auto probe = ProbeIoUring();
  if (probe.ok()) return check;
  check.state = State::kLess;
  check.found = std::string(probe.error().context());
  check.remedy =
      "each message is faster with it: Linux 6.14 or later, and as "
      "root: echo 1 > /sys/module/fuse/parameters/enable_uring";
  return check;
}

// Whether the kernel was made with it shows when a mount begins, and ufs stat
// tells.
HostCheck CheckPassthrough() {
  HostCheck check{"FUSE passthrough", State::kOk, "can be asked for", ""};
  if (!KernelIsAtLeast(6, 9)) {
    check.found = "this kernel has none";
    check.remedy = "-o passthrough=1 needs Linux 6.9 or later";
  } else if (geteuid() != 0 || !runtime::InInitialUserNamespace()) {
    check.found = "the kernel gives it to root of the host alone";
    check.remedy = "for -o passthrough=1: mount as root";
  } else {
    return check;
  }
  check.state = State::kLess;
  return check;
}

// The namespaces are only tried, in a child that ends at once.
HostCheck CheckUserNamespaces() {
  HostCheck check{"user namespaces", State::kOk, "can be made", ""};
  const auto child = kernel::Clone(CLONE_NEWUSER | CLONE_NEWNS);
  if (child.ok() && child->pid == 0) _exit(0);
  if (child.ok()) {
    (void)kernel::WaitPid(child->pid);
  } else {
    check.state = geteuid() == 0 ? State::kLess : State::kMissing;
    check.found = "cannot be made: " + child.error().ToString();
    check.remedy = "as root: sysctl -w user.max_user_namespaces=15000";
    if (LineOf("/proc/sys/kernel/unprivileged_userns_clone") == "0")
      check.remedy = "as root: sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (LineOf("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" &&
      geteuid() != 0) {
    check.state = State::kMissing;
    check.found = "AppArmor keeps ordinary users from using them";
    check.remedy =
        "as root: give ufs a profile that allows 'userns', or sysctl -w "
        "kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return check;
}

HostCheck CheckSubordinateIds() {
  HostCheck check{"subordinate ids", State::kOk, "", ""};
  if (geteuid() == 0) {
    check.found = "not needed by root";
    return check;
  }
  const runtime::IdMaps maps = runtime::RootlessMaps();
  uint64_t count = 0;
  for (const runtime::IdMapping& map : maps.uids) count += map.size;
  check.found = std::to_string(count) + (count == 1 ? " id" : " ids");
  if (maps.fallback_reason.empty()) return check;
  check.state = State::kLess;
  check.remedy = maps.fallback_reason;
  return check;
}

HostCheck CheckCgroups() {
  HostCheck check{"cgroups", State::kOk, "", ""};
  const auto layout = runtime::ReadCgroupLayout();
  if (!layout.ok() || layout->empty()) {
    check.state = State::kLess;
    check.found = "none are mounted";
    check.remedy = "limits need one: mount -t cgroup2 none /sys/fs/cgroup";
    return check;
  }
  size_t v1 = 0, v2 = 0;
  std::string closed;
  for (const runtime::CgroupHierarchy& hierarchy : *layout) {
    (hierarchy.v2 ? v2 : v1) += 1;
    const std::string own = hierarchy.mountpoint + hierarchy.own;
    if (eaccess(own.c_str(), W_OK) != 0 && closed.empty()) closed = own;
  }
  check.found = v2 == 0   ? "version 1"
                : v1 == 0 ? "version 2"
                          : "versions 1 and 2, hybrid";
  if (runtime::HasUserManager()) {
    check.found += "; systemd gives each container one";
    return check;
  }
  if (closed.empty()) return check;
  check.state = State::kLess;
  check.found += "; " + closed + " cannot be written";
  check.remedy =
      "limits, pause and stats need it: run as root, or have systemd run for "
      "the user (loginctl enable-linger) and set XDG_RUNTIME_DIR";
  return check;
}

HostCheck CheckSeccomp() {
  HostCheck check{"seccomp", State::kOk, "", ""};
  check.found = LineOf("/proc/sys/kernel/seccomp/actions_avail");
  if (!check.found.empty()) return check;
  check.state = State::kMissing;
  check.found = "not in this kernel";
  check.remedy = "run containers with --security-opt seccomp=unconfined";
  return check;
}

HostCheck CheckNetwork() {
  HostCheck check{"private networks", State::kOk, "", ""};
  for (const char* program : {"slirp4netns", "pasta"})
    if (!runtime::FindProgram(program).empty())
      check.found += (check.found.empty() ? "" : ", ") + std::string(program);
  const auto tun = sys::Open("/dev/net/tun", O_RDWR);
  if (check.found.empty()) {
    check.found = "neither slirp4netns nor pasta is installed";
    check.remedy = "for --network private: install slirp4netns or passt";
  } else if (tun.code() == EACCES || tun.code() == EPERM) {
    check.found = "/dev/net/tun is not for this user";
    check.remedy =
        "for --network private, as root: chmod 666 /dev/net/tun; in a "
        "container it must be given the device: --device /dev/net/tun";
  } else if (!tun.ok()) {
    check.found = "/dev/net/tun cannot be opened";
    check.remedy = "for --network private, as root: modprobe tun";
  } else {
    return check;
  }
  check.state = State::kLess;
  return check;
}

HostCheck CheckState() {
  HostCheck check{"state directory", State::kOk, "", ""};
  const auto path = StateDirectory();
  if (path.ok()) {
    check.found = *path;
    return check;
  }
  check.state = State::kMissing;
  check.found = path.error().ToString();
  check.remedy = "set HOME or XDG_DATA_HOME to a directory that can be written";
  return check;
}

}  // namespace

const char* NameOf(State state) {
  switch (state) {
    case State::kOk:
      return "ok";
    case State::kLess:
      return "less";
    case State::kMissing:
      return "missing";
  }
  return "missing";
}

std::vector<HostCheck> CheckHost() {
  return {CheckKernel(),         CheckFuse(),        CheckFusermount(),
          CheckIoUring(),        CheckPassthrough(), CheckUserNamespaces(),
          CheckSubordinateIds(), CheckCgroups(),     CheckSeccomp(),
          CheckNetwork(),        CheckState()};
}

}  // namespace ufs
