#include "fs/backing_device.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <string>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {

Status SetReadAhead(dev_t mount, unsigned kib) {
  const std::string path = "/sys/class/bdi/" + std::to_string(major(mount)) +
                           ":" + std::to_string(minor(mount)) +
                           "/read_ahead_kb";
  const UniqueFd fd = TRY(sys::Open(path.c_str(), O_WRONLY).With(path));
  const std::string text = std::to_string(kib);
  if (TRY(sys::Write(fd, text.data(), text.size()).With(path)) != text.size())
    return Error(EIO, path);
  return Ok();
}

}  // namespace ufs
