#include "tests/harness/subject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include <fstream>
#include <sstream>

#include "tests/harness/expect.h"
#include "tests/harness/process.h"

namespace ufs::test {
namespace {

Subject the_subject;

std::optional<std::string> Failure(const std::string& what) {
  return what + ": " + ErrnoName(errno) + " (" + strerror(errno) + ")";
}

unsigned long FlagsOf(const std::string& options) {
  unsigned long flags = 0;
  std::istringstream in(options);
  for (std::string option; std::getline(in, option, ',');) {
    if (option == "ro") flags |= MS_RDONLY;
    if (option == "nosuid") flags |= MS_NOSUID;
    if (option == "nodev") flags |= MS_NODEV;
    if (option == "noexec") flags |= MS_NOEXEC;
    if (option == "noatime") flags |= MS_NOATIME;
  }
  return flags;
}

std::optional<std::string> MountPlain(const MountPlan& plan) {
  const char* from = plan.merged.c_str();
  const char* to = plan.mountpoint.c_str();
  const unsigned long flags =
      FlagsOf(plan.options) | (plan.upper.empty() ? MS_RDONLY : 0);
  if (::mount(from, to, nullptr, MS_BIND, nullptr) != 0) {
    return Failure("bind mount of " + plan.merged);
  }
  if (flags != 0 && ::mount(nullptr, to, nullptr, MS_BIND | MS_REMOUNT | flags,
                            nullptr) != 0) {
    return Failure("remount of " + plan.mountpoint);
  }
  return std::nullopt;
}

std::optional<std::string> MountOverlay(const MountPlan& plan) {
  std::string data = "lowerdir=";
  for (auto it = plan.lowers.rbegin(); it != plan.lowers.rend(); ++it) {
    data += (it == plan.lowers.rbegin() ? "" : ":") + *it;
  }
  data += ",redirect_dir=on,index=on,metacopy=on,xino=on";
  if (!plan.upper.empty()) {
    data += ",upperdir=" + plan.upper + ",workdir=" + plan.work;
  }
  if (::mount("overlay", plan.mountpoint.c_str(), "overlay",
              FlagsOf(plan.options), data.c_str()) != 0) {
    return Failure("overlay mount with " + data);
  }
  return std::nullopt;
}

std::string StoreOf(const MountPlan& plan) {
  return plan.mountpoint + ".store";
}

std::string LayerName(const std::string& lower) {
  return lower.substr(lower.rfind('/') + 1) + ":sealed";
}

// What went wrong, or nothing.
std::optional<std::string> Run(const std::vector<std::string>& argv) {
  const ProgramResult result = RunProgram(argv);
  if (result.exit_code == 0) return std::nullopt;
  std::string command;
  for (const std::string& arg : argv) command += arg + " ";
  return command + "ended with " + std::to_string(result.exit_code) + ": " +
         result.output;
}

std::optional<std::string> Seal(const MountPlan& plan,
                                std::set<std::string>& sealed) {
  for (const std::string& lower : plan.lowers) {
    if (!sealed.insert(lower).second) continue;
    const auto failure =
        Run({UfsBinary(), "layer", "import", "--store", StoreOf(plan), "--name",
             LayerName(lower), lower});
    if (failure) return failure;
  }
  return std::nullopt;
}

std::optional<std::string> MountUfs(const MountPlan& plan) {
  std::vector<std::string> argv = {UfsBinary(), "mount"};
  if (TheSubject().sealed) {
    argv.push_back("--store");
    argv.push_back(StoreOf(plan));
  }
  std::string options = TheSubject().options;
  if (!plan.options.empty()) {
    options += (options.empty() ? "" : ",") + plan.options;
  }
  if (!options.empty()) {
    argv.push_back("-o");
    argv.push_back(options);
  }
  if (plan.upper.empty()) {
    argv.push_back("--ro");
  } else {
    argv.push_back("--upper");
    argv.push_back(plan.upper);
  }
  for (const std::string& lower : plan.lowers)
    argv.push_back(TheSubject().sealed ? LayerName(lower) : lower);
  argv.push_back(plan.mountpoint);
  return Run(argv);
}

}  // namespace

std::vector<Subject> Subject::All() {
  std::vector<Subject> all;
  all.push_back({.name = "plain", .kind = Kind::kPlain});
  all.push_back({.name = "overlay", .kind = Kind::kOverlay});
  all.push_back({.name = "ufs-root-classic",
                 .kind = Kind::kUfs,
                 .options = "transport=classic"});
  all.push_back({.name = "ufs-root-uring",
                 .kind = Kind::kUfs,
                 .wants_uring = true,
                 .options = "transport=io_uring"});
  all.push_back({.name = "ufs-root-writeback",
                 .kind = Kind::kUfs,
                 .wants_uring = true,
                 .writes_late = true,
                 .options = "transport=io_uring,writeback=1"});
  all.push_back({.name = "ufs-root-passthrough",
                 .kind = Kind::kUfs,
                 .wants_uring = true,
                 .options = "transport=io_uring,passthrough=1"});
  all.push_back({.name = "ufs-sealed",
                 .kind = Kind::kUfs,
                 .wants_uring = true,
                 .sealed = true,
                 .options = "transport=io_uring"});
  all.push_back(
      {.name = "ufs-user", .kind = Kind::kUfs, .in_user_namespace = true});
  // ufs-user has io_uring, where it is switched on.
  all.push_back({.name = "ufs-user-one-id",
                 .kind = Kind::kUfs,
                 .in_user_namespace = true,
                 .one_id = true,
                 .options = "transport=classic"});
  return all;
}

std::optional<Subject> Subject::Named(const std::string& name) {
  for (Subject& subject : All()) {
    if (subject.name == name) return subject;
  }
  return std::nullopt;
}

const Subject& TheSubject() { return the_subject; }
void SetTheSubject(Subject subject) { the_subject = std::move(subject); }

std::string UfsBinary() {
  const char* path = ::getenv("UFS_BIN");
  return path ? path : "ufs";
}

std::optional<std::string> MountedSubject::Mount(const MountPlan& plan) {
  root_ = plan.mountpoint;
  std::optional<std::string> failure;
  switch (TheSubject().kind) {
    case Subject::Kind::kPlain:
      failure = MountPlain(plan);
      break;
    case Subject::Kind::kOverlay:
      failure = MountOverlay(plan);
      break;
    case Subject::Kind::kUfs:
      if (TheSubject().sealed) failure = Seal(plan, sealed_);
      if (!failure) failure = MountUfs(plan);
      break;
  }
  mounted_ = !failure;
  return failure;
}

std::optional<std::string> MountedSubject::Unmount() {
  mounted_ = false;
  if (!TheSubject().is_ufs()) {
    if (::umount2(root_.c_str(), UMOUNT_NOFOLLOW) == 0) return std::nullopt;
    std::optional<std::string> failure = Failure("umount " + root_);
    ::umount2(root_.c_str(), MNT_DETACH);
    return failure;
  }
  const auto failure = Run({UfsBinary(), "umount", root_});
  if (failure) ::umount2(root_.c_str(), MNT_DETACH);
  return failure;
}

MountedSubject::~MountedSubject() {
  if (mounted_) Unmount();
}

unsigned FuseConnectionOf(const std::string& mountpoint) {
  // id parent major:minor root mountpoint options... - type source super
  std::ifstream in("/proc/self/mountinfo");
  unsigned found = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    fields >> id >> parent >> device >> root >> point;
    if (point != mountpoint || line.find(" - fuse") == std::string::npos) {
      continue;
    }
    found = static_cast<unsigned>(
        std::strtoul(device.substr(device.find(':') + 1).c_str(), nullptr, 10));
  }
  return found;
}

}  // namespace ufs::test
