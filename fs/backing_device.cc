#include "fs/backing_device.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

Status Set(dev_t mount, std::string_view name, unsigned value) {
  const std::string path = "/sys/class/bdi/" + std::to_string(major(mount)) +
                           ":" + std::to_string(minor(mount)) + "/" +
                           std::string(name);
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

}  // namespace ufs
