// What is mounted where, as this process or another sees it:
// /proc/PID/mountinfo.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ufs {

struct MountInfo {
  uint64_t id = 0;
  uint64_t parent = 0;  // the mount it is attached to
  dev_t device = 0;
  std::string root;  // the directory of the file system that is mounted
  std::string mountpoint;
  std::string type;           // "ext4", "fuse.ufs"
  std::string source;         // the first column of /proc/mounts
  std::string super_options;  // of the file system; of cgroup v1, controllers
};

// One line, see proc(5). Nullopt when it is not one.
std::optional<MountInfo> ParseMountInfo(std::string_view line);

// The lines of a whole table; what is none is left out.
std::vector<MountInfo> ParseMountTable(std::string_view table);

// Where mounts are attached to mount number `parent`, but for number `except`;
// the last one first.
std::vector<std::string> MountPointsOn(const std::vector<MountInfo>& mounts,
                                       uint64_t parent, uint64_t except);

// All mounts, a later one on top of an earlier one. Empty without /proc.
// Mounts outside of a chroot are not listed. `process` 0 is this one; empty for
// one that is not there or not ours to look at.
std::vector<MountInfo> ReadMountInfo(pid_t process = 0);

// The topmost mount whose mount point is exactly `mountpoint`.
std::optional<MountInfo> FindMountAt(const std::string& mountpoint);

}  // namespace ufs
