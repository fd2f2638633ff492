// Programs, and the places they run in.

#include <linux/mount.h>  // fsconfig commands; after sys/mount.h
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bench/workload.h"

namespace ufs::bench {
namespace {

constexpr size_t kMaxOutput = 4096;  // what of a command's output is handed on

void MountOrDie(const char* source, const std::string& target,
                unsigned long flags) {
  if (mount(source, target.c_str(), nullptr, flags, nullptr) != 0)
    Die("mount", target);
}

// A mount namespace of our own, with the machine's /dev bound into the root,
// because a FUSE mount is nodev. Everything done here ends with this process.
void EnterRoot(const std::string& root) {
  if (unshare(CLONE_NEWNS) != 0) Die("unshare", "mount namespace");
  MountOrDie("none", "/", MS_REC | MS_PRIVATE);
  // MS_REC, as a user namespace may not take a mount apart from those below it.
  MountOrDie("/dev", root + "/dev", MS_BIND | MS_REC);
  if (chroot(root.c_str()) != 0) Die("chroot", root);
  if (chdir("/") != 0) Die("chdir", "/");
}

[[noreturn]] void RunChild(const std::vector<std::string>& command,
                           int output) {
  std::vector<char*> argv;
  for (const std::string& word : command)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  static char path[] =
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  static char home[] = "HOME=/root";
  static char locale[] = "LC_ALL=C";
  char* environment[] = {path, home, locale, nullptr};
  if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
    _exit(127);
  execvpe(argv[0], argv.data(), environment);
  std::fprintf(stderr, "%s: %s\n", argv[0], std::strerror(errno));
  _exit(127);
}

std::string OutputOf(const Fd& output) {
  if (lseek(output.get(), 0, SEEK_SET) < 0) Die("lseek", "output");
  std::string text = ReadAll(output, 1 << 16, "output", nullptr);
  return text.size() <= kMaxOutput
             ? text
             : "..." + text.substr(text.size() - kMaxOutput);
}

void WriteFile(const std::string& path, const std::string& text) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) Die("open", path);
  WriteAll(fd, text.data(), text.size(), path);
}

}  // namespace

Measured Exec(const Args& args) {
  if (args.command.empty()) Wrong("no command after", "--");
  // A file, not a pipe: a daemon that the command leaves behind would hold a
  // pipe open.
  Fd output(memfd_create("output", MFD_CLOEXEC));
  if (output.get() < 0) Die("memfd_create", "output");
  if (args.chroot) {
    EnterRoot(args.root);
  } else if (chdir(args.root.c_str()) != 0) {
    Die("chdir", args.root);
  }
  Stopwatch watch;
  watch.Start();
  pid_t child = fork();
  if (child < 0) Die("fork", args.command[0]);
  if (child == 0) RunChild(args.command, output.get());
  int status = 0;
  if (waitpid(child, &status, 0) != child) Die("waitpid", args.command[0]);
  watch.Stop();
  Measured m;
  m.seconds = watch.seconds();
  m.ops = 1;
  m.output = OutputOf(output);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::fprintf(stderr, "ufs_bench_workload: %s failed (wait status %d): %s\n",
                 args.command[0].c_str(), status, m.output.c_str());
    std::exit(1);
  }
  m.check = HashString(m.output);
  return m;
}

// Stays in a fresh user and mount namespace until standard input closes, so
// that others can nsenter it. The ids of the machine are mapped to themselves:
// what is missing is the privilege of the initial namespace, not an owner.
Measured HoldUserNamespace(const Args&) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) Die("pipe", "");
  pid_t child = fork();
  if (child < 0) Die("fork", "");
  if (child == 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
      Die("unshare", "user namespace");
    Fd tell(ready[1]);
    WriteAll(tell, "x", 1, "pipe");
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    _exit(0);
  }
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1)
    Wrong("no user namespace: the child", "ended");
  std::string proc = "/proc/" + std::to_string(child);
  WriteFile(proc + "/uid_map", "0 0 65536\n");
  WriteFile(proc + "/gid_map", "0 0 65536\n");
  std::printf("%d\n", child);
  std::fflush(stdout);
  int status = 0;
  if (waitpid(child, &status, 0) != child) Die("waitpid", "");
  return {};
}

// Mounts overlayfs at args.root from the directories after "--" (bottom to top;
// the last two are upper and work) through fsconfig's lowerdir+, which unlike
// mount(8) has no limit of one page for all names. --file holds the options,
// comma-separated.
Measured MountOverlay(const Args& args) {
  const std::vector<std::string>& dirs = args.command;
  if (dirs.size() < 3)
    Wrong("need a lower, an upper and a work directory", args.root);
  Fd context(
      static_cast<int>(syscall(SYS_fsopen, "overlay", 1 /* FSOPEN_CLOEXEC */)));
  if (context.get() < 0) Die("fsopen", "overlay");
  auto set = [&](const char* key, const std::string& value) {
    if (syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key,
                value.c_str(), 0) != 0) {
      Die(std::string("overlayfs refuses ") + key, value);
    }
  };
  for (size_t i = dirs.size() - 2; i-- > 0;) set("lowerdir+", dirs[i]);
  set("upperdir", dirs[dirs.size() - 2]);
  set("workdir", dirs[dirs.size() - 1]);
  for (size_t at = 0; at < args.file.size();) {
    size_t end = std::min(args.file.find(',', at), args.file.size());
    std::string option = args.file.substr(at, end - at);
    at = end + 1;
    size_t equals = option.find('=');
    if (equals != std::string::npos) {
      set(option.substr(0, equals).c_str(), option.substr(equals + 1));
    } else if (syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_FLAG,
                       option.c_str(), nullptr, 0) != 0) {
      Die("overlayfs refuses", option);
    }
  }
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr,
              nullptr, 0) != 0)
    Die("overlayfs", args.root);
  Fd mounted(static_cast<int>(
      syscall(SYS_fsmount, context.get(), 1 /* FSMOUNT_CLOEXEC */, 0)));
  if (mounted.get() < 0) Die("fsmount", args.root);
  if (syscall(SYS_move_mount, mounted.get(), "", AT_FDCWD, args.root.c_str(),
              MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    Die("move_mount", args.root);
  }
  return {};
}

}  // namespace ufs::bench
