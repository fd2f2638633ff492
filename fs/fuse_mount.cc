#include "fs/fuse_mount.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "fs/dead_mount.h"
#include "layerdb/base/syscall.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace ufs {
namespace {

constexpr char kDevice[] = "/dev/fuse";
constexpr char kHelper[] = "fusermount3";

struct FlagWord {
  std::string_view word;
  unsigned long flag;
  bool set;
  bool helper_knows;
};

constexpr FlagWord kFlagWords[] = {
    {"ro", MS_RDONLY, true, true},
    {"rw", MS_RDONLY, false, true},
    {"nosuid", MS_NOSUID, true, true},
    {"suid", MS_NOSUID, false, true},
    {"nodev", MS_NODEV, true, true},
    {"dev", MS_NODEV, false, true},
    {"noexec", MS_NOEXEC, true, true},
    {"exec", MS_NOEXEC, false, true},
    {"sync", MS_SYNCHRONOUS, true, true},
    {"async", MS_SYNCHRONOUS, false, true},
    {"dirsync", MS_DIRSYNC, true, true},
    {"noatime", MS_NOATIME, true, true},
    {"atime", MS_NOATIME, false, true},
    {"nodiratime", MS_NODIRATIME, true, true},
    {"diratime", MS_NODIRATIME, false, false},
    {"relatime", MS_RELATIME, true, false},
    {"norelatime", MS_RELATIME, false, true},
    {"strictatime", MS_STRICTATIME, true, false},
    {"nostrictatime", MS_STRICTATIME, false, true},
    {"lazytime", MS_LAZYTIME, true, false},
    {"nolazytime", MS_LAZYTIME, false, false},
    {"nosymfollow", MS_NOSYMFOLLOW, true, true},
    {"symfollow", MS_NOSYMFOLLOW, false, true},
    {"silent", MS_SILENT, true, false},
    {"loud", MS_SILENT, false, false},
};

// For the kernel's security modules; only a direct mount can carry them.
constexpr std::string_view kContextWords[] = {
    "context=", "fscontext=", "defcontext=", "rootcontext="};

// For mount(8) and its friends alone.
constexpr std::string_view kIgnoredWords[] = {
    "defaults", "auto",  "noauto",  "user",   "nouser",
    "users",    "owner", "noowner", "nofail", "_netdev"};
constexpr std::string_view kIgnoredPrefixes[] = {"x-", "X-",
                                                 "comment=", "user="};

void Append(std::string& list, std::string_view word) {
  if (!list.empty()) list += ',';
  list += word;
}

// A context may hold commas in quotes; the kernel takes it as it stands, and
// fusermount3 takes none.
Status AddWord(std::string_view word, FuseMountOptions& options) {
  for (const FlagWord& known : kFlagWords) {
    if (known.word != word) continue;
    // Of the three ways to keep access times, the last that was named counts.
    if (known.set &&
        (known.flag == MS_STRICTATIME || known.flag == MS_RELATIME))
      options.flags &= ~(MS_NOATIME | MS_STRICTATIME | MS_RELATIME);
    known.set ? options.flags |= known.flag : options.flags &= ~known.flag;
    if (known.helper_knows) Append(options.helper, word);
    return Ok();
  }
  for (const std::string_view prefix : kContextWords)
    if (word.starts_with(prefix)) {
      Append(options.data, word);
      Append(options.helper, word);
      return Ok();
    }
  for (const std::string_view ignored : kIgnoredWords)
    if (word == ignored) return Ok();
  for (const std::string_view prefix : kIgnoredPrefixes)
    if (word.starts_with(prefix)) return Ok();
  return Error(EINVAL, "unknown mount option '" + std::string(word) + "'");
}

// Whether this process is root of more than its own user namespace. Inside one,
// everybody who can see the mount is in the namespace.
bool IsRoot() { return geteuid() == 0; }

// A comma or backslash in the name would end it for fusermount3.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// The options that label the mount for SELinux, as words of a message.
std::string LabelsIn(const MountConfig& config) {
  std::string labels;
  for (const std::string& word : config.mount_options)
    for (const std::string_view prefix : kContextWords)
      if (word.starts_with(prefix))
        labels += (labels.empty() ? "" : " and ") + word;
  return labels;
}

// Runs fusermount3 with `arguments` after its name; its exit status.
Result<int> RunHelper(std::vector<std::string> arguments, int inherited,
                      bool quiet) {
  arguments.insert(arguments.begin(), kHelper);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  std::string variable;
  std::vector<char*> env;
  for (char** at = environ; *at != nullptr; ++at) env.push_back(*at);
  if (inherited >= 0) {
    variable = "_FUSE_COMMFD=" + std::to_string(inherited);
    env.push_back(variable.data());
  }
  env.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (quiet)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
                                     O_WRONLY, 0);
  // The signals the session blocks are not for the helper to inherit blocked.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

  pid_t pid = -1;
  const int code = posix_spawnp(&pid, kHelper, &actions, &attributes,
                                argv.data(), env.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) {
    if (code != ENOENT) return Error(code, kHelper);
    return Error(ENOENT,
                 "fusermount3 is missing, which mounts for ordinary users; "
                 "install the package fuse3, or mount as root or in a user "
                 "namespace (unshare -Urm)");
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return Error(errno, kHelper);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The descriptor that fusermount3 sends once it has mounted.
Result<UniqueFd> ReceiveFd(BorrowedFd from) {
  char byte;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do got = recvmsg(from.get(), &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  const cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
    return Error(EPERM, "fusermount3 refused the mount");
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

}  // namespace

Result<FuseMountOptions> ToFuseMountOptions(const MountConfig& config) {
  FuseMountOptions options;
  // Access times would be a write to the union for each read from the page
  // cache, which is why nobody has them by default.
  TRY(AddWord("noatime", options));
  // As a mount of overlayfs. An ordinary user's mount is nosuid,nodev whatever
  // is asked: fusermount3 sees to that.
  if (!IsRoot()) {
    TRY(AddWord("nosuid", options));
    TRY(AddWord("nodev", options));
  }
  for (const std::string& word : config.mount_options)
    TRY(AddWord(word, options));
  if (config.read_only) TRY(AddWord("ro", options));

  Append(options.data, "default_permissions");
  Append(options.helper, "default_permissions");
  if (config.allow_other.value_or(IsRoot())) {
    Append(options.data, "allow_other");
    Append(options.helper, "allow_other");
  }
  Append(options.helper, "fsname=" + Escaped(config.source));
  Append(options.helper, "subtype=" + Escaped(config.subtype));
  return options;
}

Result<UniqueFd> OpenFuseDevice() {
  Result<UniqueFd> fd = sys::Open(kDevice, O_RDWR);
  if (fd.ok()) return fd;
  const std::string device(kDevice);
  switch (fd.code()) {
    case ENOENT:
      return Error(ENOENT, device +
                               " is missing; as root: modprobe fuse && mknod "
                               "-m 666 " +
                               device + " c 10 229");
    case ENODEV:
    case ENXIO:
      return Error(
          fd.code(),
          device + ": this kernel has no FUSE; as root: modprobe fuse");
    case EACCES:
    case EPERM:
      return Error(
          fd.code(),
          device + " is not for this user; as root: chmod 666 " + device);
    default:
      return std::move(fd).With(device);
  }
}

Status CheckMountPoint(const std::string& path) {
  struct statx stx {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &stx) != 0) {
    if (errno == ENOENT)
      return Error(ENOENT, "mount point " + path +
                               " does not exist; make it with mkdir");
    if (IsOfDeadDaemon(errno))
      return Error(ENOTCONN, "mount point " + path +
                                 " is the mount of a daemon that is gone; "
                                 "unmount it first: ufs umount " +
                                 path);
    return Error(errno, "mount point " + path);
  }
  if (!S_ISDIR(stx.stx_mode)) return Error(ENOTDIR, "mount point " + path);
  return Ok();
}

Result<UniqueFd> MountDirectly(const MountConfig& config,
                               const FuseMountOptions& options) {
  UniqueFd device = TRY(OpenFuseDevice());
  std::string data = "fd=" + std::to_string(device.get()) +
                     ",rootmode=40000,user_id=" + std::to_string(geteuid()) +
                     ",group_id=" + std::to_string(getegid());
  Append(data, options.data);
  if (mount(config.source.c_str(), config.mountpoint.c_str(),
            ("fuse." + config.subtype).c_str(), options.flags,
            data.c_str()) == 0)
    return device;
  const int code = errno;
  const std::string labels = LabelsIn(config);
  if (!labels.empty() && (code == EINVAL || code == EACCES))
    return Error(code, "mounting on " + config.mountpoint +
                           ": SELinux does not take " + labels +
                           " for it; leave that out, or see dmesg(1)");
  return Error(code, "mounting on " + config.mountpoint);
}

Result<UniqueFd> MountThroughHelper(const MountConfig& config,
                                    const FuseMountOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
    return Error(errno, "socketpair");
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  if (fcntl(ours.get(), F_SETFD, FD_CLOEXEC) != 0)
    return Error(errno, "socketpair");
  const int status =
      TRY(RunHelper({"-o", options.helper, "--", config.mountpoint},
                    theirs.get(), /*quiet=*/false));
  theirs.reset();  // or waiting for a descriptor that was never sent would hang
  if (status != 0)
    return Error(EPERM, "fusermount3 could not mount on " + config.mountpoint);
  return ReceiveFd(ours);
}

Result<dev_t> DeviceAt(const std::string& path) {
  struct statx stx {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, 0, &stx) != 0)
    return Error(errno, path);
  return makedev(stx.stx_dev_major, stx.stx_dev_minor);
}

Status UnmountFuse(const std::string& path, dev_t device, bool lazily) {
  const Result<dev_t> there = DeviceAt(path);
  if (!there.ok() || *there != device)
    return Error(EINVAL, path + " is no longer this mount");
  if (umount2(path.c_str(), UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0)
    return Ok();
  if (errno != EPERM) return Error(errno, "unmounting " + path);
  std::vector<std::string> arguments{"-u", "-q"};
  if (lazily) arguments.push_back("-z");
  arguments.push_back("--");
  arguments.push_back(path);
  const int status = TRY(RunHelper(arguments, -1, /*quiet=*/true));
  if (status != 0) return Error(EBUSY, "unmounting " + path);
  return Ok();
}

}  // namespace ufs
