// /proc/PID/mountinfo, as far as containers need it. Pure. Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ufs::runtime {

// mountinfo writes blanks and backslashes as three octal digits.
std::string UnescapeMountPath(std::string_view text);

// Where mounts are attached to mount number `parent`, but for number `except`;
// the last one first.
std::vector<std::string> MountPointsOn(std::string_view mountinfo,
                                       uint64_t parent, uint64_t except);

}  // namespace ufs::runtime
