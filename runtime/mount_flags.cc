#include "runtime/mount_flags.h"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>

#include "runtime/names.h"

namespace ufs::runtime {
namespace {

struct Attribute {
  std::string_view name;
  uint64_t set;
  uint64_t clear;
};

// The access time modes share a field, which is cleared before one is set.
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

struct NamedPropagation {
  std::string_view name;
  uint64_t type;
};
constexpr NamedPropagation kPropagations[] = {
    {"private", MS_PRIVATE},
    {"slave", MS_SLAVE},
    {"shared", MS_SHARED},
    {"unbindable", MS_UNBINDABLE},
};

constexpr std::string_view kUnsupported[] = {"remount"};
// Say nothing, or what is the default, or what Linux has of its own accord:
// "mand" is of no effect since 5.15, versions are counted where they can be.
constexpr std::string_view kIgnored[] = {"defaults",   "async",  "nomand",
                                         "loud",       "silent", "nolazytime",
                                         "noiversion", "mand",   "iversion"};

template <size_t N>
bool Contains(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

const Attribute* FindAttribute(std::string_view name) {
  for (const Attribute& attribute : kAttributes)
    if (attribute.name == name) return &attribute;
  return nullptr;
}

// "0-1000-1"
Result<IdMapping> ParseMapping(std::string_view text) {
  const size_t first = text.find('-');
  const size_t second = text.find('-', first + 1);
  if (first != text.npos && second != text.npos) {
    const auto from = ParseId(text.substr(0, first));
    const auto to = ParseId(text.substr(first + 1, second - first - 1));
    const auto size = ParseId(text.substr(second + 1));
    if (from && to && size && *size > 0 &&
        uint64_t{*from} + *size <= UINT32_MAX &&
        uint64_t{*to} + *size <= UINT32_MAX)
      return IdMapping{*from, *to, *size};
  }
  return Error(EINVAL,
               text.starts_with('@')
                   ? "maps with '@', relative to the user namespace, are not "
                     "supported; give ids of the host"
                   : '"' + std::string(text) + "\" is not FS-HOST-SIZE");
}

// "uids=0-1000-1#1-100000-65536;gids=0-1000-1"
Status ParseIdMaps(std::string_view text, MountIdMap& map) {
  const Error shape(EINVAL,
                    "maps are given as uids=...;gids=..., both of them");
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const bool uids = part.starts_with("uids=");
    if (!uids && !part.starts_with("gids=")) return shape;
    for (std::string_view rest = part.substr(5); !rest.empty();) {
      const size_t next = rest.find('#');
      (uids ? map.uids : map.gids)
          .push_back(TRY(ParseMapping(rest.substr(0, next))));
      rest.remove_prefix(next == rest.npos ? rest.size() : next + 1);
    }
  }
  if (map.uids.empty() || map.gids.empty()) return shape;
  return Ok();
}

// "idmap", "ridmap=uids=..."; false for another option.
Result<bool> ParseIdMapOption(std::string_view option, MountFlags& flags) {
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  if (name != "idmap" && name != "ridmap") return false;
  MountIdMap map;
  map.recursive = name == "ridmap";
  if (equals != option.npos)
    TRY(ParseIdMaps(option.substr(equals + 1), map)
            .With("mount option \"" + std::string(name) + "\""));
  flags.id_map = std::move(map);
  return true;
}

void Apply(const Attribute& attribute, uint64_t& set, uint64_t& clear) {
  // The last word on a bit wins.
  set = (set & ~attribute.clear) | attribute.set;
  clear = (clear & ~attribute.set) | attribute.clear;
}

}  // namespace

Result<MountFlags::Propagation> ParsePropagation(std::string_view name) {
  for (const NamedPropagation& known : kPropagations) {
    if (name == known.name)
      return MountFlags::Propagation{known.type, /*recursive=*/false};
    if (name.size() == known.name.size() + 1 && name[0] == 'r' &&
        name.substr(1) == known.name)
      return MountFlags::Propagation{known.type, /*recursive=*/true};
  }
  return Error(EINVAL, std::string(name) + " is no propagation");
}

Result<MountFlags> ParseMountFlags(const std::vector<std::string>& options) {
  MountFlags flags;
  for (const std::string& option : options) {
    if (option.empty() || Contains(kIgnored, option)) continue;
    if (Contains(kUnsupported, option))
      return Error(ENOTSUP, "mount option \"" + option + "\" is not supported");
    if (TRY(ParseIdMapOption(option, flags))) continue;
    if (option == "bind" || option == "rbind") {
      flags.bind = true;
      flags.bind_recursive |= option == "rbind";
    } else if (option == "tmpcopyup") {
      flags.copy_up = true;
    } else if (const Attribute* attribute = FindAttribute(option)) {
      Apply(*attribute, flags.set, flags.clear);
    } else if (const Attribute* below =
                   option[0] == 'r'
                       ? FindAttribute(std::string_view(option).substr(1))
                       : nullptr) {
      Apply(*below, flags.set_recursive, flags.clear_recursive);
    } else if (auto propagation = ParsePropagation(option); propagation.ok()) {
      flags.propagation.push_back(*propagation);
    } else {
      flags.data.push_back(option);
    }
  }
  return flags;
}

std::vector<std::string> KnownMountOptions() {
  std::vector<std::string> names = {"bind",    "rbind",    "tmpcopyup",
                                    "idmap",   "ridmap",   "sync",
                                    "dirsync", "lazytime", "defaults"};
  for (const Attribute& attribute : kAttributes) {
    names.emplace_back(attribute.name);
    names.push_back('r' + std::string(attribute.name));
  }
  for (const NamedPropagation& propagation : kPropagations) {
    names.emplace_back(propagation.name);
    names.push_back('r' + std::string(propagation.name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ufs::runtime
