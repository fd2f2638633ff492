#include "fs/mount_info.h"

#include <sys/sysmacros.h>

#include <charconv>
#include <fstream>
#include <sstream>

namespace ufs {
namespace {

// Undoes the \ooo that the kernel writes for blanks and backslashes.
std::string UnescapeOctal(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3) {
      plain.push_back(static_cast<char>(code));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

}  // namespace

std::optional<MountInfo> ParseMountInfo(std::string_view line) {
  std::istringstream words{std::string(line)};
  MountInfo mount;
  uint64_t parent = 0;
  unsigned major = 0, minor = 0;
  char colon = 0;
  std::string options, word;
  words >> mount.id >> parent >> major >> colon >> minor >> mount.root >>
      mount.mountpoint >> options;
  while (words >> word && word != "-") {  // optional fields
  }
  words >> mount.type >> mount.source;
  if (!words || colon != ':') return std::nullopt;
  mount.device = makedev(major, minor);
  for (std::string* text : {&mount.root, &mount.mountpoint, &mount.source})
    *text = UnescapeOctal(*text);
  return mount;
}

std::vector<MountInfo> ReadMountInfo() {
  std::vector<MountInfo> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);)
    if (auto mount = ParseMountInfo(line)) mounts.push_back(std::move(*mount));
  return mounts;
}

std::optional<MountInfo> FindMountAt(const std::string& mountpoint) {
  std::optional<MountInfo> found;
  for (MountInfo& mount : ReadMountInfo())
    if (mount.mountpoint == mountpoint) found = std::move(mount);
  return found;
}

}  // namespace ufs
