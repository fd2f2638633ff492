#include "tools/remount.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fs/control.h"
#include "fs/fuse_mount.h"
#include "layerdb/base/mount_info.h"
#include "tools/command.h"
#include "tools/mountpoint.h"
#include "tools/output.h"

namespace ufs {
namespace {

bool IsSamePlace(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::weakly_canonical(one, error) ==
         std::filesystem::weakly_canonical(other, error);
}

Error Fixed(const std::string& what) {
  return Error(EINVAL, what +
                           " of a mounted union cannot be changed; unmount it "
                           "and mount it again");
}

// Refuses what is not as the mount has it.
Status CheckUnion(const MountOptions& options, const nlohmann::json& has) {
  const auto upper = has.at("upper").get<std::string>();
  if (options.config.upper && !IsSamePlace(*options.config.upper, upper))
    return Fixed("the upper directory");
  if (options.has_lowerdir) {
    const auto layers = has.at("layers").get<std::vector<std::string>>();
    bool same = layers.size() == options.config.layers.size();
    for (size_t i = 0; same && i < layers.size(); ++i)
      same = layers[i] == options.config.layers[i] ||
             IsSamePlace(layers[i], options.config.layers[i]);
    if (!same) return Fixed("the layers");
  }
  if (options.read_only_given == false && upper.empty())
    return Error(EROFS, "it has no upper directory, and stays read-only");
  return Ok();
}

// A remount replaces all flags; but how access times are kept stays by itself
// where nothing is said of it.
Result<unsigned long> FlagsWanted(const std::string& mountpoint,
                                  const MountOptions& options) {
  struct statvfs now;
  if (statvfs(mountpoint.c_str(), &now) != 0)
    return Error(errno, strerror(errno));
  // The words of the request come after those for what is so now.
  MountConfig config;
  constexpr std::pair<unsigned long, const char*> kWords[] = {
      {ST_NOSUID, "nosuid"},
      {ST_NODEV, "nodev"},
      {ST_NOEXEC, "noexec"},
      {ST_SYNCHRONOUS, "sync"}};
  for (const auto& [flag, word] : kWords)
    if ((now.f_flag & flag) != 0) config.mount_options.emplace_back(word);
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

Status Remount(const std::string& mountpoint, const MountOptions& options) {
  const auto found = FindMountAt(mountpoint);
  if (!found) return Error(EINVAL, "nothing is mounted here");
  if (!found->type.starts_with("fuse"))
    return Error(EINVAL, "is a mount of type " + found->type +
                             ", not one of ufs; use mount(8)");
  const auto answer =
      nlohmann::json::parse(TRY(QueryControl(mountpoint)), nullptr, false);
  if (answer.is_discarded() || !answer.contains("union"))
    return Error(EPROTO, "its daemon speaks another language");
  TRY(CheckUnion(options, answer.at("union")));
  const unsigned long flags = TRY(FlagsWanted(mountpoint, options));
  if (mount(found->source.c_str(), mountpoint.c_str(), nullptr,
            MS_REMOUNT | flags, "") != 0)
    return Error(errno, WhyNot(errno));
  return Ok();
}

}  // namespace

int RemountUnion(const MountRequest& request) {
  const std::string mountpoint =
      ResolveMountpoint(request.options.mount.mountpoint);
  const Status done = Remount(mountpoint, request.options);
  if (done.ok()) return kExitOk;
  return Complain(request.who,
                  mountpoint + ": " + std::string(done.error().context()),
                  request.failure_code);
}

}  // namespace ufs
