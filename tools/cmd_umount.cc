// ufs umount: unmounts and waits until the daemon has written what it held and
// is gone, so that the upper can be used at once.
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "fs/control.h"
#include "layerdb/base/mount_info.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/kernel.h"
#include "tools/command.h"
#include "tools/mountpoint.h"

namespace ufs {
namespace {

constexpr char kUfsUmount[] = "ufs umount";

// A descriptor of the daemon's process; not valid when it cannot be told which
// one that is: dead already, or in another pid namespace.
UniqueFd OpenDaemon(const std::string& mountpoint) {
  const auto pid = DaemonOf(mountpoint);
  if (!pid.ok()) return UniqueFd();
  auto process = runtime::kernel::PidfdOpen(*pid);
  return process.ok() ? std::move(process).value() : UniqueFd();
}

// 0, or the errno of umount2(2).
int Unmount(const std::string& mountpoint, bool lazy) {
  const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  return umount2(mountpoint.c_str(), flags) == 0 ? 0 : errno;
}

// The set-user-id helper, for users who may not unmount themselves. It prints
// why it fails. 0, the errno of starting it, or -1 when it failed.
int UnmountByHelper(const std::string& mountpoint, bool lazy) {
  std::vector<std::string> words = {"fusermount3", "-u"};
  if (lazy) words.push_back("-z");
  words.insert(words.end(), {"--", mountpoint});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  if (const int error = posix_spawnp(&pid, "fusermount3", nullptr, nullptr,
                                     arguments.data(), environ))
    return error;
  int status = 0;
  while (waitpid(pid, &status, 0) == -1)
    if (errno != EINTR) return errno;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

std::string WhyNot(int error) {
  switch (error) {
    case EBUSY:
      return "in use; end what uses it ('fuser -vm' names it), or detach it "
             "with --lazy";
    case EPERM:
    case EACCES:
      return "not permitted; only root and who mounted it can unmount it";
    default:
      return std::string("cannot be unmounted: ") + std::strerror(error);
  }
}

int UnmountAndWait(const std::string& path, bool lazy) {
  const auto fail = [&](const std::string& message) {
    return Complain(kUfsUmount, path + ": " + message, kExitFailure);
  };
  const std::string mountpoint = ResolveMountpoint(path);
  const auto mount = FindUnionMount(mountpoint, "umount(8)");
  if (!mount.ok())
    return Complain(kUfsUmount, mount.error().context(), kExitFailure);
  const UniqueFd daemon = OpenDaemon(mountpoint);

  int error = Unmount(mountpoint, lazy);
  if (error == EPERM) {
    error = UnmountByHelper(mountpoint, lazy);
    if (error == -1) return kExitFailure;
    if (error == ENOENT)
      return fail(
          "cannot be unmounted without fusermount3; install the "
          "package fuse3, or run as root");
  }
  if (error != 0) return fail(WhyNot(error));

  if (!daemon.valid()) RemoveDeadControlSocket(mount->device);
  // After a lazy unmount it lives on as long as somebody uses the mount.
  constexpr int kLongestMs = 120'000;
  if (lazy || !daemon.valid() ||
      runtime::kernel::WaitForExit(daemon, kLongestMs))
    return kExitOk;
  return fail(
      "unmounted, but its daemon is still there after two minutes: it writes "
      "to "
      "a slow disk, or another mount namespace has a copy of the mount");
}

}  // namespace

int RunUmount(int argc, char** argv) {
  std::vector<std::string> paths;
  bool lazy = false;
  ArgumentParser parser(
      kUfsUmount, "ufs umount [--lazy] MOUNTPOINT...",
      "Unmounts unions and waits until their daemons are gone: then the uppers "
      "are\ncomplete and free. umount(8) and 'fusermount3 -u' work too, "
      "without the wait.",
      "Examples:\n"
      "  ufs umount /mnt\n"
      "  ufs umount --lazy /mnt    also when it is in use, or its daemon is "
      "dead\n");
  parser.add_option("paths", paths);
  parser.add_flag("-l,--lazy,-z", lazy,
                  "Detach now; the daemon ends when nobody uses it any more");
  if (auto done = parser.Parse(argc, argv)) return *done;
  if (paths.empty())
    return Complain(kUfsUmount, "no mount point given; see 'ufs umount --help'",
                    kExitUsage);
  int code = kExitOk;
  for (const std::string& path : paths)
    if (UnmountAndWait(path, lazy) != kExitOk) code = kExitFailure;
  return code;
}

}  // namespace ufs
