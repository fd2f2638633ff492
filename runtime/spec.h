// ContainerSpec: everything the engine needs to know to start a container, as
// plain data. Made from the text of a config.json (config.h). The names are
// those of the OCI runtime specification 1.2,
// https://github.com/opencontainers/runtime-spec/tree/v1.2.0
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ufs::runtime {

enum class NamespaceType {
  kUser,
  kMount,
  kPid,
  kNetwork,
  kUts,
  kIpc,
  kCgroup,
  kTime,
};

struct Namespace {
  NamespaceType type;
  std::string path;  // empty: a new one; else the one to join
};

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct Mount {
  std::string destination;  // absolute, in the container
  std::string type;
  std::string source;
  std::vector<std::string> options;
  // Of its files: from ids of the file system to ids of the host.
  std::vector<IdMapping> uid_mappings = {}, gid_mappings = {};
};

struct Device {
  std::string path;
  char type = 'c';  // 'c' (or 'u'), 'b', 'p'
  uint32_t major = 0;
  uint32_t minor = 0;
  mode_t mode = 0666;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';
  std::optional<uint32_t> major;  // nullopt: all
  std::optional<uint32_t> minor;
  std::string access;  // letters of "rwm"

  // Read, write and mknod, in whatever order and however often.
  bool AllAccess() const {
    for (char c : {'r', 'w', 'm'})
      if (access.find(c) == access.npos) return false;
    return true;
  }
  // Every device, every access: the rules before it count no more.
  bool Everything() const {
    return type == 'a' && !major && !minor && AllAccess();
  }
};

struct Rlimit {
  int resource = 0;
  rlim_t soft = 0;
  rlim_t hard = 0;
};

// Sets of capabilities as bit masks: bit N is capability number N.
struct Capabilities {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t ambient = 0;
  std::vector<std::string> unknown;  // asked for, and not to be had
};

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::optional<mode_t> umask;
  std::vector<gid_t> additional_gids;
  bool keep_groups = false;  // the caller's, instead of these
};

struct ConsoleSize {
  uint16_t height = 0;
  uint16_t width = 0;
};

struct IoPriority {
  int io_class = 0;  // IOPRIO_CLASS_*
  int priority = 0;
};

struct Scheduler {
  uint32_t policy = 0;  // SCHED_*
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t flags = 0;  // SCHED_FLAG_*
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// A mask of processors, as sched_setaffinity(2) takes it; empty: none is asked
// for.
using Processors = std::vector<unsigned long>;

// Where a process that is executed runs: before it is in the container's
// cgroup, and from then on.
struct ExecAffinity {
  Processors initial;
  Processors final;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  // Nullopt: all that the runtime has.
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;  // empty: what the runtime has
  std::string selinux_label;
  std::optional<int> oom_score_adj;
  std::optional<IoPriority> io_priority;
  std::optional<Scheduler> scheduler;
  std::optional<ExecAffinity> exec_affinity;  // not init's
};

// A value for one block device.
struct DeviceValue {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t value = 0;
};

// Limits; what is not set is left as the kernel has it.
struct Resources {
  std::vector<DeviceRule> devices;
  // Memory; -1: no limit, 0: as not set. `memory_swap` is memory plus swap, as
  // cgroup v1 counts.
  std::optional<int64_t> memory_limit_bytes;
  std::optional<int64_t> memory_reservation_bytes;  // soft limit
  std::optional<int64_t> memory_swap_bytes;
  bool swap_if_counted = false;  // and if it is not, that is no error
  std::optional<int64_t> kernel_tcp_bytes;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  bool check_before_update = false;

  std::optional<uint64_t> cpu_shares;
  std::optional<int64_t> cpu_quota_us;  // -1: none
  std::optional<uint64_t> cpu_period_us;
  std::optional<uint64_t> cpu_burst_us;
  std::optional<int64_t> cpu_rt_runtime_us;
  std::optional<uint64_t> cpu_rt_period_us;
  std::optional<int64_t> cpu_idle;
  std::string cpuset_cpus;
  std::string cpuset_mems;

  std::optional<int64_t> pids_limit;  // -1 or 0: none

  std::optional<uint16_t> blkio_weight;
  std::optional<uint16_t> blkio_leaf_weight;
  std::vector<DeviceValue> blkio_weight_device;
  std::vector<DeviceValue> blkio_leaf_weight_device;
  std::vector<DeviceValue> throttle_read_bps;
  std::vector<DeviceValue> throttle_write_bps;
  std::vector<DeviceValue> throttle_read_iops;
  std::vector<DeviceValue> throttle_write_iops;

  std::map<std::string, uint64_t> hugepage_limits;  // "2MB" -> bytes
  std::optional<uint32_t> net_class_id;
  std::map<std::string, uint32_t> net_priorities;  // interface -> priority
  struct Rdma {
    std::optional<uint32_t> handles, objects;
  };
  std::map<std::string, Rdma> rdma;
  std::map<std::string, std::string> unified;  // cgroup v2 file -> value
};

struct SeccompArg {
  unsigned index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;
  std::optional<unsigned> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<unsigned> default_errno_ret;
  std::vector<std::string> architectures;
  std::vector<std::string> flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompRule> rules;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<int> timeout_s;
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct ContainerSpec {
  std::string oci_version;
  std::string root_path;  // as given: absolute, or below the bundle
  bool root_readonly = false;
  Process process;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string mount_label;         // of SELinux, for the file systems we make
  std::string rootfs_propagation;  // "", private, slave, shared, unbindable
  std::optional<Seccomp> seccomp;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::optional<unsigned long> personality;
  struct TimeOffset {
    int64_t secs = 0;
    uint32_t nanosecs = 0;
  };
  std::map<std::string, TimeOffset> time_offsets;  // "monotonic", "boottime"

  // The namespace of that type; null when the runtime's own is kept.
  const Namespace* Find(NamespaceType type) const {
    for (const Namespace& ns : namespaces)
      if (ns.type == type) return &ns;
    return nullptr;
  }
  bool HasNew(NamespaceType type) const {
    const Namespace* const ns = Find(type);
    return ns != nullptr && ns->path.empty();
  }
};

}  // namespace ufs::runtime
