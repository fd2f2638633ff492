// Which cgroup hierarchies this machine has, and where this process is in each:
// v1 (one per controller), v2 (one for all), or hybrid (some controllers on
// v1, the rest on a v2 mount beside them). Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "layerdb/base/result.h"

namespace ufs::runtime {

struct CgroupHierarchy {
  std::string mountpoint;
  bool v2 = false;
  // "memory"; "cpu" and "cpuacct" where they share one; "name=systemd". For v2
  // what cgroup.controllers says at the mount.
  std::vector<std::string> controllers;
  // Where this process is, as a path below the mount point: "/" or "/a/b".
  std::string own = "/";

  bool Has(std::string_view controller) const;
};

using CgroupLayout = std::vector<CgroupHierarchy>;

// From the text of /proc/self/mountinfo and /proc/self/cgroup; leaves the
// controllers of v2 empty. A hierarchy that is mounted twice counts once.
CgroupLayout ParseCgroupLayout(std::string_view mountinfo,
                               std::string_view cgroup);

// As this process sees it; `own` is where the process of that /proc entry is.
Result<CgroupLayout> ReadCgroupLayout(const std::string& process = "self");

}  // namespace ufs::runtime
