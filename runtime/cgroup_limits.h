// Resources -> what is written into which file of a cgroup. Pure, so that both
// versions can be tested on any machine. Threads: any.
// Sources: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst;
// the conversions of weights are those of runc and crun.
#pragma once

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

enum class CgroupVersion { kV1, kV2 };

struct CgroupWrite {
  std::string file;   // "memory.limit_in_bytes"
  std::string value;  // "1048576"
  std::string asked;  // what the user asked for: "memory.limit"
  // In its place, where the kernel does not have `file`; none when empty.
  std::string other_file = {}, other_value = {};
  bool if_there = false;  // no error where neither is
};

// Every controller that can be asked for something.
inline constexpr const char* kLimitControllers[] = {
    "memory",  "cpu",     "cpuset",   "pids", "blkio",  "io",
    "hugetlb", "net_cls", "net_prio", "rdma", "unified"};

// The writes for one controller, in the order they must be made; none when
// nothing is asked of it. ENOTSUP, naming the field, for what the version has
// no counterpart for. "blkio" exists on v1, "io" and "unified" on v2.
Result<std::vector<CgroupWrite>> LimitWrites(const Resources& resources,
                                             const std::string& controller,
                                             CgroupVersion version);

// v2 has one file for quota and period: who gives only one of them keeps the
// other, as `cpu_max`, the text of that file, has it.
bool GivesHalfOfCpuMax(const Resources& resources);
Resources KeepCpuMax(Resources resources, const std::string& cpu_max);

// The writes for the v1 device list: the given rules, then the devices that
// every container has.
std::vector<CgroupWrite> DeviceWritesV1(const std::vector<DeviceRule>& rules);

// `rules` with those that every container has at the end.
std::vector<DeviceRule> WithDefaultDevices(
    const std::vector<DeviceRule>& rules);

// cpu.shares 2..262144 -> cpu.weight 1..10000; blkio weight 10..1000 -> io
// weight 1..10000. 0 stays 0: not set.
uint64_t CpuWeightOf(uint64_t shares);
uint64_t IoWeightOf(uint64_t blkio_weight);

}  // namespace ufs::runtime
