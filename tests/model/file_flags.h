// Reading and setting the flags of an open file, by either pair of ioctls.
#pragma once

#include <linux/fs.h>

namespace ufs::model {

// Those that the test sets, and that files here keep for themselves.
inline constexpr int kFixingFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;
inline constexpr int kFileFlags = kFixingFlags | FS_NODUMP_FL | FS_NOATIME_FL;

enum class FlagsCall { kFlags, kXflags };  // FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR

// The file's kFileFlags. -1 with errno on failure.
int GetFileFlags(int fd, FlagsCall call);
// Leaves the other flags alone.
int SetFileFlags(int fd, FlagsCall call, int flags);

}  // namespace ufs::model
