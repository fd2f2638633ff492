#include "runtime/default_config.h"

#include <nlohmann/json.hpp>

#include "runtime/config.h"
#include "runtime/exec.h"

namespace ufs::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json MountOf(const char* destination, const char* type, const char* source,
             std::initializer_list<const char*> options) {
  Json mount = {
      {"destination", destination}, {"type", type}, {"source", source}};
  mount["options"] = Json::array();
  for (const char* option : options) mount["options"].push_back(option);
  return mount;
}

Json Mounts(const IdMaps* rootless) {
  Json mounts = Json::array();
  mounts.push_back(MountOf("/proc", "proc", "proc", {}));
  mounts.push_back(
      MountOf("/dev", "tmpfs", "tmpfs",
              {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  Json pts = MountOf(
      "/dev/pts", "devpts", "devpts",
      {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"});
  // The group tty must exist for the kernel to take it.
  if (rootless == nullptr || IsMapped(rootless->gids, 5))
    pts["options"].push_back("gid=5");
  mounts.push_back(std::move(pts));
  mounts.push_back(
      MountOf("/dev/shm", "tmpfs", "shm",
              {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}));
  mounts.push_back(MountOf("/dev/mqueue", "mqueue", "mqueue",
                           {"nosuid", "noexec", "nodev"}));
  mounts.push_back(
      MountOf("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  mounts.push_back(MountOf("/sys/fs/cgroup", "cgroup", "cgroup",
                           {"nosuid", "noexec", "nodev", "relatime", "ro"}));
  return mounts;
}

Json MapsOf(const std::vector<IdMapping>& maps) {
  Json list = Json::array();
  for (const IdMapping& map : maps)
    list.push_back({{"containerID", map.container_id},
                    {"hostID", map.host_id},
                    {"size", map.size}});
  return list;
}

Json Linux(const IdMaps* rootless) {
  Json linux_part;
  linux_part["resources"]["devices"] =
      Json::array({{{"allow", false}, {"access", "rwm"}}});
  linux_part["namespaces"] = Json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"})
    linux_part["namespaces"].push_back({{"type", type}});
  if (rootless != nullptr) {
    linux_part.erase("resources");
    linux_part["namespaces"].push_back({{"type", "user"}});
    linux_part["uidMappings"] = MapsOf(rootless->uids);
    linux_part["gidMappings"] = MapsOf(rootless->gids);
  }
  linux_part["maskedPaths"] = {"/proc/acpi",          "/proc/asound",
                               "/proc/kcore",         "/proc/keys",
                               "/proc/latency_stats", "/proc/timer_list",
                               "/proc/timer_stats",   "/proc/sched_debug",
                               "/sys/firmware",       "/proc/scsi"};
  linux_part["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq",
                                 "/proc/sys", "/proc/sysrq-trigger"};
  return linux_part;
}

Json ProcessDefaults() {
  const Json capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL",
                             "CAP_NET_BIND_SERVICE"};
  Json process;
  process["terminal"] = true;
  process["user"] = {{"uid", 0}, {"gid", 0}};
  process["args"] = {"sh"};
  process["env"] = {std::string("PATH=") + kDefaultPath, "TERM=xterm"};
  process["cwd"] = "/";
  for (const char* set : {"bounding", "effective", "permitted"})
    process["capabilities"][set] = capabilities;
  process["rlimits"] = Json::array(
      {{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}});
  process["noNewPrivileges"] = true;
  return process;
}

}  // namespace

nlohmann::ordered_json DefaultConfig(const IdMaps* rootless) {
  Json config;
  config["ociVersion"] = kOciVersion;
  config["process"] = ProcessDefaults();
  config["root"] = {{"path", "rootfs"}, {"readonly", true}};
  config["hostname"] = "ufs";
  config["mounts"] = Mounts(rootless);
  config["linux"] = Linux(rootless);
  return config;
}

}  // namespace ufs::runtime
