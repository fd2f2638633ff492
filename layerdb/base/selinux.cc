#include "layerdb/base/selinux.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdint>
#include <string_view>

#include "layerdb/base/syscall.h"
#include "layerdb/base/unique_fd.h"

namespace ufs {
namespace {

constexpr char kFileSystem[] = "/sys/fs/selinux";

}  // namespace

bool HasSelinux() {
  // An empty directory, where the kernel could and does not; not to be written
  // in a container, for whom there is none then, as libselinux has it.
  struct statfs stat;
  return statfs(kFileSystem, &stat) == 0 &&
         static_cast<uint64_t>(stat.f_type) == uint64_t{SELINUX_MAGIC} &&
         (stat.f_flags & ST_RDONLY) == 0;
}

bool HasSelinuxPolicy() {
  if (!HasSelinux()) return false;
  const auto own = sys::Open("/proc/self/attr/current", O_RDONLY);
  if (!own.ok()) return false;
  char text[64];
  const auto size = sys::Read(*own, text, sizeof(text));
  // Until there is one, every process has this label, which is no context.
  return size.ok() && !std::string_view(text, *size).starts_with("kernel");
}

Status CheckSelinuxLabel(const std::string& label) {
  const std::string path = std::string(kFileSystem) + "/context";
  const auto file = sys::Open(path.c_str(), O_WRONLY);
  if (!file.ok()) return Ok();
  // With its NUL, as libselinux.
  const auto asked = sys::Write(*file, label.c_str(), label.size() + 1);
  if (asked.code() != EINVAL) return Ok();
  return Error(EINVAL, "\"" + label + "\" is no label of the SELinux policy");
}

}  // namespace ufs
