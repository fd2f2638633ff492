#include "runtime/mount_flags.h"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>

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

constexpr std::string_view kUnsupported[] = {"remount", "idmap", "ridmap",
                                             "mand"};
// Say nothing, or what is the default.
constexpr std::string_view kIgnored[] = {"defaults",  "async",  "nomand",
                                         "loud",      "silent", "nolazytime",
                                         "noiversion"};

template <size_t N>
bool Contains(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

const Attribute* FindAttribute(std::string_view name) {
  for (const Attribute& attribute : kAttributes)
    if (attribute.name == name) return &attribute;
  return nullptr;
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
    if (option == "bind" || option == "rbind") {
      flags.bind = true;
      flags.bind_recursive = option == "rbind";
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
  std::vector<std::string> names = {"bind",    "rbind",    "tmpcopyup", "sync",
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
