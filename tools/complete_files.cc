#include "tools/complete_files.h"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>

#include "fs/ioctl.h"
#include "layerdb/base/syscall.h"

namespace ufs {

namespace stdfs = std::filesystem;

Result<uint64_t> CompleteFile(const std::string& path) {
  const UniqueFd fd = TRY(
      sys::OpenAt({AT_FDCWD, path.c_str()}, O_RDONLY | O_NONBLOCK).With(path));
  uint64_t copied = 0;
  const Status done = sys::Ioctl(fd, kIoctlComplete, &copied);
  if (done.code() == ENOTTY)
    return Error(ENOTTY, path + ": not of a ufs mount");
  TRY(Status(done).With(path));
  return copied;
}

Status CompleteUpper(const std::string& mountpoint, const std::string& upper) {
  std::error_code error;
  stdfs::recursive_directory_iterator at(upper, error), end;
  while (!error && at != end) {
    const stdfs::path path = at->path();
    // A file without contents may be a mark, and has none to bring up.
    if (stdfs::is_regular_file(at->symlink_status(error)) && !error &&
        at->file_size(error) > 0 && !error) {
      const auto done =
          CompleteFile(mountpoint / path.lexically_relative(upper));
      // Deleted since, or under another mount: nobody asks for it.
      if (!done.ok() && done.code() != ENOENT && done.code() != ENOTDIR &&
          done.code() != ENOTTY)
        return done.error();
    }
    // Deleted since, or replaced by another kind.
    if (error == std::errc::no_such_file_or_directory) error.clear();
    if (!error) at.increment(error);
  }
  if (error) return Error(error.value(), upper);
  return Ok();
}

}  // namespace ufs
