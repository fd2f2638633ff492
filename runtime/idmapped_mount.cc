#include "runtime/idmapped_mount.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"
#include "runtime/channel.h"
#include "runtime/id_map.h"
#include "runtime/kernel.h"
#include "runtime/names.h"

namespace ufs::runtime {
namespace {

Result<UniqueFd> UserNamespaceOf(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/user";
  return sys::Open(path.c_str(), O_RDONLY);
}

// A user namespace that nobody is in, with these maps.
Result<UniqueFd> MakeUserNamespace(const MountIdMap& map) {
  auto pair = TRY(kernel::MakeSocketPair());
  const auto helper = TRY(kernel::Clone(CLONE_NEWUSER));
  if (helper.pid == 0) {
    // Until told, or until nobody is there who could.
    pair.ours.reset();
    (void)Listen(pair.theirs);
    _exit(0);
  }
  pair.theirs.reset();
  auto made = [&]() -> Result<UniqueFd> {
    TRY(WriteIdMaps(helper.pid, map.uids, map.gids));
    return UserNamespaceOf(helper.pid);
  }();
  pair.ours.reset();
  TRY(kernel::WaitPid(helper.pid));
  return made;
}

}  // namespace

Result<std::optional<MountIdMap>> IdMapOf(const ContainerSpec& spec,
                                          const Mount& mount,
                                          const MountFlags& flags) {
  const bool listed =
      !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
  if (!listed && !flags.id_map) return std::optional<MountIdMap>();
  MountIdMap map = flags.id_map.value_or(MountIdMap());
  if (!flags.bind)
    return Error(EINVAL, "idmapped mounts are for bind mounts alone");
  if (listed) {
    if (!map.uids.empty()) return Error(EINVAL, "its mappings are given twice");
    map.uids = mount.uid_mappings;
    map.gids = mount.gid_mappings;
    if (map.uids.empty() || map.gids.empty())
      return Error(EINVAL, "it must have both uidMappings and gidMappings");
  }
  if (map.uids.empty() && spec.Find(NamespaceType::kUser) == nullptr)
    return Error(EINVAL,
                 "idmap needs uidMappings and gidMappings of the mount, or a "
                 "container with a user namespace");
  return std::optional(std::move(map));
}

Status RequestIdMap(BorrowedFd channel, size_t index, BorrowedFd tree) {
  TRY(Say(channel, Word::kMapMount, std::to_string(index), tree.get()));
  TRY(Expect(channel, Word::kGo));
  return Ok();
}

Status MapMount(const ContainerSpec& spec, pid_t init, const std::string& index,
                BorrowedFd tree) {
  const auto number = ParseId(index);
  if (!number || *number >= spec.mounts.size() || tree.get() < 0)
    return Error(EPROTO);
  const Mount& mount = spec.mounts[*number];
  const auto map_it = [&]() -> Status {
    MountFlags flags = TRY(ParseMountFlags(mount.options));
    flags.bind |= mount.type == "bind";
    const auto map = TRY(IdMapOf(spec, mount, flags));
    if (!map) return Error(EPROTO);
    const Error not_permitted(
        EPERM, "source " + mount.source +
                   " cannot be idmapped: that takes root of the user namespace "
                   "that its file system was mounted in, which of one of the "
                   "host's is root on the host, and a mount that is not "
                   "idmapped already");
    const auto ids =
        map->uids.empty() ? UserNamespaceOf(init) : MakeUserNamespace(*map);
    if (ids.code() == EACCES || ids.code() == EPERM) return not_permitted;
    if (!ids.ok())
      return Error(ids.error()).With("a user namespace with its mappings");
    auto mapped =
        kernel::SetMountAttr({tree}, {.userns = ids->get()}, map->recursive);
    if (mapped.code() == EPERM) return not_permitted;
    if (mapped.code() == EINVAL)
      return Error(
          EINVAL, "source " + mount.source +
                      (map->recursive ? ", or what is mounted below it," : "") +
                      " does not support idmapped mounts on this kernel");
    return mapped;
  };
  return map_it().With("mount " + mount.destination);
}

}  // namespace ufs::runtime
