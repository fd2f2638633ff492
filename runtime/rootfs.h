// Rootfs: the tree that a container sees, put together in the new mount
// namespace by the process that will be its init.
//
//   Rootfs rootfs = TRY(Rootfs::Open(spec, bundle, cgroups));  // caller's ids
//   ...become root of the user namespace...
//   TRY(rootfs.Mount(false));   // attach, mounts, devices, masks
//   TRY(rootfs.Enter());   // pivot_root, detach the host's tree
//
// Every mount is made detached, given its attributes, and then attached to a
// descriptor that was resolved inside the root; no path of the root is ever
// handed to the kernel as text to be followed outside. Threads: one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "layerdb/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/mount_flags.h"
#include "runtime/spec.h"

namespace ufs::runtime {

class Rootfs {
 public:
  // What the runtime does for us, by its rights on the host.
  struct Helper {
    // Has the detached source of mount number `index` idmapped.
    std::function<Status(size_t index, BorrowedFd tree)> map_ids;
    // What is not open to us: `which` is as of RequestHostPath.
    std::function<Result<UniqueFd>(const std::string& which)> open;
  };

  // Opens the root, the sources of bind mounts and the host's device nodes,
  // with the rights the caller has now, or those of the runtime. REQUIRES: a
  // mount namespace of our own, or one that the container is to take over.
  static Result<Rootfs> Open(const ContainerSpec& spec,
                             const std::string& bundle, const Cgroup& cgroup,
                             const Helper& helper);

  // Over the host's root; `at_its_path`: over the root's own directory, where
  // hooks look for it and mount more, unless that propagates or may not be
  // entered. REQUIRES: the ids of the container's root.
  Status Mount(bool at_its_path);

  // Binds the terminal to /dev/console.
  Status AttachConsole(BorrowedFd terminal);

  // What must come last: makes the root read-only if asked, masks paths.
  Status Seal();

  // Makes the root this process's root and working directory; the host's tree
  // is gone. Without `pivot`, for a root that pivot_root cannot leave, as an
  // initramfs: what is mounted on the host's root is gone, its own file system
  // lies below ours, out of reach of all but who may unmount.
  Status Enter(bool pivot);

  // Instead of Enter, in a namespace that others are in: takes what was mounted
  // away again, as far as it can.
  void Abandon();

  BorrowedFd root() const { return root_; }

 private:
  struct Prepared {  // one mount of the specification
    const ufs::runtime::Mount* mount;
    MountFlags flags;
    UniqueFd source;  // of a bind: a detached copy
    bool source_is_directory = true;
    std::string source_in_root;  // where it is still to be opened
  };

  explicit Rootfs(const ContainerSpec& spec) : spec_(spec) {}

  Status OpenSources(const std::string& bundle, const Helper& helper);
  // A detached copy of the mount at `path`.
  Result<UniqueFd> CopyMount(const std::string& path, bool recursive,
                             const std::string& which, const Helper& helper);
  std::string OnAMountBefore(const std::string& source, bool recursive) const;
  Status OpenSourceInRoot(Prepared& prepared);
  Status MountOne(Prepared& prepared);
  Result<UniqueFd> MakeFilesystem(const Prepared& prepared);
  Status ApplyReadOnlyLast(BorrowedFd tree, MountFlags flags);
  Status MountCgroups(const Prepared& prepared, BorrowedFd target);
  Status MakeDevices();
  Status MakeDevice(const Device& device);
  Status BindDevice(const Device& device);
  Status MakeLinks();
  Status Pivot(BorrowedFd old_root);
  Status Overlie(BorrowedFd old_root);
  Status ClearMountPoint(const std::string& path);
  Status Cover(BorrowedFd target);
  Status MaskPath(const std::string& path);
  Status ProtectPath(const std::string& path);

  const ContainerSpec& spec_;
  bool in_user_namespace_ = false;
  std::string path_;  // of the root, on the host
  bool shared_ = false;
  UniqueFd root_;
  bool attached_ = false;  // the root, over the host's
  UniqueFd null_device_;   // the host's /dev/null
  UniqueFd empty_;         // an empty read-only directory, detached
  std::vector<UniqueFd> read_only_later_;
  UniqueFd sys_fallback_;  // the host's /sys, where sysfs cannot be mounted
  std::vector<Prepared> mounts_;
  std::vector<UniqueFd> host_devices_;  // beside devices_, for BindDevice
  std::vector<Device> devices_;
  std::vector<CgroupMount> cgroup_mounts_;
};

}  // namespace ufs::runtime
