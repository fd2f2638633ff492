#include "fs/backing_device.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <string>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

Status Set(dev_t mount, const std::string& what, unsigned value) {
  const std::string path = "/sys/class/bdi/" + std::to_string(major(mount)) +
                           ":" + std::to_string(minor(mount)) + "/" + what;
  const UniqueFd fd = TRY(sys::Open(path.c_str(), O_WRONLY).With(path));
  const std::string text = std::to_string(value);
  if (TRY(sys::Write(fd, text.data(), text.size()).With(path)) != text.size())
    return Error(EIO, path);
  return Ok();
}

}  // namespace

Status SetReadAhead(dev_t mount, unsigned kib) {
  return Set(mount, "read_ahead_kb", kib);
}

Status AllowDirtyPages(dev_t mount) {
  TRY(Set(mount, "strict_limit", 0));
  return Set(mount, "max_ratio", 100);
}

}  // namespace ufs
