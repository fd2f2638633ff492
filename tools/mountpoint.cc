#include "tools/mountpoint.h"

#include <filesystem>

namespace ufs {

namespace stdfs = std::filesystem;

std::string ResolveMountpoint(const std::string& path) {
  std::error_code error;
  stdfs::path absolute = stdfs::absolute(path, error).lexically_normal();
  if (absolute.filename().empty() && absolute.has_relative_path())
    absolute = absolute.parent_path();  // "/mnt/" is "/mnt"
  if (!absolute.has_relative_path()) return absolute;
  if (stdfs::is_symlink(stdfs::symlink_status(absolute, error))) {
    const stdfs::path resolved = stdfs::canonical(absolute, error);
    return error ? absolute : resolved;
  }
  const stdfs::path parent = stdfs::canonical(absolute.parent_path(), error);
  return error ? absolute : parent / absolute.filename();
}

}  // namespace ufs
