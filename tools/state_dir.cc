#include "tools/state_dir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "layerdb/base/syscall.h"
#include "runtime/host_user.h"

namespace ufs {
namespace {

constexpr char kSystemDirectory[] = "/var/lib/ufs";

// Whether `path`, or what exists of the way to it, can be written. Root of a
// user namespace often cannot write to the host's /var/lib.
bool MayWrite(std::filesystem::path path) {
  std::error_code error;
  while (!std::filesystem::exists(path, error) && path.has_relative_path())
    path = path.parent_path();
  return eaccess(path.c_str(), W_OK | X_OK) == 0;
}

std::string HomeDirectory() {
  if (const char* home = getenv("HOME"); home != nullptr && *home == '/')
    return home;
  const auto entry = runtime::FindHostUser(geteuid());
  return entry ? entry->home : "";
}

}  // namespace

Result<std::string> StateDirectory() {
  if (geteuid() == 0 && MayWrite(kSystemDirectory))
    return std::string(kSystemDirectory);
  // The specification of XDG_DATA_HOME has relative paths ignored.
  if (const char* data = getenv("XDG_DATA_HOME");
      data != nullptr && *data == '/')
    return std::string(data) + "/ufs";
  const std::string home = HomeDirectory();
  if (home.empty())
    return Error(ENOENT,
                 "no home directory for a fresh upper; name one with "
                 "--upper DIR, or set XDG_DATA_HOME");
  return home + "/.local/share/ufs";
}

Result<std::string> StorePath(const std::string& named) {
  if (!named.empty()) return named;
  if (const char* store = getenv("UFS_STORE");
      store != nullptr && *store != '\0')
    return std::string(store);
  return StateDirectory();
}

Result<std::string> MakeUppersEntry(const std::string& name) {
  const std::string uppers = TRY(StateDirectory()) + "/uppers";
  std::error_code error;
  std::filesystem::create_directories(uppers, error);
  if (error)
    return Error(error.value(), uppers +
                                    ": cannot be made for a fresh upper; name "
                                    "one with --upper DIR");
  std::string path = uppers + "/" + name + ".XXXXXX";
  if (mkdtemp(path.data()) == nullptr)
    return Error(errno, uppers +
                            ": no fresh upper can be made here; name one with "
                            "--upper DIR");
  return path;
}

}  // namespace ufs
