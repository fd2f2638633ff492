#include "layerdb/base/mount_info.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>

#include "layerdb/base/syscall.h"

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

// Takes the first word off a line. Empty at its end.
std::string_view TakeWord(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(word.size() + 1, line.size()));
  return word;
}

template <typename Number>
bool Parse(std::string_view word, Number* number) {
  const char* const end = word.data() + word.size();
  return !word.empty() && std::from_chars(word.data(), end, *number).ptr == end;
}

}  // namespace

std::optional<MountInfo> ParseMountInfo(std::string_view line) {
  MountInfo mount;
  const bool has_id = Parse(TakeWord(line), &mount.id);
  const bool has_parent = Parse(TakeWord(line), &mount.parent);
  const std::string_view device = TakeWord(line);
  const size_t colon = device.find(':');
  unsigned major = 0, minor = 0;
  if (!has_id || !has_parent || colon == device.npos ||
      !Parse(device.substr(0, colon), &major) ||
      !Parse(device.substr(colon + 1), &minor))
    return std::nullopt;
  mount.device = makedev(major, minor);
  mount.root = UnescapeOctal(TakeWord(line));
  mount.mountpoint = UnescapeOctal(TakeWord(line));
  TakeWord(line);                                   // options
  while (!line.empty() && TakeWord(line) != "-") {  // optional fields
  }
  mount.type = TakeWord(line);
  mount.source = UnescapeOctal(TakeWord(line));
  mount.super_options = TakeWord(line);
  // A source may be empty: mount(2) takes that.
  if (mount.type.empty()) return std::nullopt;
  return mount;
}

std::vector<MountInfo> ParseMountTable(std::string_view table) {
  std::vector<MountInfo> mounts;
  while (!table.empty()) {
    const std::string_view line = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(line.size() + 1, table.size()));
    if (auto mount = ParseMountInfo(line)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::vector<std::string> MountPointsOn(const std::vector<MountInfo>& mounts,
                                       uint64_t parent, uint64_t except) {
  std::vector<std::string> points;
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount)
    if (mount->parent == parent && mount->id != except)
      points.push_back(mount->mountpoint);
  return points;
}

std::vector<MountInfo> ReadMountInfo(pid_t process) {
  const std::string path = "/proc/" +
                           (process == 0 ? "self" : std::to_string(process)) +
                           "/mountinfo";
  const auto file = sys::Open(path.c_str(), O_RDONLY);
  if (!file.ok()) return {};
  std::string text;
  char buffer[8192];  // as much as the kernel hands out at a time
  for (;;) {
    const auto got = sys::Read(*file, buffer, sizeof(buffer));
    if (!got.ok() || *got == 0) break;
    text.append(buffer, *got);
  }
  return ParseMountTable(text);
}

std::optional<MountInfo> FindMountAt(const std::string& mountpoint) {
  std::optional<MountInfo> found;
  for (MountInfo& mount : ReadMountInfo())
    if (mount.mountpoint == mountpoint) found = std::move(mount);
  return found;
}

}  // namespace ufs
