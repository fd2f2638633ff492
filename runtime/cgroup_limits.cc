#include "runtime/cgroup_limits.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace ufs::runtime {
namespace {

using Writes = std::vector<CgroupWrite>;

// A limit where -1 stands for none.
std::string OrMax(int64_t value) {
  return value < 0 ? "max" : std::to_string(value);
}

// 0 is what was not asked for, as with runc: it would leave no memory at all.
std::optional<int64_t> Set(const std::optional<int64_t>& value) {
  return value.value_or(0) == 0 ? std::nullopt : value;
}

std::string DeviceNumber(const DeviceValue& device) {
  return std::to_string(device.major) + ":" + std::to_string(device.minor);
}

template <typename Number>
void Add(Writes& writes, const std::optional<Number>& value, const char* file,
         const char* asked, const char* other = "") {
  if (!value) return;
  const std::string text = std::to_string(*value);
  writes.push_back({file, text, asked, other, text});
}

void AddText(Writes& writes, const std::string& value, const char* file,
             const char* asked) {
  if (!value.empty()) writes.push_back({file, value, asked});
}

Error NotOnV2(const char* field) {
  return Error(ENOTSUP, std::string("linux.resources.") + field +
                            " has no counterpart in cgroup v2; remove it");
}

// --- v1 ------------------------------------------------------------------

Writes MemoryV1(const Resources& r) {
  Writes writes;
  Add(writes, Set(r.memory_limit_bytes), "memory.limit_in_bytes",
      "memory.limit");
  Add(writes, Set(r.memory_swap_bytes), "memory.memsw.limit_in_bytes",
      "memory.swap");
  if (Set(r.memory_swap_bytes)) {
    writes.back().if_there = r.swap_if_counted;
  } else if (r.memory_limit_bytes == -1) {
    // What has no limit has none with swap.
    Add(writes, r.memory_limit_bytes, "memory.memsw.limit_in_bytes",
        "memory.limit");
    writes.back().if_there = true;
  }
  Add(writes, Set(r.memory_reservation_bytes), "memory.soft_limit_in_bytes",
      "memory.reservation");
  Add(writes, Set(r.kernel_tcp_bytes), "memory.kmem.tcp.limit_in_bytes",
      "memory.kernelTCP");
  Add(writes, r.swappiness, "memory.swappiness", "memory.swappiness");
  if (r.disable_oom_killer)
    writes.push_back({"memory.oom_control", *r.disable_oom_killer ? "1" : "0",
                      "memory.disableOOMKiller"});
  return writes;
}

Writes CpuV1(const Resources& r) {
  Writes writes;
  if (r.cpu_shares && *r.cpu_shares != 0)
    Add(writes, r.cpu_shares, "cpu.shares", "cpu.shares");
  if (r.cpu_period_us && *r.cpu_period_us != 0)
    Add(writes, r.cpu_period_us, "cpu.cfs_period_us", "cpu.period");
  if (r.cpu_quota_us && *r.cpu_quota_us != 0)
    Add(writes, r.cpu_quota_us, "cpu.cfs_quota_us", "cpu.quota");
  Add(writes, r.cpu_burst_us, "cpu.cfs_burst_us", "cpu.burst");
  if (r.cpu_rt_period_us && *r.cpu_rt_period_us != 0)
    Add(writes, r.cpu_rt_period_us, "cpu.rt_period_us", "cpu.realtimePeriod");
  if (r.cpu_rt_runtime_us && *r.cpu_rt_runtime_us != 0)
    Add(writes, r.cpu_rt_runtime_us, "cpu.rt_runtime_us",
        "cpu.realtimeRuntime");
  Add(writes, r.cpu_idle, "cpu.idle", "cpu.idle");
  return writes;
}

void AddPerDevice(Writes& writes, const std::vector<DeviceValue>& values,
                  const char* file, const char* asked, const char* other = "") {
  for (const DeviceValue& device : values) {
    const std::string value =
        DeviceNumber(device) + " " + std::to_string(device.value);
    writes.push_back({file, value, asked, other, value});
  }
}

Writes BlkioV1(const Resources& r) {
  Writes writes;
  // blkio.weight was CFQ's, which Linux 5.0 has dropped.
  if (r.blkio_weight && *r.blkio_weight != 0)
    Add(writes, r.blkio_weight, "blkio.weight", "blockIO.weight",
        "blkio.bfq.weight");
  if (r.blkio_leaf_weight && *r.blkio_leaf_weight != 0)
    Add(writes, r.blkio_leaf_weight, "blkio.leaf_weight", "blockIO.leafWeight");
  AddPerDevice(writes, r.blkio_weight_device, "blkio.weight_device",
               "blockIO.weightDevice", "blkio.bfq.weight_device");
  AddPerDevice(writes, r.blkio_leaf_weight_device, "blkio.leaf_weight_device",
               "blockIO.weightDevice");
  AddPerDevice(writes, r.throttle_read_bps, "blkio.throttle.read_bps_device",
               "blockIO.throttleReadBpsDevice");
  AddPerDevice(writes, r.throttle_write_bps, "blkio.throttle.write_bps_device",
               "blockIO.throttleWriteBpsDevice");
  AddPerDevice(writes, r.throttle_read_iops, "blkio.throttle.read_iops_device",
               "blockIO.throttleReadIOPSDevice");
  AddPerDevice(writes, r.throttle_write_iops,
               "blkio.throttle.write_iops_device",
               "blockIO.throttleWriteIOPSDevice");
  return writes;
}

Writes NetPriorities(const Resources& r) {
  Writes writes;
  for (const auto& [name, priority] : r.net_priorities)
    writes.push_back({"net_prio.ifpriomap",
                      name + " " + std::to_string(priority),
                      "network.priorities"});
  return writes;
}

// --- v2 ------------------------------------------------------------------

// config.json counts memory and swap together, v2 swap alone.
Result<std::string> SwapV2(const Resources& r) {
  const int64_t both = *r.memory_swap_bytes;
  if (both < 0) return std::string("max");
  if (r.memory_limit_bytes.value_or(0) <= 0)
    return Error(EINVAL,
                 "linux.resources.memory.swap needs memory.limit: it is the "
                 "sum of memory and swap");
  if (both < *r.memory_limit_bytes)
    return Error(EINVAL,
                 "linux.resources.memory.swap is less than memory.limit");
  return std::to_string(both - *r.memory_limit_bytes);
}

Result<Writes> MemoryV2(const Resources& r) {
  if (Set(r.kernel_tcp_bytes)) return NotOnV2("memory.kernelTCP");
  if (r.swappiness) return NotOnV2("memory.swappiness");
  if (r.disable_oom_killer && *r.disable_oom_killer)
    return NotOnV2("memory.disableOOMKiller");
  Writes writes;
  if (Set(r.memory_swap_bytes)) {
    writes.push_back({"memory.swap.max", TRY(SwapV2(r)), "memory.swap"});
    writes.back().if_there = r.swap_if_counted;
  }
  if (Set(r.memory_limit_bytes))
    writes.push_back(
        {"memory.max", OrMax(*r.memory_limit_bytes), "memory.limit"});
  if (Set(r.memory_reservation_bytes))
    writes.push_back({"memory.low", OrMax(*r.memory_reservation_bytes),
                      "memory.reservation"});
  return writes;
}

Result<Writes> CpuV2(const Resources& r) {
  if (r.cpu_rt_runtime_us && *r.cpu_rt_runtime_us != 0)
    return NotOnV2("cpu.realtimeRuntime");
  if (r.cpu_rt_period_us && *r.cpu_rt_period_us != 0)
    return NotOnV2("cpu.realtimePeriod");
  Writes writes;
  Add(writes, r.cpu_idle, "cpu.idle", "cpu.idle");
  // An idle group has no weight.
  if (r.cpu_shares && *r.cpu_shares != 0 && r.cpu_idle.value_or(0) == 0)
    writes.push_back({"cpu.weight", std::to_string(CpuWeightOf(*r.cpu_shares)),
                      "cpu.shares"});
  if (r.cpu_quota_us.value_or(0) != 0 || r.cpu_period_us.value_or(0) != 0) {
    const int64_t quota = r.cpu_quota_us.value_or(0);
    std::string value = quota > 0 ? std::to_string(quota) : "max";
    value +=
        " " + std::to_string(r.cpu_period_us.value_or(0) != 0 ? *r.cpu_period_us
                                                              : 100'000);
    writes.push_back({"cpu.max", value, "cpu.quota"});
  }
  Add(writes, r.cpu_burst_us, "cpu.max.burst", "cpu.burst");
  return writes;
}

void AddIoMax(Writes& writes, const std::vector<DeviceValue>& values,
              const char* key, const char* asked) {
  for (const DeviceValue& device : values)
    writes.push_back(
        {"io.max",
         DeviceNumber(device) + " " + key + "=" +
             (device.value == 0 ? "max" : std::to_string(device.value)),
         asked});
}

Result<Writes> IoV2(const Resources& r) {
  if (r.blkio_leaf_weight.value_or(0) != 0)
    return NotOnV2("blockIO.leafWeight");
  if (!r.blkio_leaf_weight_device.empty())
    return NotOnV2("blockIO.weightDevice.leafWeight");
  Writes writes;
  if (r.blkio_weight.value_or(0) != 0)
    // Before io.weight, as runc: that is of no effect unless somebody has set
    // up its cost model. BFQ counts as blkio did.
    writes.push_back(
        {"io.bfq.weight", std::to_string(*r.blkio_weight), "blockIO.weight",
         "io.weight",
         "default " + std::to_string(IoWeightOf(*r.blkio_weight))});
  for (const DeviceValue& device : r.blkio_weight_device)
    writes.push_back({"io.bfq.weight",
                      DeviceNumber(device) + " " + std::to_string(device.value),
                      "blockIO.weightDevice", "io.weight",
                      DeviceNumber(device) + " " +
                          std::to_string(IoWeightOf(device.value))});
  AddIoMax(writes, r.throttle_read_bps, "rbps",
           "blockIO.throttleReadBpsDevice");
  AddIoMax(writes, r.throttle_write_bps, "wbps",
           "blockIO.throttleWriteBpsDevice");
  AddIoMax(writes, r.throttle_read_iops, "riops",
           "blockIO.throttleReadIOPSDevice");
  AddIoMax(writes, r.throttle_write_iops, "wiops",
           "blockIO.throttleWriteIOPSDevice");
  return writes;
}

// --- the same, or nearly, on both ------------------------------------------

Writes Cpuset(const Resources& r) {
  Writes writes;
  AddText(writes, r.cpuset_cpus, "cpuset.cpus", "cpu.cpus");
  AddText(writes, r.cpuset_mems, "cpuset.mems", "cpu.mems");
  return writes;
}

Writes Pids(const Resources& r) {
  Writes writes;
  if (r.pids_limit)
    writes.push_back({"pids.max",
                      *r.pids_limit > 0 ? std::to_string(*r.pids_limit) : "max",
                      "pids.limit"});
  return writes;
}

Writes Hugetlb(const Resources& r, bool v2) {
  Writes writes;
  for (const auto& [size, limit] : r.hugepage_limits)
    writes.push_back({"hugetlb." + size + (v2 ? ".max" : ".limit_in_bytes"),
                      std::to_string(limit), "hugepageLimits"});
  return writes;
}

Writes Rdma(const Resources& r) {
  Writes writes;
  for (const auto& [device, limit] : r.rdma) {
    std::string value = device;
    if (limit.handles) value += " hca_handle=" + std::to_string(*limit.handles);
    if (limit.objects) value += " hca_object=" + std::to_string(*limit.objects);
    writes.push_back({"rdma.max", value, "rdma"});
  }
  return writes;
}

}  // namespace

uint64_t CpuWeightOf(uint64_t shares) {
  if (shares == 0) return 0;
  if (shares < 2) shares = 2;
  if (shares > 262144) shares = 262144;
  return 1 + ((shares - 2) * 9999) / 262142;
}

uint64_t IoWeightOf(uint64_t weight) {
  if (weight == 0) return 0;
  if (weight < 10) weight = 10;
  if (weight > 1000) weight = 1000;
  return 1 + (weight - 10) * 9999 / 990;
}

Result<std::vector<CgroupWrite>> LimitWrites(const Resources& resources,
                                             const std::string& controller,
                                             CgroupVersion version) {
  const bool v2 = version == CgroupVersion::kV2;
  if (controller == "memory") {
    if (v2) return MemoryV2(resources);
    return MemoryV1(resources);
  }
  if (controller == "cpu") {
    if (v2) return CpuV2(resources);
    return CpuV1(resources);
  }
  if (controller == "cpuset") return Cpuset(resources);
  if (controller == "pids") return Pids(resources);
  if (controller == "blkio") return v2 ? Writes() : BlkioV1(resources);
  if (controller == "io") {
    if (v2) return IoV2(resources);
    return Writes();
  }
  if (controller == "hugetlb") return Hugetlb(resources, v2);
  if (controller == "rdma") return Rdma(resources);
  Writes writes;
  if (controller == "net_cls") {
    if (resources.net_class_id.value_or(0) == 0) return writes;
    if (v2) return NotOnV2("network.classID");
    Add(writes, resources.net_class_id, "net_cls.classid", "network.classID");
  }
  if (controller == "net_prio") {
    if (v2 && !resources.net_priorities.empty())
      return NotOnV2("network.priorities");
    return NetPriorities(resources);
  }
  if (controller == "unified")
    for (const auto& [file, value] : resources.unified)
      writes.push_back({file, value, "unified." + file});
  return writes;
}

bool GivesHalfOfCpuMax(const Resources& resources) {
  return (resources.cpu_quota_us.value_or(0) != 0) !=
         (resources.cpu_period_us.value_or(0) != 0);
}

Resources KeepCpuMax(Resources resources, const std::string& cpu_max) {
  if (!GivesHalfOfCpuMax(resources)) return resources;
  const size_t space = std::min(cpu_max.find(' '), cpu_max.size());
  const char* const middle = cpu_max.data() + space;
  if (resources.cpu_period_us.value_or(0) != 0) {
    int64_t number = 0;
    // "max" is no number: no quota, as what was not asked for means.
    if (std::from_chars(cpu_max.data(), middle, number).ec == std::errc())
      resources.cpu_quota_us = number;
  } else if (space < cpu_max.size()) {
    uint64_t number = 0;
    const char* const end = cpu_max.data() + cpu_max.size();
    if (std::from_chars(middle + 1, end, number).ec == std::errc())
      resources.cpu_period_us = number;
  }
  return resources;
}

std::vector<DeviceRule> WithDefaultDevices(
    const std::vector<DeviceRule>& rules) {
  std::vector<DeviceRule> all = rules;
  // Nodes may be made, of any device; using them is another matter.
  all.push_back({true, 'c', std::nullopt, std::nullopt, "m"});
  all.push_back({true, 'b', std::nullopt, std::nullopt, "m"});
  const auto allow = [&](uint32_t major, std::optional<uint32_t> minor) {
    all.push_back({true, 'c', major, minor, "rwm"});
  };
  for (uint32_t minor : {3, 5, 7, 8, 9}) allow(1, minor);  // null ... urandom
  for (uint32_t minor : {0, 1, 2}) allow(5, minor);        // tty, console, ptmx
  allow(136, std::nullopt);                                // pts
  return all;
}

std::vector<CgroupWrite> DeviceWritesV1(const std::vector<DeviceRule>& rules) {
  Writes writes;
  const auto number = [](const std::optional<uint32_t>& value) {
    return value ? std::to_string(*value) : "*";
  };
  for (const DeviceRule& rule : WithDefaultDevices(rules)) {
    const char* const file = rule.allow ? "devices.allow" : "devices.deny";
    const std::string rest =
        " " + number(rule.major) + ":" + number(rule.minor) + " " + rule.access;
    // "a" alone resets the list, whatever stands behind it.
    if (rule.Everything()) {
      writes.push_back({file, "a", "devices"});
    } else if (rule.type == 'a') {
      writes.push_back({file, "c" + rest, "devices"});
      writes.push_back({file, "b" + rest, "devices"});
    } else {
      writes.push_back({file, std::string(1, rule.type) + rest, "devices"});
    }
  }
  return writes;
}

}  // namespace ufs::runtime
