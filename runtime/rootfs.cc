#include "runtime/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "layerdb/base/mount_info.h"
#include "layerdb/base/selinux.h"
#include "layerdb/base/syscall.h"
#include "runtime/copy_tree.h"
#include "runtime/host_path.h"
#include "runtime/idmapped_mount.h"
#include "runtime/kernel.h"
#include "runtime/namespaces.h"
#include "runtime/rooted_path.h"

namespace ufs::runtime {
namespace {

// What lxcfs and the like may put over files of /proc.
constexpr std::string_view kProcFiles[] = {"/proc/cpuinfo",
                                           "/proc/diskstats",
                                           "/proc/meminfo",
                                           "/proc/stat",
                                           "/proc/swaps",
                                           "/proc/uptime",
                                           "/proc/loadavg",
                                           "/proc/slabinfo",
                                           "/proc/net/dev",
                                           "/proc/sys/kernel/ns_last_pid",
                                           "/proc/sys/crypto/fips_enabled"};

bool IsBelow(std::string_view path, std::string_view directory) {
  return path == directory ||
         (path.starts_with(directory) && path[directory.size()] == '/');
}

// A link at one of these would make us configure something else, believing it
// to be what its name says.
Links LinksFor(std::string_view path) {
  for (std::string_view trusted : {"/proc", "/sys", "/dev"})
    if (IsBelow(path, trusted)) return Links::kRefused;
  return Links::kInRoot;
}

std::string WhichMount(const Mount& mount) {
  return "mounting " + (mount.type.empty() ? "bind" : mount.type) + " at " +
         mount.destination;
}

Status SetOptions(BorrowedFd fs, const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    const size_t equals = option.find('=');
    const auto status =
        equals == option.npos
            ? kernel::FsSetFlag(fs, option.c_str())
            : kernel::FsSetString(fs, option.substr(0, equals).c_str(),
                                  option.c_str() + equals + 1);
    if (!status.ok())
      return Error(status.code(),
                   "mount option \"" + option + "\" is not accepted");
  }
  return Ok();
}

Status ApplyPropagation(BorrowedFd mount, const MountFlags& flags) {
  for (const auto& propagation : flags.propagation)
    TRY(kernel::SetMountAttr({mount}, {.propagation = propagation.type},
                             propagation.recursive));
  return Ok();
}

Status ApplyFlags(BorrowedFd mount, const MountFlags& flags) {
  TRY(kernel::SetMountAttr({mount}, {.set = flags.set, .clear = flags.clear},
                           /*recursive=*/false));
  TRY(kernel::SetMountAttr(
      {mount}, {.set = flags.set_recursive, .clear = flags.clear_recursive},
      /*recursive=*/true));
  return ApplyPropagation(mount, flags);
}

Status SetLabel(BorrowedFd fs, const std::string& label) {
  if (label.empty()) return Ok();
  return kernel::FsSetString(fs, "context", label.c_str())
      .With("linux.mountLabel \"" + label + "\"");
}

// May the mount have the container's label? As runc: the policy has labels of
// its own for procfs, sysfs and cgroups.
bool TakesLabel(std::string_view type, bool in_user_namespace) {
  for (const std::string_view known : {"tmpfs", "ramfs", "devpts", "overlay"})
    if (type == known) return true;
  for (const std::string_view never :
       {"proc", "sysfs", "cgroup", "cgroup2", "mqueue"})
    if (type == never) return false;
  // There the kernel labels but those above.
  return !in_user_namespace;
}

// For a file system that is there with its ipc namespace, so that no option
// counts.
Status LabelRoot(BorrowedFd tree, const std::string& label) {
  if (label.empty()) return Ok();
  const auto set = sys::SetXattr({tree}, kSelinuxXattr, label);
  // The policy does not let files of it have labels; or it belongs to root, who
  // made the user namespace that we are in.
  if (set.ok() || set.code() == EOPNOTSUPP || set.code() == EPERM) return Ok();
  return Error(set.code(), "linux.mountLabel \"" + label + "\"");
}

bool HasOwnLabel(const MountFlags& flags) {
  return std::any_of(
      flags.data.begin(), flags.data.end(),
      [](const std::string& option) { return option.starts_with("context="); });
}

Result<UniqueFd> EmptyDirectory(const std::string& label) {
  const UniqueFd fs = TRY(kernel::FsOpen("tmpfs"));
  TRY(SetLabel(fs, label));
  TRY(kernel::FsSetString(fs, "mode", "555"));
  TRY(kernel::FsSetString(fs, "nr_blocks", "1"));
  TRY(kernel::FsSetString(fs, "nr_inodes", "2"));
  return kernel::FsMount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                 MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

std::string ModeOption(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof(text), "mode=%o", mode & 07777);
  return text;
}

Status SetRootPropagation(uint64_t type, bool recursive) {
  auto set = kernel::SetPropagation("/", type, recursive);
  if (set.code() == EINVAL)
    return Error(EINVAL,
                 "the runtime's root is a directory that is no mount, as of a "
                 "chroot; bind it over itself before");
  return std::move(set).With("the propagation of /");
}

// A device node of the host's: the device is read and written as ever, its
// owner, mode and times stay the host's to change.
Status AttachHostNode(BorrowedFd tree, BorrowedFd target) {
  TRY(kernel::SetMountAttr(
      {tree},
      {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC},
      /*recursive=*/false));
  return kernel::MoveMount(tree, target);
}

// The node the host has under that name must be what it is taken for.
Result<UniqueFd> OpenHostDevice(const std::string& path, const Device& device,
                                int flags = O_NOFOLLOW) {
  auto node = TRY(sys::Open(path.c_str(), O_PATH | flags).With(path));
  const auto stat = TRY(sys::Statx({node}));
  const mode_t type = device.type == 'b' ? S_IFBLK : S_IFCHR;
  if ((stat.stx_mode & S_IFMT) != type || stat.stx_rdev_major != device.major ||
      stat.stx_rdev_minor != device.minor)
    return Error(EINVAL, path + " of the host is not device " + device.type +
                             " " + std::to_string(device.major) + ":" +
                             std::to_string(device.minor));
  return node;
}

std::string NumberedPath(const Device& device) {
  return std::string(device.type == 'b' ? "/dev/block/" : "/dev/char/") +
         std::to_string(device.major) + ":" + std::to_string(device.minor);
}

std::vector<Device> DevicesOf(const ContainerSpec& spec) {
  std::vector<Device> devices = {
      {"/dev/null", 'c', 1, 3},    {"/dev/zero", 'c', 1, 5},
      {"/dev/full", 'c', 1, 7},    {"/dev/random", 'c', 1, 8},
      {"/dev/urandom", 'c', 1, 9}, {"/dev/tty", 'c', 5, 0},
  };
  for (const Device& device : spec.devices) {
    const std::string path = CleanPath(device.path);
    std::erase_if(devices,
                  [&](const Device& other) { return other.path == path; });
    devices.push_back(device);
    devices.back().path = path;
  }
  return devices;
}

}  // namespace

Result<Rootfs> Rootfs::Open(const ContainerSpec& spec,
                            const std::string& bundle, const Cgroup& cgroup,
                            const Helper& helper) {
  Rootfs rootfs(spec);
  rootfs.in_user_namespace_ = !InInitialUserNamespace();
  rootfs.cgroup_mounts_ = cgroup.Mounts();

  MountFlags::Propagation propagation{MS_SLAVE, true};
  if (!spec.rootfs_propagation.empty())
    propagation = TRY(ParsePropagation(spec.rootfs_propagation));
  rootfs.shared_ = propagation.type == MS_SHARED;
  // Nothing we mount may show on the host. What is to stay shared stays so, as
  // it was found, on the copies alone.
  if (!rootfs.shared_) TRY(SetRootPropagation(MS_SLAVE, true));

  rootfs.path_ = AbsolutePath(spec.root_path, bundle);
  const std::string& path = rootfs.path_;
  rootfs.root_ =
      TRY(rootfs.CopyMount(path, /*recursive=*/true, kRootItself, helper)
              .With("root " + path));
  const auto stat = TRY(sys::Statx({rootfs.root_}));
  if (!S_ISDIR(stat.stx_mode)) return Error(ENOTDIR, "root " + path);
  TRY(rootfs.OpenSources(bundle, helper));

  // pivot_root wants a parent that does not propagate.
  if (rootfs.shared_) TRY(SetRootPropagation(MS_PRIVATE, false));
  return rootfs;
}

Result<UniqueFd> Rootfs::CopyMount(const std::string& path, bool recursive,
                                   const std::string& which,
                                   const Helper& helper) {
  const unsigned flags = OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0);
  auto tree =
      kernel::OpenTree({AT_FDCWD, path.c_str()}, flags, /*follow=*/true);
  if (tree.code() != EACCES || !in_user_namespace_) return tree;
  const auto opened = helper.open(which);
  return opened.ok() ? kernel::OpenTree({*opened}, flags) : opened.error();
}

Status Rootfs::OpenSources(const std::string& bundle, const Helper& helper) {
  null_device_ = TRY(OpenHostDevice("/dev/null", {"/dev/null", 'c', 1, 3}));
  for (const ufs::runtime::Mount& mount : spec_.mounts) {
    Prepared prepared{
        &mount,
        TRY(ParseMountFlags(mount.options).With("mount " + mount.destination)),
        {},
        true,
        ""};
    if (mount.type == "bind") prepared.flags.bind = true;
    const auto id_map = TRY(IdMapOf(spec_, mount, prepared.flags)
                                .With("mount " + mount.destination));
    if (prepared.flags.bind) {
      if (!prepared.flags.data.empty())
        return Error(EINVAL, "mount " + mount.destination +
                                 ": a bind mount does not take the option \"" +
                                 prepared.flags.data[0] + "\"");
      const std::string source = AbsolutePath(mount.source, bundle);
      prepared.source_in_root =
          id_map ? "" : OnAMountBefore(source, prepared.flags.bind_recursive);
      if (!prepared.source_in_root.empty()) {
        mounts_.push_back(std::move(prepared));
        continue;
      }
      prepared.source =
          TRY(CopyMount(source, prepared.flags.bind_recursive,
                        std::to_string(mounts_.size()), helper)
                  .With("mount " + mount.destination + ": source " + source));
      const auto stat = TRY(sys::Statx({prepared.source}));
      prepared.source_is_directory = S_ISDIR(stat.stx_mode);
      if (id_map) TRY(helper.map_ids(mounts_.size(), prepared.source));
    } else if (mount.type.empty()) {
      return Error(EINVAL, "mount " + mount.destination + " has no type");
    }
    if (mount.type == "sysfs" && in_user_namespace_) {
      auto sys_tree =
          kernel::OpenTree({AT_FDCWD, "/sys"}, OPEN_TREE_CLONE | AT_RECURSIVE);
      if (sys_tree.ok()) sys_fallback_ = std::move(sys_tree).value();
    }
    mounts_.push_back(std::move(prepared));
  }
  devices_ = DevicesOf(spec_);
  for (const Device& device : devices_) {
    UniqueFd node;
    if (device.type != 'p') {
      auto opened = OpenHostDevice(device.path, device);
      // Under another name than in the container: where udev links it.
      if (!opened.ok())
        opened = OpenHostDevice(NumberedPath(device), device, /*flags=*/0);
      if (opened.ok()) node = std::move(opened).value();
    }
    // Without one the node must be made, which only root can.
    host_devices_.push_back(std::move(node));
  }
  return Ok();
}

Result<UniqueFd> Rootfs::MakeFilesystem(const Prepared& prepared) {
  const ufs::runtime::Mount& mount = *prepared.mount;
  const auto make = [&]() -> Result<UniqueFd> {
    const auto fs = kernel::FsOpen(mount.type.c_str());
    if (fs.code() == ENODEV)
      return Error(ENODEV, "file system \"" + mount.type +
                               "\" is unknown to this kernel");
    // EPERM of sysfs: the network namespace is not ours.
    if (!fs.ok()) return fs.error();
    const std::string& source =
        mount.source.empty() ? mount.type : mount.source;
    TRY(kernel::FsSetString(*fs, "source", source.c_str()));
    if (TakesLabel(mount.type, in_user_namespace_) &&
        !HasOwnLabel(prepared.flags))
      TRY(SetLabel(*fs, spec_.mount_label));
    TRY(SetOptions(*fs, prepared.flags.data));
    UniqueFd tree = TRY(kernel::FsMount(*fs, 0));
    if (mount.type == "mqueue") TRY(LabelRoot(tree, spec_.mount_label));
    return tree;
  };
  auto made = make();
  if (made.code() != EPERM && made.code() != EBUSY) return made;
  if (mount.type == "sysfs" && sys_fallback_.valid()) {
    TRY(kernel::SetMountAttr({sys_fallback_}, {.set = MOUNT_ATTR_RDONLY},
                             /*recursive=*/true));
    return std::move(sys_fallback_);
  }
  std::string hint;
  if (mount.type == "proc")
    hint = spec_.HasNew(NamespaceType::kPid)
               ? "; /proc of the caller must not have anything mounted over "
                 "parts of it (in a container: unmask /proc)"
               : "; it needs a new pid namespace";
  if (mount.type == "mqueue") hint = "; it needs a new ipc namespace";
  if (mount.type == "sysfs") hint = "; it needs a new network namespace";
  return Error(made.code(), "not permitted here" + hint);
}

Status Rootfs::MountCgroups(const Prepared& prepared, BorrowedFd target) {
  // The hierarchies are what they are.
  if (!prepared.flags.data.empty())
    return Error(EINVAL, "mount option \"" + prepared.flags.data[0] +
                             "\" is not accepted");
  const bool own_view = spec_.Find(NamespaceType::kCgroup) != nullptr;
  const auto tree_of = [&](const CgroupMount& cgroup) -> Result<UniqueFd> {
    if (!own_view)
      return kernel::OpenTree({AT_FDCWD, cgroup.directory.c_str()},
                              OPEN_TREE_CLONE);
    const UniqueFd fs = TRY(kernel::FsOpen(cgroup.v2 ? "cgroup2" : "cgroup"));
    for (const std::string& option : cgroup.options) {
      const size_t equals = option.find('=');
      if (equals == option.npos) {
        TRY(kernel::FsSetFlag(fs, option.c_str()));
      } else {
        TRY(kernel::FsSetFlag(fs, "none"));
        TRY(kernel::FsSetString(fs, option.substr(0, equals).c_str(),
                                option.c_str() + equals + 1));
      }
    }
    return kernel::FsMount(fs, 0);
  };
  if (cgroup_mounts_.size() == 1 && cgroup_mounts_[0].v2) {
    const UniqueFd tree = TRY(tree_of(cgroup_mounts_[0]));
    TRY(ApplyFlags(tree, prepared.flags));
    return kernel::MoveMount(tree, target);
  }
  const UniqueFd fs = TRY(kernel::FsOpen("tmpfs"));
  TRY(kernel::FsSetString(fs, "mode", "755"));
  TRY(SetLabel(fs, spec_.mount_label));
  const UniqueFd top = TRY(kernel::FsMount(fs, 0));
  for (const CgroupMount& cgroup : cgroup_mounts_)
    TRY(sys::MkDirAt({top, cgroup.name.c_str()}, 0755));
  TRY(kernel::MoveMount(top, target));
  for (const CgroupMount& cgroup : cgroup_mounts_) {
    const UniqueFd tree =
        TRY(tree_of(cgroup).With("the " + cgroup.name + " hierarchy"));
    TRY(ApplyFlags(tree, prepared.flags));
    const UniqueFd place =
        TRY(sys::OpenAt({top, cgroup.name.c_str()}, O_PATH | O_DIRECTORY));
    TRY(kernel::MoveMount(tree, place));
  }
  return ApplyReadOnlyLast(top, prepared.flags);
}

// For what other mounts may need a place in.
Status Rootfs::ApplyReadOnlyLast(BorrowedFd tree, MountFlags flags) {
  // "rro" is this mount's alone: what lies below has come with others' options.
  const auto has_it = [](uint64_t set) {
    return (set & MOUNT_ATTR_RDONLY) != 0;
  };
  const bool late = has_it(flags.set_recursive) ||
                    (has_it(flags.set) && !has_it(flags.clear_recursive));
  for (uint64_t* set : {&flags.set, &flags.set_recursive})
    *set &= ~uint64_t{MOUNT_ATTR_RDONLY};
  TRY(ApplyFlags(tree, flags));
  if (late) read_only_later_.push_back(TRY(kernel::Duplicate(tree)));
  return Ok();
}

// Where the root has `source` on what an earlier mount will put there, which
// the host does not see; else empty.
std::string Rootfs::OnAMountBefore(const std::string& source,
                                   bool recursive) const {
  const std::string clean = CleanPath(source), root = CleanPath(path_);
  if (root == "/" || !IsBelow(clean, root)) return "";
  const std::string in_root = CleanPath(clean.substr(root.size()));
  for (const Prepared& before : mounts_)
    if (IsBelow(in_root, before.mount->destination) ||
        (recursive && IsBelow(before.mount->destination, in_root)))
      return in_root;
  return "";
}

Status Rootfs::OpenSourceInRoot(Prepared& prepared) {
  const UniqueFd found =
      TRY(OpenInRoot(root_, prepared.source_in_root, O_PATH));
  prepared.source_is_directory = S_ISDIR(TRY(sys::Statx({found})).stx_mode);
  prepared.source = TRY(kernel::OpenTree(
      {found},
      OPEN_TREE_CLONE | (prepared.flags.bind_recursive ? AT_RECURSIVE : 0)));
  return Ok();
}

Status Rootfs::MountOne(Prepared& prepared) {
  const ufs::runtime::Mount& mount = *prepared.mount;
  const std::string& where = mount.destination;
  if (where == "/") return Error(EINVAL, "the root itself is no mount point");
  if (!prepared.source_in_root.empty())
    TRY(OpenSourceInRoot(prepared).With("source " + mount.source));
  const bool directory = !prepared.flags.bind || prepared.source_is_directory;
  bool existed = false;
  if (mount.type == "tmpfs" && !prepared.flags.bind) {
    // The directory's own where there is one; a mode that is asked for comes
    // later, and counts.
    const auto there = OpenInRoot(root_, where, O_PATH, LinksFor(where));
    existed = there.ok();
    if (existed)
      prepared.flags.data.insert(
          prepared.flags.data.begin(),
          ModeOption(TRY(sys::Statx({*there})).stx_mode));
  }
  UniqueFd target = TRY(MakeInRoot(root_, where, directory, LinksFor(where)));

  // Nothing but procfs may stand for /proc: labels and sysctls are set there.
  const bool over_proc =
      IsBelow(where, "/proc") ||
      TRY(kernel::FsTypeOf(target)) == uint64_t{PROC_SUPER_MAGIC};
  if (over_proc) {
    bool allowed = mount.type == "proc" && where == "/proc";
    if (prepared.flags.bind && where == "/proc")
      allowed =
          TRY(kernel::FsTypeOf(prepared.source)) == uint64_t{PROC_SUPER_MAGIC};
    for (std::string_view file : kProcFiles) allowed |= where == file;
    if (!allowed)
      return Error(EPERM, "only proc may be mounted at or below /proc");
  }

  if (mount.type == "cgroup" && !prepared.flags.bind)
    return MountCgroups(prepared, target);
  UniqueFd tree = prepared.flags.bind ? std::move(prepared.source)
                                      : TRY(MakeFilesystem(prepared));
  if (prepared.flags.copy_up) {
    if (mount.type != "tmpfs")
      return Error(EINVAL, "tmpcopyup is for tmpfs alone");
    const mode_t mode = TRY(sys::Statx({tree})).stx_mode & 07777;
    if (existed) TRY(CopyTree(target, tree).With("tmpcopyup"));
    if ((TRY(sys::Statx({tree})).stx_mode & 07777) != mode)
      TRY(sys::ChmodAt({tree}, mode));
  }
  const bool with_others =
      !prepared.flags.bind && (mount.type == "tmpfs" || where == "/dev");
  TRY(with_others ? ApplyReadOnlyLast(tree, prepared.flags)
                  : ApplyFlags(tree, prepared.flags));
  TRY(kernel::MoveMount(tree, target));
  if (!prepared.flags.propagation.empty() && !spec_.rootfs_propagation.empty())
    prepared.source = std::move(tree);
  return Ok();
}

Status Rootfs::Mount(bool at_its_path) {
  UniqueFd place = TRY(sys::Open("/", O_PATH | O_DIRECTORY));
  if (at_its_path && !shared_) {
    auto own = sys::Open(path_.c_str(), O_PATH | O_DIRECTORY);
    if (own.ok()) place = std::move(own).value();
  }
  TRY(kernel::MoveMount(root_, place));
  attached_ = true;
  for (Prepared& prepared : mounts_)
    TRY(MountOne(prepared).With(WhichMount(*prepared.mount)));
  // A /dev that was bound from elsewhere comes with its own.
  for (const Prepared& prepared : mounts_)
    if (prepared.flags.bind && prepared.mount->destination == "/dev")
      return Ok();
  TRY(MakeDevices());
  return MakeLinks();
}

Status Rootfs::MakeDevices() {
  for (const Device& device : devices_)
    TRY(MakeDevice(device).With("device " + device.path));
  return Ok();
}

Status Rootfs::MakeDevice(const Device& device) {
  if (in_user_namespace_ && device.type != 'p') return BindDevice(device);
  const Place place = TRY(PlaceInRoot(root_, device.path, Links::kRefused));
  const mode_t type = device.type == 'b'   ? S_IFBLK
                      : device.type == 'p' ? S_IFIFO
                                           : S_IFCHR;
  const auto made = sys::MkNodAt(place.at(), type | (device.mode & 07777),
                                 makedev(device.major, device.minor));
  if (made.code() == EPERM && device.type != 'p') return BindDevice(device);
  if (made.code() == EEXIST) {
    const auto stat = TRY(sys::Statx(place.at()));
    if ((stat.stx_mode & S_IFMT) != type ||
        stat.stx_rdev_major != device.major ||
        stat.stx_rdev_minor != device.minor)
      return Error(EEXIST, "the root has something else there");
    return Ok();
  }
  TRY(made);
  // By descriptor: the name could be another thing by now.
  const UniqueFd node = TRY(sys::OpenAt(place.at(), O_PATH));
  const auto stat = TRY(sys::Statx({node}));
  if ((stat.stx_mode & S_IFMT) != type) return Error(EEXIST);
  TRY(sys::ChmodAt({node}, device.mode & 07777));
  return sys::ChownAt({node}, device.uid, device.gid);
}

Status Rootfs::BindDevice(const Device& device) {
  for (size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i].path != device.path) continue;
    if (!host_devices_[i].valid())
      return Error(EPERM,
                   "no node can be made here, and the host has none of that "
                   "number under that name or in /dev/char or /dev/block");
    const UniqueFd target =
        TRY(MakeInRoot(root_, device.path,
                       /*directory=*/false, Links::kRefused));
    // No sooner: to close a copy that was not needed takes an RCU grace period.
    const UniqueFd tree =
        TRY(kernel::OpenTree({host_devices_[i]}, OPEN_TREE_CLONE));
    return AttachHostNode(tree, target);
  }
  return Error(ENODEV);
}

Status Rootfs::MakeLinks() {
  constexpr struct {
    const char* path;
    const char* target;
  } kLinks[] = {
      {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
      {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
      {"/dev/ptmx", "pts/ptmx"},
  };
  for (const auto& link : kLinks) {
    const Place place = TRY(PlaceInRoot(root_, link.path, Links::kRefused));
    const auto made = sys::SymlinkAt(link.target, place.at());
    if (!made.ok() && made.code() != EEXIST)
      return Error(made.code(), std::string("link ") + link.path);
  }
  return Ok();
}

Status Rootfs::AttachConsole(BorrowedFd terminal) {
  const UniqueFd tree =
      TRY(kernel::OpenTree({terminal}, OPEN_TREE_CLONE).With("terminal"));
  const UniqueFd target = TRY(MakeInRoot(root_, "/dev/console",
                                         /*directory=*/false, Links::kRefused));
  return kernel::MoveMount(tree, target).With("/dev/console");
}

Status Rootfs::MaskPath(const std::string& path) {
  const auto target = OpenInRoot(root_, path, O_PATH);
  if (target.code() == ENOENT || target.code() == ENOTDIR) return Ok();
  if (!target.ok()) return target.error();
  return Cover(*target);
}

// With nothing: an empty file or directory.
Status Rootfs::Cover(BorrowedFd target) {
  const auto stat = TRY(sys::Statx({target}));
  // Copies of what we hold open ourselves: the container's own /dev/null may
  // be anything.
  if (!S_ISDIR(stat.stx_mode)) {
    const UniqueFd cover =
        TRY(kernel::OpenTree({null_device_}, OPEN_TREE_CLONE));
    return AttachHostNode(cover, target);
  }
  // One for all; it can be copied once it is attached.
  if (!empty_.valid()) {
    empty_ = TRY(EmptyDirectory(spec_.mount_label));
    return kernel::MoveMount(empty_, target);
  }
  const UniqueFd cover = TRY(kernel::OpenTree({empty_}, OPEN_TREE_CLONE));
  return kernel::MoveMount(cover, target);
}

Status Rootfs::ProtectPath(const std::string& path) {
  const auto target = OpenInRoot(root_, path, O_PATH);
  if (target.code() == ENOENT || target.code() == ENOTDIR) return Ok();
  if (!target.ok()) return target.error();
  const UniqueFd tree =
      TRY(kernel::OpenTree({*target}, OPEN_TREE_CLONE | AT_RECURSIVE));
  TRY(kernel::SetMountAttr({tree}, {.set = MOUNT_ATTR_RDONLY},
                           /*recursive=*/true));
  return kernel::MoveMount(tree, *target);
}

Status Rootfs::Seal() {
  for (const std::string& path : spec_.readonly_paths)
    TRY(ProtectPath(path).With("read-only path " + path));
  for (const std::string& path : spec_.masked_paths)
    TRY(MaskPath(path).With("masked path " + path));
  for (const UniqueFd& mount : read_only_later_)
    TRY(kernel::SetMountAttr({mount}, {.set = MOUNT_ATTR_RDONLY},
                             /*recursive=*/false));
  if (spec_.root_readonly)
    TRY(kernel::SetMountAttr({root_}, {.set = MOUNT_ATTR_RDONLY},
                             /*recursive=*/false)
            .With("making the root read-only"));
  return Ok();
}

void Rootfs::Abandon() {
  if (attached_ && kernel::ChangeDirectory(root_).ok())
    (void)kernel::Unmount(".", MNT_DETACH);
}

Status Rootfs::Pivot(BorrowedFd old_root) {
  TRY(kernel::ChangeDirectory(root_));
  auto entered = kernel::PivotRoot(".", ".");
  if (entered.code() == EINVAL)
    return Error(EINVAL,
                 "pivot_root cannot leave the host's root; if that is an "
                 "initramfs, give ufs-oci --no-pivot");
  TRY(std::move(entered).With("pivot_root"));
  // The host's tree now lies on top. Its unmount must not reach the host.
  TRY(kernel::ChangeDirectory(old_root));
  TRY(kernel::SetPropagation(".", MS_SLAVE, true));
  return kernel::Unmount(".", MNT_DETACH).With("detaching the host's tree");
}

// Takes away what is mounted there, one over the other.
Status Rootfs::ClearMountPoint(const std::string& path) {
  while (true) {
    const auto target = sys::Open(path.c_str(), O_PATH | O_NOFOLLOW);
    // What we may not enter, nobody in the container may.
    if (target.code() == ENOENT || target.code() == EACCES) return Ok();
    if (!target.ok()) return target.error();
    const auto stat = TRY(sys::Statx({*target}));
    if ((stat.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return Ok();
    // In a user namespace it may be locked.
    if (!kernel::Unmount(path.c_str(), MNT_DETACH).ok()) return Cover(*target);
  }
}

// Our root lies over the host's already. What is mounted on that goes: a whole
// procfs or sysfs of the host's, above all, would entitle a user namespace to
// one of its own that shows as much.
Status Rootfs::Overlie(BorrowedFd old_root) {
  const auto mounts =
      ParseMountTable(TRY(kernel::ReadFile("/proc/self/mountinfo", 16 << 20)));
  const UniqueFd self = TRY(kernel::PidfdOpen(getpid()));
  const uint64_t host = TRY(sys::Statx({old_root})).stx_mnt_id;
  const uint64_t own = TRY(sys::Statx({root_})).stx_mnt_id;
  TRY(kernel::ChangeDirectory(old_root));
  for (const std::string& point : MountPointsOn(mounts, host, own)) {
    if (point == "/") continue;
    TRY(ClearMountPoint("." + point).With("covering " + point));
  }
  // As whoever joins this namespace does, to the top of what lies over its
  // root: so that an exec is where init is.
  TRY(kernel::SetNs(self, CLONE_NEWNS).With("entering the root"));
  const UniqueFd root = TRY(sys::Open("/", O_PATH | O_DIRECTORY));
  if (TRY(sys::Statx({root})).stx_mnt_id != own)
    return Error(EINVAL,
                 "the runtime's root must be that of its mount namespace, not "
                 "of a chroot");
  return Ok();
}

Status Rootfs::Enter(bool pivot) {
  const UniqueFd old_root = TRY(sys::Open("/", O_PATH | O_DIRECTORY));
  if (pivot) {
    TRY(Pivot(old_root));
  } else {
    TRY(Overlie(old_root).With("--no-pivot"));
  }
  TRY(kernel::ChangeDirectory(root_));
  if (!spec_.rootfs_propagation.empty()) {
    const auto propagation = TRY(ParsePropagation(spec_.rootfs_propagation));
    TRY(kernel::SetMountAttr({root_}, {.propagation = propagation.type},
                             propagation.recursive));
    // What a mount asks for itself is not the root's to change.
    for (const Prepared& prepared : mounts_)
      if (prepared.source.valid())
        TRY(ApplyPropagation(prepared.source, prepared.flags)
                .With(WhichMount(*prepared.mount)));
  }
  return Ok();
}

}  // namespace ufs::runtime
