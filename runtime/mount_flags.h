// The options of one mount of config.json, sorted by what they are for: this
// mount's attributes, propagation, or the file system itself. Pure.
// Threads: any. Source: runtime-spec 1.2, config.md "Linux mount options".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// "idmap", "ridmap": from ids of the file system (container_id) to ids of the
// host. Without maps: those that the mount has, or the container.
struct MountIdMap {
  bool recursive = false;
  std::vector<IdMapping> uids, gids;
};

struct MountFlags {
  bool bind = false;            // "bind" or "rbind"
  bool bind_recursive = false;  // "rbind"
  bool copy_up = false;         // "tmpcopyup"

  // MOUNT_ATTR_ bits for mount_setattr(2): of this mount, and of it with all
  // below it.
  uint64_t set = 0, clear = 0;
  uint64_t set_recursive = 0, clear_recursive = 0;

  struct Propagation {
    uint64_t type;  // MS_PRIVATE, ...
    bool recursive;
  };
  std::vector<Propagation> propagation;

  std::optional<MountIdMap> id_map;

  // "size=64k", "newinstance": for fsconfig(2).
  std::vector<std::string> data;
};

// ENOTSUP for an option of the specification that we do not have. Of crun,
// which podman has its idmap option from, the maps in it are taken:
// "idmap=uids=FS-HOST-SIZE[#...];gids=...".
Result<MountFlags> ParseMountFlags(const std::vector<std::string>& options);

// MS_PRIVATE and so on for "private", "rslave", ...; recursive for those with
// r.
Result<MountFlags::Propagation> ParsePropagation(std::string_view name);

// Every option that ParseMountFlags sorts out itself, for `features`.
std::vector<std::string> KnownMountOptions();

}  // namespace ufs::runtime
