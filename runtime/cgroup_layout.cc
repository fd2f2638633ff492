#include "runtime/cgroup_layout.h"

#include <fcntl.h>

#include <algorithm>
#include <map>

#include "layerdb/base/mount_info.h"
#include "runtime/kernel.h"

namespace ufs::runtime {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    if (end != 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return parts;
}

// What /proc/self/cgroup says, by the list of controllers as it is written
// there ("" for v2).
std::map<std::string, std::string> OwnPaths(std::string_view cgroup) {
  std::map<std::string, std::string> paths;
  for (std::string_view line : Split(cgroup, '\n')) {
    const size_t first = line.find(':');
    if (first == line.npos) continue;
    const size_t second = line.find(':', first + 1);
    if (second == line.npos) continue;
    paths[std::string(line.substr(first + 1, second - first - 1))] =
        line.substr(second + 1);
  }
  return paths;
}

// `path` as seen below a mount whose root is `root`.
std::string Below(const std::string& root, const std::string& path) {
  if (root == "/") return path;
  if (path == root) return "/";
  if (path.starts_with(root + "/")) return path.substr(root.size());
  return "/";  // another part of the hierarchy than ours is mounted
}

// The controllers among the superblock's options, by the names of
// /proc/self/cgroup; the key of that list.
const std::string* FindOwn(const std::map<std::string, std::string>& own,
                           std::string_view super_options, bool v2,
                           std::vector<std::string>& controllers) {
  if (v2) {
    const auto found = own.find("");
    return found == own.end() ? nullptr : &found->second;
  }
  const auto options = Split(super_options, ',');
  for (const auto& [list, path] : own) {
    const auto names = Split(list, ',');
    if (names.empty()) continue;
    const bool all =
        std::all_of(names.begin(), names.end(), [&](std::string_view name) {
          return std::find(options.begin(), options.end(), name) !=
                 options.end();
        });
    if (!all) continue;
    controllers.assign(names.begin(), names.end());
    return &path;
  }
  return nullptr;
}

}  // namespace

bool CgroupHierarchy::Has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) !=
         controllers.end();
}

CgroupLayout ParseCgroupLayout(std::string_view mountinfo,
                               std::string_view cgroup) {
  const auto own = OwnPaths(cgroup);
  CgroupLayout layout;
  for (const MountInfo& mount : ParseMountTable(mountinfo)) {
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    CgroupHierarchy hierarchy;
    hierarchy.v2 = mount.type == "cgroup2";
    hierarchy.mountpoint = mount.mountpoint;
    const std::string* const path =
        FindOwn(own, mount.super_options, hierarchy.v2, hierarchy.controllers);
    if (path == nullptr) continue;
    hierarchy.own = Below(mount.root, *path);
    const bool twice = std::any_of(
        layout.begin(), layout.end(), [&](const CgroupHierarchy& other) {
          return other.v2 == hierarchy.v2 &&
                 other.controllers == hierarchy.controllers;
        });
    if (!twice) layout.push_back(std::move(hierarchy));
  }
  return layout;
}

Result<CgroupLayout> ReadCgroupLayout(const std::string& process) {
  const std::string mountinfo =
      TRY(kernel::ReadFile("/proc/self/mountinfo", 16 << 20));
  const std::string cgroup =
      TRY(kernel::ReadFile("/proc/" + process + "/cgroup"));
  CgroupLayout layout = ParseCgroupLayout(mountinfo, cgroup);
  for (CgroupHierarchy& hierarchy : layout) {
    if (!hierarchy.v2) continue;
    const std::string file = hierarchy.mountpoint + "/cgroup.controllers";
    const auto text = kernel::ReadFile(file);
    if (!text.ok()) continue;
    std::string_view line = *text;
    while (line.ends_with('\n')) line.remove_suffix(1);
    for (std::string_view name : Split(line, ' '))
      hierarchy.controllers.emplace_back(name);
  }
  return layout;
}

}  // namespace ufs::runtime
