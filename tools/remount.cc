#include "tools/remount.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "fs/frozen_upper.h"
#include "fs/fuse_mount.h"
#include "tools/command.h"
#include "tools/layer_words.h"
#include "tools/mountpoint.h"
#include "tools/output.h"

namespace ufs {
namespace {

bool IsSamePlace(const std::string& one, const std::string& other) {
  std::error_code error;
  return one == other || std::filesystem::weakly_canonical(one, error) ==
                             std::filesystem::weakly_canonical(other, error);
}

Error Fixed(const std::string& what) {
  return Error(EINVAL, what +
                           " of a mounted union cannot be changed; unmount it "
                           "and mount it again");
}

// Refuses what is not as the mount has it.
Status CheckUnion(const MountRequest& request, const Json& has) {
  const MountOptions& options = request.options;
  const std::string upper = has.value("upper", "");
  if (options.config.upper && !IsSamePlace(*options.config.upper, upper))
    return Fixed("the upper directory");
  if (options.has_lowerdir) {
    auto layers = has.value("layers", std::vector<std::string>());
    // What the upper was at a commit comes with it.
    std::erase_if(layers, IsFrozenName);
    UnionConfig named = options.config;
    TRY(ResolveLayers(request.store, named));
    if (!std::equal(layers.begin(), layers.end(), named.layers.begin(),
                    named.layers.end(), IsSamePlace))
      return Fixed("the layers");
  }
  if (options.read_only_given == false && upper.empty())
    return Error(EROFS, "it has no upper directory, and stays read-only");
  return Ok();
}

// A remount replaces all flags.
Result<unsigned long> FlagsWanted(const std::string& mountpoint,
                                  const std::string& super_options,
                                  const MountOptions& options) {
  struct statvfs now;
  if (statvfs(mountpoint.c_str(), &now) != 0)
    return Error(errno, mountpoint + ": " + strerror(errno));
  // The words of the request come after those for what is so now.
  MountConfig config;
  constexpr unsigned long kNoSymFollow = 0x2000;  // of statfs(2)
  constexpr std::pair<unsigned long, const char*> kWords[] = {
      {ST_NOSUID, "nosuid"},         {ST_NODEV, "nodev"},
      {ST_NOEXEC, "noexec"},         {ST_SYNCHRONOUS, "sync"},
      {ST_NODIRATIME, "nodiratime"}, {kNoSymFollow, "nosymfollow"}};
  for (const auto& [flag, word] : kWords)
    if ((now.f_flag & flag) != 0) config.mount_options.emplace_back(word);
  config.mount_options.emplace_back((now.f_flag & ST_NOATIME) != 0 ? "noatime"
                                    : (now.f_flag & ST_RELATIME) != 0
                                        ? "relatime"
                                        : "strictatime");
  for (const char* word : {"dirsync", "lazytime"})
    if (("," + super_options + ",").find("," + std::string(word) + ",") !=
        std::string::npos)
      config.mount_options.emplace_back(word);
  config.mount_options.insert(config.mount_options.end(),
                              options.mount.mount_options.begin(),
                              options.mount.mount_options.end());
  const bool read_only =
      options.read_only_given.value_or((now.f_flag & ST_RDONLY) != 0);
  const unsigned long flags = TRY(ToFuseMountOptions(config)).flags;
  return read_only ? flags | MS_RDONLY : flags & ~MS_RDONLY;
}

std::string WhyNot(int error) {
  switch (error) {
    case EBUSY:
      return "files are open for writing ('fuser -vm' names who has them)";
    case EPERM:
      return "not permitted; only root changes a mount";
    default:
      return std::string("cannot be remounted: ") + strerror(error);
  }
}

Status Remount(const std::string& mountpoint, const MountRequest& request) {
  const MountInfo found = TRY(FindUnionMount(mountpoint, "mount(8)"));
  const Json report = TRY(AskDaemon(mountpoint));
  TRY(CheckUnion(request, report["union"]).With(mountpoint));
  const unsigned long flags =
      TRY(FlagsWanted(mountpoint, found.super_options, request.options));
  if (mount(found.source.c_str(), mountpoint.c_str(), nullptr,
            MS_REMOUNT | flags, "") != 0)
    return Error(errno, mountpoint + ": " + WhyNot(errno));
  return Ok();
}

}  // namespace

int RemountUnion(const MountRequest& request) {
  const std::string mountpoint =
      ResolveMountpoint(request.options.mount.mountpoint);
  const Status done = Remount(mountpoint, request);
  if (done.ok()) return kExitOk;
  return Complain(request.who, done.error().context(), request.failure_code);
}

}  // namespace ufs
