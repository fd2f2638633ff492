// The ioctl that ufs adds to those of other file systems.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace ufs {

// On a regular file, open for reading: what is missing of its contents in the
// upper is copied there, and is on disk when the call returns. Sets how many
// bytes that were. ENOTTY from any other file system.
inline constexpr unsigned kIoctlComplete = _IOR('u', 0x63, uint64_t);

}  // namespace ufs
