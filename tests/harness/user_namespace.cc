#include "tests/harness/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "layerdb/base/unique_fd.h"
#include "tests/harness/process.h"

namespace ufs::test {
namespace {

constexpr id_t kMadeUpUser = 20000;
constexpr id_t kMadeUpRange = 200000;
constexpr id_t kRangeCount = 65535;

std::string FailedTo(const std::string& what) {
  return what + ": " + strerror(errno);
}

// First id of the caller's line in /etc/subuid, 0 when there is none. The file
// is keyed by name or by number.
id_t SubordinateRange() {
  struct passwd* user = ::getpwuid(::getuid());
  std::ifstream in("/etc/subuid");
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string owner, start, count;
    std::getline(fields, owner, ':');
    std::getline(fields, start, ':');
    std::getline(fields, count, ':');
    if ((user && owner == user->pw_name) ||
        owner == std::to_string(::getuid())) {
      if (std::stoul(count) >= kRangeCount) {
        return static_cast<id_t>(std::stoul(start));
      }
    }
  }
  return 0;
}

std::string WriteOnce(const std::string& path, const std::string& text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) !=
                         static_cast<ssize_t>(text.size())) {
    return FailedTo("write to " + path);
  }
  return "";
}

}  // namespace

IdMap OrdinaryUser(bool one_id) {
  IdMap map = {::geteuid() == 0 ? kMadeUpUser : ::geteuid()};
  if (one_id) return map;
  map.range_start = ::geteuid() == 0 ? kMadeUpRange : SubordinateRange();
  map.range_count = map.range_start == 0 ? 0 : kRangeCount;
  return map;
}

std::string ShowFuseDeviceToAll(const std::string& scratch) {
  if (::access("/dev/fuse", R_OK | W_OK) == 0 && ::geteuid() != 0) return "";
  const std::string dir = scratch + "/dev";
  const std::string node = dir + "/fuse";
  if (::mkdir(dir.c_str(), 0755) != 0) return FailedTo("mkdir " + dir);
  if (::mount("tmpfs", dir.c_str(), "tmpfs", 0, "mode=755") != 0) {
    return FailedTo("mount tmpfs on " + dir);
  }
  if (::mknod(node.c_str(), S_IFCHR | 0666, makedev(10, 229)) != 0 ||
      ::chmod(node.c_str(), 0666) != 0) {
    return FailedTo("mknod " + node);
  }
  if (::mount(node.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) != 0) {
    return FailedTo("bind mount over /dev/fuse");
  }
  return "";
}

std::string EnterUserNamespace(const IdMap& map) {
  if (::geteuid() == 0) {
    if (::setgroups(0, nullptr) != 0 ||
        ::setresgid(map.outer_id, map.outer_id, map.outer_id) != 0 ||
        ::setresuid(map.outer_id, map.outer_id, map.outer_id) != 0) {
      return FailedTo("becoming an ordinary user");
    }
    // Changing ids forgot it, and made /proc/self root's.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_DUMPABLE, 1);
  }
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return FailedTo("unshare of user and mount namespaces");
  }
  return "";
}

std::string BecomeNamespaceRoot() {
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
    return FailedTo("becoming root in the user namespace");
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 1);
  return "";
}

std::string WriteIdMap(pid_t pid, const IdMap& map) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const std::string outer = std::to_string(map.outer_id);
  if (map.range_count == 0) {
    if (std::string error = WriteOnce(proc + "/setgroups", "deny");
        !error.empty()) {
      return error;
    }
  } else if (::geteuid() != 0) {
    // Only these setuid programs may hand out a range.
    for (const char* tool : {"newuidmap", "newgidmap"}) {
      ProgramResult result = RunProgram(
          {tool, std::to_string(pid), "0", outer, "1", "1",
           std::to_string(map.range_start), std::to_string(map.range_count)});
      if (result.exit_code != 0) return tool + (": " + result.output);
    }
    return "";
  }
  std::string lines = "0 " + outer + " 1\n";
  if (map.range_count != 0) {
    lines += "1 " + std::to_string(map.range_start) + " " +
             std::to_string(map.range_count) + "\n";
  }
  std::string error = WriteOnce(proc + "/gid_map", lines);
  return error.empty() ? WriteOnce(proc + "/uid_map", lines) : error;
}

}  // namespace ufs::test
