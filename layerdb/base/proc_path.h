// What the wrappers of syscall.h share: whether the kernel has a call at all,
// and the way through /proc for those that have no *at form.
#pragma once

#include <cerrno>
#include <climits>
#include <cstdio>

#include "layerdb/base/syscall.h"

namespace ufs::sys {

inline bool IsFdAlone(At at) { return at.name[0] == '\0'; }

// Of a call that was made to fail: not ENOSYS, nor what filters say instead.
inline bool IsKnown(long result) {
  return result >= 0 || (errno != ENOSYS && errno != EPERM);
}

// An At as a path, which works for O_PATH descriptors too.
class ProcPath {
 public:
  explicit ProcPath(At at) {
    const char* const form =
        IsFdAlone(at) ? "/proc/self/fd/%d" : "/proc/self/fd/%d/%s";
    snprintf(path_, sizeof(path_), form, at.dir.get(), at.name);
  }
  const char* c_str() const { return path_; }

 private:
  char path_[NAME_MAX + 40];
};

}  // namespace ufs::sys
