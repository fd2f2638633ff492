// Device rules for cgroup v2, which has no list but asks a BPF program.
// Threads: any.
#pragma once

#include <linux/bpf.h>

#include <string>
#include <vector>

#include "layerdb/base/result.h"
#include "runtime/spec.h"

namespace ufs::runtime {

// A program of type BPF_PROG_TYPE_CGROUP_DEVICE: the last rule that matches
// decides, none of them denies. A rule that allows matches if it has all that
// is asked for, one that denies if it has any of it.
std::vector<bpf_insn> DeviceFilterProgram(const std::vector<DeviceRule>& rules);

// Loads it and puts it in place of ours before, if any, on the cgroup.
Status AttachDeviceFilter(const std::string& cgroup,
                          const std::vector<DeviceRule>& rules);

}  // namespace ufs::runtime
