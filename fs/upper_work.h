// What the parts of UpperDir share about the work directory.
#pragma once

#include <fcntl.h>

#include <cerrno>

#include "layerdb/base/syscall.h"

namespace ufs {

// Opens a directory, making it if it is missing.
inline Result<UniqueFd> OpenOrMakeDir(BorrowedFd base, const char* name,
                                      mode_t mode) {
  const auto made = sys::MkDirAt({base, name}, mode);
  if (!made.ok() && made.code() != EEXIST) return Error(made.code());
  return sys::OpenAt({base, name}, O_RDONLY | O_DIRECTORY);
}

}  // namespace ufs
