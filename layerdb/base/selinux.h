// What everybody asks of SELinux: is it there, and what does its policy know?
// Threads: any.
#pragma once

#include <string>

#include "layerdb/base/result.h"

namespace ufs {

inline constexpr char kSelinuxXattr[] = "security.selinux";

// Whether the kernel has it, it is switched on, and ours to use.
bool HasSelinux();

// The same, and a policy is loaded, without which there are no labels.
bool HasSelinuxPolicy();

// EINVAL for what is no label of the loaded policy. Where nobody answers, the
// kernel will say so when the label is used.
Status CheckSelinuxLabel(const std::string& label);

}  // namespace ufs
