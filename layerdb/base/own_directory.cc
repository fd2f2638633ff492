#include "layerdb/base/own_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "layerdb/base/syscall.h"

namespace ufs {

Result<bool> EnsureOwnDirectory(const std::string& path, mode_t forbidden) {
  const sys::At at{AT_FDCWD, path.c_str()};
  const auto made = sys::MkDirAt(at, 0700);
  if (!made.ok() && made.code() != EEXIST)
    return Error(made.code(), path + " cannot be made");
  const auto stat = TRY(sys::Statx(at).With(path));
  return S_ISDIR(stat.stx_mode) && stat.stx_uid == geteuid() &&
         (stat.stx_mode & forbidden) == 0;
}

}  // namespace ufs
