#include "tools/mountpoint.h"

#include <cerrno>
#include <filesystem>

#include "fs/control.h"

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

Result<MountInfo> FindUnionMount(const std::string& mountpoint,
                                 const char* program) {
  auto found = FindMountAt(mountpoint);
  if (!found) return Error(EINVAL, mountpoint + ": nothing is mounted here");
  if (!found->type.starts_with("fuse"))
    return Error(EINVAL, mountpoint + ": is a mount of type " + found->type +
                             ", not one of ufs; use " + program);
  return *std::move(found);
}

Result<Json> AskDaemon(const std::string& mountpoint) {
  const std::string answer = TRY(QueryControl(mountpoint));
  Json report = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!report.is_object() || !report.contains("union") ||
      !report.contains("messages"))
    return Error(EPROTO, mountpoint + ": its daemon does not tell its layers");
  return report;
}

}  // namespace ufs
